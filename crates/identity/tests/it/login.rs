use std::net::IpAddr;

use model::{CertificateProfile, RequestId, Span, Timestamp};
use portcullis_identity::{
    Authenticator, CertificateAsk, Challenge, Directory, FileKey, Limits, LoginAttempt, LoginError, Nonce,
    PossessionError, ProofError, Statement, Subject, TokenError,
};

use crate::support::{NOW, SERVER, alice, directory, line, private, public};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

struct House {
    authenticator: Authenticator,
    directory: Directory,
    random: std::cell::Cell<u64>,
}

impl House {
    fn new(limits: Limits) -> Self {
        Self {
            authenticator: Authenticator::new(SERVER, limits),
            directory: directory(),
            random: std::cell::Cell::new(1),
        }
    }

    fn random(&self) -> [u8; 32] {
        let next = self.random.get();
        self.random.set(next + 1);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&next.to_be_bytes());
        bytes
    }

    fn challenge(&self, now: Timestamp) -> Challenge {
        self.authenticator.challenge(HERE, self.random(), now)
    }

    fn attempt(&self, seed: u8, subject: &Subject, nonce: Nonce) -> LoginAttempt {
        let statement = Statement::login(SERVER, subject, &nonce);
        LoginAttempt { subject: subject.clone(), nonce, signature: key(seed).sign(&statement).unwrap() }
    }

    fn login(&self, attempt: &LoginAttempt, now: Timestamp) -> Result<String, LoginError> {
        let login = self.authenticator.login(&self.directory, attempt, HERE, self.random(), now)?;
        Ok(login.token.expose().to_owned())
    }

    /// A whole login.
    fn enter(&self, seed: u8, subject: &Subject, now: Timestamp) -> String {
        let attempt = self.attempt(seed, subject, self.challenge(now).nonce);
        self.login(&attempt, now).unwrap()
    }
}

fn key(seed: u8) -> FileKey {
    FileKey::from_private(private(seed), "k".into())
}

fn bob() -> Subject {
    Subject::Identity("bob".parse().unwrap())
}

fn later(seconds: u32) -> Timestamp {
    NOW.plus(Span::from_seconds(seconds))
}

#[test]
fn a_login_buys_a_token_that_says_who_and_until_when() {
    let house = House::new(Limits::default());
    let token = house.enter(1, &alice(), NOW);
    let info = house.authenticator.authenticate(&token, NOW).unwrap();
    assert_eq!(info.subject, alice());
    assert_eq!(info.key, portcullis_identity::fingerprint(public(1).key_data()));
    assert_eq!((info.touch, info.address, info.issued), (false, HERE, NOW));
    let end = NOW.plus(Limits::default().token_life);
    assert_eq!(info.expires, end);
    let before = Timestamp::from_micros(end.micros() - 1);
    assert!(house.authenticator.authenticate(&token, before).is_ok());
    assert_eq!(house.authenticator.authenticate(&token, end), Err(TokenError::Expired));
    assert_eq!(house.authenticator.authenticate(&token, end), Err(TokenError::Unknown));
    let proxy = Subject::Proxy("proxy1".parse().unwrap());
    let token = house.enter(9, &proxy, NOW);
    assert_eq!(house.authenticator.authenticate(&token, NOW).unwrap().subject, proxy);
}

#[test]
fn a_nonce_is_good_once_and_for_a_minute() {
    let house = House::new(Limits::default());
    let challenge = house.challenge(NOW);
    assert_eq!(challenge.expires, later(60));
    let attempt = house.attempt(1, &alice(), challenge.nonce);
    assert!(house.login(&attempt, later(59)).is_ok());
    assert_eq!(house.login(&attempt, later(59)), Err(LoginError::Nonce), "a replay");
    let attempt = house.attempt(1, &alice(), house.challenge(NOW).nonce);
    assert_eq!(house.login(&attempt, later(60)), Err(LoginError::Nonce), "too late");
    let attempt = house.attempt(1, &alice(), Nonce::from_random([0xee; 32]));
    assert_eq!(house.login(&attempt, NOW), Err(LoginError::Nonce), "never issued");
}

#[test]
fn a_failed_login_uses_its_nonce_up() {
    let house = House::new(Limits::default());
    let nonce = house.challenge(NOW).nonce;
    let mut attempt = house.attempt(1, &alice(), nonce);
    attempt.subject = bob();
    assert_eq!(house.login(&attempt, NOW), Err(LoginError::Proof(ProofError::Wrong)));
    assert_eq!(house.login(&house.attempt(1, &alice(), nonce), NOW), Err(LoginError::Nonce));
}

#[test]
fn only_the_subjects_own_key_will_do() {
    let house = House::new(Limits::default());
    let refused = |seed: u8, subject: &Subject| {
        let attempt = house.attempt(seed, subject, house.challenge(NOW).nonce);
        house.login(&attempt, NOW).unwrap_err()
    };
    let foreign = refused(2, &alice());
    assert!(matches!(foreign, LoginError::Key { .. }));
    assert!(matches!(refused(9, &alice()), LoginError::Key { .. }), "a proxy's key");
    assert!(matches!(refused(1, &Subject::Proxy("proxy1".parse().unwrap())), LoginError::Key { .. }));
    let unknown = refused(1, &Subject::Identity("mallory".parse().unwrap()));
    assert_eq!(unknown, LoginError::Unknown);
    assert_eq!(refused(1, &Subject::Proxy("alice".parse().unwrap())), LoginError::Unknown, "no proxy of that name");
    assert_eq!(foreign.to_string(), unknown.to_string(), "names cannot be tried");
}

#[test]
fn a_signature_for_another_server_or_purpose_is_worth_nothing() {
    let house = House::new(Limits::default());
    let nonce = house.challenge(NOW).nonce;
    let elsewhere = Statement::login("other.example.org", &alice(), &nonce);
    let attempt = LoginAttempt { subject: alice(), nonce, signature: key(1).sign(&elsewhere).unwrap() };
    assert_eq!(house.login(&attempt, NOW), Err(LoginError::Proof(ProofError::Wrong)));

    let nonce = house.challenge(NOW).nonce;
    let certified = public(1);
    let ask = ask(&certified, nonce, None);
    let attempt =
        LoginAttempt { subject: alice(), nonce, signature: key(1).sign(&Statement::certificate(&ask)).unwrap() };
    assert!(matches!(house.login(&attempt, NOW), Err(LoginError::Proof(ProofError::Namespace { .. }))));
}

fn ask<'a>(key: &'a ssh_key::PublicKey, nonce: Nonce, grant: Option<&'a RequestId>) -> CertificateAsk<'a> {
    static ALICE: std::sync::LazyLock<Subject> = std::sync::LazyLock::new(alice);
    CertificateAsk { server: SERVER, subject: &ALICE, nonce, profile: CertificateProfile::Person, grant, key }
}

#[test]
fn possession_is_proved_once_by_the_very_key_for_the_very_grant() {
    let house = House::new(Limits::default());
    let (certified, other) = (public(4), public(6));
    let (grant, another) = (RequestId::from_random(1), RequestId::from_random(2));
    let signed = |seed: u8, ask: &CertificateAsk<'_>| key(seed).sign(&Statement::certificate(ask)).unwrap();

    let good = ask(&certified, house.challenge(NOW).nonce, Some(&grant));
    let proof = house.authenticator.possession(&good, &signed(4, &good), NOW).unwrap();
    assert_eq!(proof.key(), certified.key_data());
    let again = house.authenticator.possession(&good, &signed(4, &good), NOW);
    assert_eq!(again, Err(PossessionError::Nonce), "a replay");

    let fresh = ask(&certified, house.challenge(NOW).nonce, Some(&grant));
    let by_another = house.authenticator.possession(&fresh, &signed(6, &fresh), NOW);
    assert_eq!(by_another, Err(PossessionError::Key));

    let fresh = ask(&certified, house.challenge(NOW).nonce, Some(&grant));
    let elsewhere = CertificateAsk { grant: Some(&another), ..fresh };
    let moved = house.authenticator.possession(&fresh, &signed(4, &elsewhere), NOW);
    assert_eq!(moved, Err(PossessionError::Proof(ProofError::Wrong)));

    let fresh = ask(&certified, house.challenge(NOW).nonce, Some(&grant));
    let swapped = CertificateAsk { key: &other, ..fresh };
    let swapped = house.authenticator.possession(&swapped, &signed(4, &fresh), NOW);
    assert_eq!(swapped, Err(PossessionError::Proof(ProofError::Wrong)));

    let fresh = ask(&certified, house.challenge(NOW).nonce, Some(&grant));
    let login = key(4).sign(&Statement::login(SERVER, &alice(), &fresh.nonce)).unwrap();
    let login = house.authenticator.possession(&fresh, &login, NOW);
    assert!(matches!(login, Err(PossessionError::Proof(ProofError::Namespace { .. }))));
}

#[test]
fn tokens_end_by_token_by_subject_and_all() {
    let house = House::new(Limits::default());
    let tokens = [house.enter(1, &alice(), NOW), house.enter(1, &alice(), NOW), house.enter(2, &bob(), NOW)];
    let good = || tokens.each_ref().map(|token| house.authenticator.authenticate(token, NOW).is_ok());
    assert_eq!(good(), [true, true, true]);
    assert!(house.authenticator.revoke(&tokens[0]));
    assert!(!house.authenticator.revoke(&tokens[0]));
    assert_eq!(good(), [false, true, true]);
    assert_eq!(house.authenticator.revoke_subject(&alice()), 1);
    assert_eq!(good(), [false, false, true]);
    assert_eq!(house.authenticator.revoke_all(), 1);
    assert_eq!(good(), [false, false, false]);
    assert_eq!(house.authenticator.tokens(), 0);
}

#[test]
fn whoever_leaves_the_directory_is_out_at_once() {
    let house = House::new(Limits::default());
    let (alice_token, bob_token) = (house.enter(1, &alice(), NOW), house.enter(2, &bob(), NOW));
    // bob has a new key, alice keeps hers.
    let text = format!(
        "[[identity]]\nname = \"alice\"\nkeys = [\"{}\"]\n[[identity]]\nname = \"bob\"\nkeys = [\"{}\"]\n",
        line(1),
        line(3)
    );
    let new = Directory::parse(&text, "directory.toml").unwrap();
    assert_eq!(house.authenticator.reconcile(&new), 1);
    assert!(house.authenticator.authenticate(&alice_token, NOW).is_ok());
    assert_eq!(house.authenticator.authenticate(&bob_token, NOW), Err(TokenError::Unknown));
}

#[test]
fn a_guessed_token_is_worth_nothing() {
    let house = House::new(Limits::default());
    let token = house.enter(1, &alice(), NOW);
    let mut guess = token.into_bytes();
    let last = guess.len() - 2;
    guess[last] = if guess[last] == b'A' { b'B' } else { b'A' };
    let guess = String::from_utf8(guess).unwrap();
    assert_eq!(house.authenticator.authenticate(&guess, NOW), Err(TokenError::Unknown));
    assert_eq!(house.authenticator.authenticate("", NOW), Err(TokenError::Malformed));
}

#[test]
fn one_subject_has_so_many_tokens_and_the_oldest_gives_way() {
    let house = House::new(Limits { tokens_per_subject: 3, ..Limits::default() });
    let tokens: Vec<_> = (0..5).map(|_| house.enter(1, &alice(), NOW)).collect();
    let bobs = house.enter(2, &bob(), NOW);
    let good: Vec<_> = tokens.iter().map(|token| house.authenticator.authenticate(token, NOW).is_ok()).collect();
    assert_eq!(good, [false, false, true, true, true]);
    assert!(house.authenticator.authenticate(&bobs, NOW).is_ok());
    assert_eq!(house.authenticator.tokens(), 4);
}

#[test]
fn a_flood_from_one_address_displaces_only_itself() {
    let house = House::new(Limits { nonces_per_source: 4, nonces: 100, ..Limits::default() });
    let honest = house.attempt(1, &alice(), house.challenge(NOW).nonce);
    let flood: IpAddr = "203.0.113.9".parse().unwrap();
    for _ in 0..1000 {
        house.authenticator.challenge(flood, house.random(), NOW);
    }
    assert_eq!(house.authenticator.nonces(), 5);
    assert!(house.login(&honest, NOW).is_ok());
    // All addresses of a /64 are one.
    for host in 0..1000_u128 {
        let address = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | host);
        house.authenticator.challenge(address.into(), house.random(), NOW);
    }
    assert_eq!(house.authenticator.nonces(), 8);
}

#[test]
fn a_flood_from_many_addresses_is_bounded_and_the_fullest_gives_way() {
    let house = House::new(Limits { nonces_per_source: 8, nonces: 64, ..Limits::default() });
    let honest = house.attempt(1, &alice(), house.challenge(NOW).nonce);
    for address in 0..32_u32 {
        for _ in 0..8 {
            let address = std::net::Ipv4Addr::from_bits(0xcb00_7100 + address);
            house.authenticator.challenge(address.into(), house.random(), NOW);
        }
    }
    assert_eq!(house.authenticator.nonces(), 64);
    assert!(house.login(&honest, NOW).is_ok());
}

#[test]
fn what_has_expired_is_forgotten() {
    let house = House::new(Limits::default());
    house.enter(1, &alice(), NOW);
    house.challenge(NOW);
    assert_eq!((house.authenticator.nonces(), house.authenticator.tokens()), (1, 1));
    house.authenticator.sweep(later(60));
    assert_eq!((house.authenticator.nonces(), house.authenticator.tokens()), (0, 1));
    house.authenticator.sweep(NOW.plus(Limits::default().token_life));
    assert_eq!(house.authenticator.tokens(), 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order, the bounds hold and no nonce works twice.
    #[test]
    fn nonces_stay_bounded(steps in proptest::collection::vec((0u8..3, 0u8..6, 0u32..40), 1..120)) {
        let limits = Limits { nonces_per_source: 3, nonces: 7, ..Limits::default() };
        let authenticator = Authenticator::new(SERVER, limits);
        let directory = directory();
        let (mut now, mut next, mut issued) = (NOW, 0u64, Vec::new());
        for (what, source, seconds) in steps {
            now = now.plus(Span::from_seconds(seconds / 8));
            if what < 2 {
                next += 1;
                let mut random = [0; 32];
                random[..8].copy_from_slice(&next.to_be_bytes());
                issued.push(authenticator.challenge(IpAddr::from([10, 0, 0, source]), random, now).nonce);
            } else if let Some(nonce) = issued.pop() {
                // The signature is bad, so the answer tells whether the nonce was good.
                let attempt = LoginAttempt { subject: alice(), nonce, signature: String::new() };
                let first = authenticator.login(&directory, &attempt, HERE, [0; 32], now).unwrap_err();
                let second = authenticator.login(&directory, &attempt, HERE, [0; 32], now).unwrap_err();
                proptest::prop_assert!(matches!(first, LoginError::Nonce | LoginError::Proof(ProofError::Malformed)));
                proptest::prop_assert_eq!(second, LoginError::Nonce);
            }
            proptest::prop_assert!(authenticator.nonces() <= 7);
        }
    }
}
