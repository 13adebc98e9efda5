use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use model::{CertificateBody, CertificateExtension, CertificateProfile, RequestId, Serial, SessionId, Span, Timestamp};
use ssh_key::certificate::CertType;
use ssh_key::private::{Ed25519Keypair, KeypairData, RsaKeypair};
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::rand_core::UnwrapErr;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, Signature, SigningKey};

use super::*;
use crate::keys::{CaSigner, SignerError};

mod findings;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_654_321);

struct TestCa {
    key: PrivateKey,
}

impl TestCa {
    fn new(seed: u8) -> Self {
        Self { key: private(seed) }
    }
}

impl CaSigner for TestCa {
    fn public_key(&self) -> &KeyData {
        self.key.public_key().key_data()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Signature, SignerError> {
        Ok(raw_sign(&self.key, tbs))
    }
}

fn raw_sign<K: SigningKey>(key: &K, bytes: &[u8]) -> Signature {
    key.try_sign(bytes).unwrap()
}

fn private(seed: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
}

fn public(seed: u8) -> KeyData {
    private(seed).public_key().key_data().clone()
}

const USER_CA: u8 = 1;
const HOST_CA: u8 = 2;
const FRONT_CA: u8 = 4;

fn authorities() -> Authorities {
    let own = vec![public(USER_CA), public(HOST_CA), public(FRONT_CA), public(3)];
    Authorities { user: public(USER_CA), host: public(HOST_CA), front: public(FRONT_CA), own }
}

fn fresh() -> Fresh {
    let mut nonce = [7; 32];
    nonce[0] = 1;
    Fresh { serial: Serial::new(4_242).unwrap(), nonce }
}

fn names<T: std::str::FromStr + Ord>(all: &[&str]) -> BTreeSet<T>
where
    T::Err: std::fmt::Debug,
{
    all.iter().map(|name| name.parse().unwrap()).collect()
}

fn minutes(count: u32) -> Timestamp {
    NOW.plus(Span::from_minutes(count))
}

fn person_of(key: &KeyData, ends: Timestamp) -> Result<Prepared, LintError> {
    let ask = PersonAsk {
        key,
        request: &RequestId::from_random(1),
        identity: &"alice".parse().unwrap(),
        approvers: &names(&["bob", "carol"]),
        ends,
    };
    Profiles::default().person(&ask, &authorities(), fresh(), NOW)
}

fn session_of(key: &KeyData, extensions: &[CertificateExtension], command: Option<&str>) -> Prepared {
    let ask = SessionAsk {
        key,
        request: &RequestId::from_random(1),
        session: &SessionId::from_random(2),
        identity: &"alice".parse().unwrap(),
        approvers: &names(&["bob"]),
        login: &"root".parse().unwrap(),
        target: &"web1".parse().unwrap(),
        ends: minutes(30),
        extensions: &extensions.iter().copied().collect(),
        sources: &"10.9.0.0/24,10.1.2.3".parse().unwrap(),
        command,
    };
    Profiles::default().session(&ask, &authorities(), fresh(), NOW).unwrap()
}

fn host_of(key: &KeyData) -> Prepared {
    let ask = HostAsk { key, names: &names(&["web1", "web1.example.org"]) };
    Profiles::default().host(&ask, &authorities(), fresh(), NOW).unwrap()
}

fn front_of(key: &KeyData) -> Prepared {
    let ask = HostAsk { key, names: &names(&["web1", "ssh.example.org"]) };
    Profiles::default().front(&ask, &authorities(), fresh(), NOW).unwrap()
}

/// What `ssh-keygen -L` says of a certificate, line by line and trimmed.
fn listed(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k-cert.pub");
    std::fs::write(&path, text).unwrap();
    let output = Command::new("ssh-keygen")
        .args(["-L", "-f"])
        .arg(&path)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen of the package openssh-client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

/// The same from our own account of the certificate.
fn told(body: &CertificateBody, key_type: &str, ca_type: &str, ca_algorithm: &str) -> Vec<String> {
    let kind = match body.profile {
        CertificateProfile::Person | CertificateProfile::Session => "user",
        CertificateProfile::Host | CertificateProfile::Front => "host",
    };
    let date = |at: Timestamp| at.to_string().trim_end_matches('Z').to_owned();
    let mut lines = vec![
        format!("Type: {key_type}-cert-v01@openssh.com {kind} certificate"),
        format!("Public key: {} {}", short(key_type), body.key),
        format!("Signing CA: {} {} (using {ca_algorithm})", short(ca_type), body.ca),
        format!("Key ID: \"{}\"", body.key_id),
        format!("Serial: {}", body.serial),
        format!("Valid: from {} to {}", date(body.valid_after), date(body.valid_before)),
        "Principals:".to_owned(),
    ];
    lines.extend(body.principals.iter().map(ToString::to_string));
    list(&mut lines, "Critical Options:", body.critical_options.iter().map(|(name, value)| format!("{name} {value}")));
    list(&mut lines, "Extensions:", body.extensions.iter().cloned());
    lines
}

fn list(lines: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        lines.push(format!("{title} (none)"));
    } else {
        lines.push(title.to_owned());
        lines.extend(items);
    }
}

fn short(key_type: &str) -> &'static str {
    match key_type.split('@').next().unwrap() {
        "ssh-ed25519" => "ED25519-CERT",
        "ssh-rsa" => "RSA-CERT",
        "sk-ssh-ed25519" => "ED25519-SK-CERT",
        _ => "ECDSA-CERT",
    }
}

/// ssh-keygen calls the CA by its plain type.
fn compare(body: &CertificateBody, text: &str, key_type: &str, ca: &KeyData, ca_algorithm: &str) {
    let mut told = told(body, key_type, ca.algorithm().as_str(), ca_algorithm);
    told[2] = told[2].replace("-CERT", "");
    // sk types have the at sign in the middle of the certificate's type.
    told[0] = told[0].replace("@openssh.com-cert-v01", "-cert-v01");
    assert_eq!(listed(text), told);
}

#[test]
fn ssh_keygen_reads_every_profile_as_we_tell_it() {
    let all = CertificateExtension::ALL;
    let (user, host, front) = (TestCa::new(USER_CA), TestCa::new(HOST_CA), TestCa::new(FRONT_CA));
    let cases: [(Prepared, &TestCa); 6] = [
        (person_of(&public(9), minutes(30)).unwrap(), &user),
        (session_of(&public(9), &[], None), &user),
        (session_of(&public(9), &[CertificateExtension::Pty], None), &user),
        (session_of(&public(9), &all, Some("systemctl restart \"nginx\" # now")), &user),
        (host_of(&public(9)), &host),
        (front_of(&public(9)), &front),
    ];
    for (prepared, ca) in cases {
        let body = prepared.body().clone();
        let signed = prepared.sign(ca).unwrap();
        compare(&body, signed.openssh(), "ssh-ed25519", ca.public_key(), "ssh-ed25519");
        assert_eq!(signed.certificate().key_id(), body.key_id);
    }
}

#[test]
fn every_key_type_can_be_certified() {
    let mut random = UnwrapErr(ssh_key::getrandom::SysRng);
    let ca = TestCa::new(USER_CA);
    let mut keys = Vec::new();
    for curve in [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521] {
        let key = PrivateKey::random(&mut random, Algorithm::Ecdsa { curve }).unwrap();
        let name = Algorithm::Ecdsa { curve };
        keys.push((name.as_str().to_owned(), key.public_key().key_data().clone()));
    }
    let rsa = KeypairData::from(RsaKeypair::random(&mut random, 2048).unwrap());
    let rsa = PrivateKey::new(rsa, "").unwrap();
    keys.push(("ssh-rsa".to_owned(), rsa.public_key().key_data().clone()));
    let security_key = KeyData::SkEd25519(SkEd25519::new(*public(9).ed25519().unwrap(), "ssh:"));
    keys.push(("sk-ssh-ed25519@openssh.com".to_owned(), security_key));
    for (name, key) in keys {
        let prepared = person_of(&key, minutes(5)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let body = prepared.body().clone();
        let signed = prepared.sign(&ca).unwrap();
        compare(&body, signed.openssh(), &name, ca.public_key(), "ssh-ed25519");
    }
}

#[test]
fn an_rsa_ca_signs_with_sha2() {
    let mut random = UnwrapErr(ssh_key::getrandom::SysRng);
    let pair = RsaKeypair::random(&mut random, 2048).unwrap();
    let ca = TestCa { key: PrivateKey::new(KeypairData::from(pair), "").unwrap() };
    let authorities = Authorities { user: ca.public_key().clone(), ..authorities() };
    let ask = PersonAsk {
        key: &public(9),
        request: &RequestId::from_random(1),
        identity: &"alice".parse().unwrap(),
        approvers: &BTreeSet::new(),
        ends: minutes(30),
    };
    let prepared = Profiles::default().person(&ask, &authorities, fresh(), NOW).unwrap();
    let body = prepared.body().clone();
    let signed = prepared.sign(&ca).unwrap();
    compare(&body, signed.openssh(), "ssh-ed25519", ca.public_key(), "rsa-sha2-512");
}

#[test]
fn a_certificate_lives_no_longer_than_its_grant_and_its_profile() {
    let person = |ends| person_of(&public(9), ends).map(|prepared| prepared.body().clone());
    let body = person(minutes(30)).unwrap();
    assert_eq!(body.valid_after, Timestamp::from_seconds(NOW.seconds() - 60));
    assert_eq!(body.valid_before, Timestamp::from_seconds(NOW.seconds() + 1800), "whole seconds, rounded down");
    let hour = Timestamp::from_seconds(NOW.seconds() + 3600);
    assert_eq!(person(minutes(600)).unwrap().valid_before, hour);
    assert_eq!(person(Timestamp::MAX).unwrap().valid_before, hour);
    let session = session_of(&public(9), &[], None);
    assert_eq!(session.body().valid_before, Timestamp::from_seconds(NOW.seconds() + 120));
    let host = host_of(&public(9));
    assert_eq!(host.body().valid_before, Timestamp::from_seconds(NOW.seconds() + 30 * 86_400));
    let front = front_of(&public(9));
    assert_eq!(front.body().valid_before, Timestamp::from_seconds(NOW.seconds() + 86_400));
    // A grant that is over, or is over before the second is.
    for ends in [Timestamp::default(), minutes(0), NOW.plus(Span::ZERO), NOW.minus(Span::from_minutes(2))] {
        let LintError(findings) = person(ends).unwrap_err();
        assert!(findings.iter().any(|found| matches!(found, Finding::Expired | Finding::Window)), "{findings:?}");
    }
}

#[test]
fn a_session_is_pinned_and_bound_to_its_one_command() {
    let asked =
        [CertificateExtension::Pty, CertificateExtension::PortForwarding, CertificateExtension::AgentForwarding];
    let body = session_of(&public(9), &asked, Some("uptime")).body().clone();
    let options: Vec<_> = body.critical_options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(options, ["force-command=uptime", "source-address=10.1.2.3/32,10.9.0.0/24"]);
    assert_eq!(body.principals, names(&["root@web1"]));
    // force-command keeps sshd from no forward.
    assert!(body.extensions.is_empty());
    let person = person_of(&public(9), minutes(5)).unwrap().body().clone();
    assert_eq!(person.principals, names(&["identity:alice"]));
    assert!(person.critical_options.is_empty());
}

#[test]
fn bounds_of_the_configuration_are_checked() {
    let (hour, day) = (Span::from_hours(1), Span::from_hours(24));
    assert!(Profiles::new(hour, day).is_ok());
    for (person, host) in
        [(Span::ZERO, day), (Span::from_hours(25), day), (hour, Span::ZERO), (hour, Span::from_hours(9000))]
    {
        assert!(Profiles::new(person, host).is_err(), "{person} {host}");
    }
}

type Sign<'a> = dyn Fn(&[u8]) -> Result<Signature, SignerError> + Send + Sync + 'a;

/// Signs with what it is given, whatever is asked.
struct Crooked<'a> {
    shown: KeyData,
    sign: Box<Sign<'a>>,
}

impl CaSigner for Crooked<'_> {
    fn public_key(&self) -> &KeyData {
        &self.shown
    }

    fn sign(&self, tbs: &[u8]) -> Result<Signature, SignerError> {
        (self.sign)(tbs)
    }
}

#[test]
fn nothing_is_handed_out_that_the_ca_key_did_not_sign() {
    let prepared = || person_of(&public(9), minutes(5)).unwrap();
    let sign = |seed: u8, shown: u8| Crooked {
        shown: public(shown),
        sign: Box::new(move |tbs| Ok(raw_sign(&private(seed), tbs))),
    };
    assert!(prepared().sign(&sign(USER_CA, USER_CA)).is_ok());
    assert_eq!(prepared().sign(&sign(HOST_CA, HOST_CA)).unwrap_err(), SignError::OtherKey);
    assert_eq!(prepared().sign(&sign(HOST_CA, USER_CA)).unwrap_err(), SignError::Different("signature"));
    let other_bytes =
        Crooked { shown: public(USER_CA), sign: Box::new(|_| Ok(raw_sign(&private(USER_CA), b"something else"))) };
    assert_eq!(prepared().sign(&other_bytes).unwrap_err(), SignError::Different("signature"));
    let failing =
        Crooked { shown: public(USER_CA), sign: Box::new(|_| Err(SignerError("the token was pulled out".into()))) };
    assert!(prepared().sign(&failing).unwrap_err().to_string().contains("pulled out"));
    let renamed = Crooked {
        shown: public(USER_CA),
        sign: Box::new(|tbs| {
            let good = raw_sign(&private(USER_CA), tbs);
            Ok(Signature::new(Algorithm::Rsa { hash: None }, good.as_bytes()).unwrap())
        }),
    };
    assert_eq!(prepared().sign(&renamed).unwrap_err(), SignError::Algorithm("ssh-rsa".to_owned()));
}

#[test]
fn a_ca_signature_with_sha1_is_never_handed_out() {
    let mut random = UnwrapErr(ssh_key::getrandom::SysRng);
    let pair = RsaKeypair::random(&mut random, 2048).unwrap();
    let key = PrivateKey::new(KeypairData::from(pair), "").unwrap();
    let shown = key.public_key().key_data().clone();
    let authorities = Authorities { user: shown.clone(), ..authorities() };
    let ask = HostAsk { key: &public(9), names: &names(&["web1"]) };
    let authorities = Authorities { host: authorities.user.clone(), ..authorities };
    for (hash, good) in [(None, false), (Some(HashAlg::Sha512), true)] {
        let prepared = Profiles::default().host(&ask, &authorities, fresh(), NOW).unwrap();
        let signer = Crooked {
            shown: shown.clone(),
            sign: Box::new(|tbs| {
                let signature = raw_sign(&key, tbs);
                Ok(Signature::new(Algorithm::Rsa { hash }, signature.as_bytes()).unwrap())
            }),
        };
        let signed = prepared.sign(&signer);
        assert_eq!(signed.is_ok(), good, "{hash:?}");
        if let Err(error) = signed {
            assert_eq!(error, SignError::Algorithm("ssh-rsa".to_owned()));
        }
    }
}

#[test]
fn every_field_is_compared_with_the_intent() {
    type Change = fn(&mut Draft);
    let changes: [(&str, Change); 10] = [
        ("nonce", |draft| draft.nonce[5] ^= 1),
        ("key", |draft| draft.key = public(8)),
        ("serial", |draft| draft.serial += 1),
        ("type", |draft| draft.kind = CertType::Host),
        ("key id", |draft| draft.key_id.push('x')),
        ("principals", |draft| draft.principals.push("root@web1".to_owned())),
        ("begin", |draft| draft.valid_after -= 1),
        ("end", |draft| draft.valid_before += 1),
        ("critical options", |draft| draft.critical_options.push(("force-command".to_owned(), "x".to_owned()))),
        ("extensions", |draft| draft.extensions.push(("permit-user-rc".to_owned(), String::new()))),
    ];
    for (field, change) in changes {
        // The bytes are changed behind the back of the intent, as a fault in the encoder would.
        let mut prepared = person_of(&public(9), minutes(5)).unwrap();
        let mut changed = prepared.draft.clone();
        change(&mut changed);
        prepared.tbs = changed.encode().unwrap();
        assert_eq!(prepared.sign(&TestCa::new(USER_CA)).unwrap_err(), SignError::Different(field));
    }
    let mut prepared = person_of(&public(9), minutes(5)).unwrap();
    prepared.tbs.push(0);
    assert_eq!(prepared.sign(&TestCa::new(USER_CA)).unwrap_err(), SignError::Different("encoding"));
}

#[test]
fn digests_are_of_the_very_bytes() {
    use sha2::{Digest, Sha256};
    let prepared = person_of(&public(9), minutes(5)).unwrap();
    let (tbs, told) = (prepared.tbs.clone(), prepared.tbs_sha256());
    assert_eq!(told, hex::encode(Sha256::digest(&tbs)));
    let signed = prepared.sign(&TestCa::new(USER_CA)).unwrap();
    let bytes = signed.certificate().to_bytes().unwrap();
    assert!(bytes.starts_with(&tbs));
    assert_eq!(signed.sha256(), hex::encode(Sha256::digest(bytes)));
    assert_eq!(identity::parse_certificate(signed.openssh()).unwrap(), *signed.certificate());
}

mod round_trip {
    use proptest::prelude::*;

    use super::*;

    fn options() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec((".{0,12}", ".{0,12}"), 0..4)
    }

    proptest! {
        #[test]
        fn a_draft_reads_as_it_was_written(
            nonce in prop::collection::vec(any::<u8>(), 0..40),
            numbers: (u64, u64, u64),
            host: bool,
            key_id in ".{0,40}",
            principals in prop::collection::vec(".{0,20}", 0..5),
            critical_options in options(),
            extensions in options(),
        ) {
            let draft = Draft {
                nonce,
                key: public(9),
                serial: numbers.0,
                kind: if host { CertType::Host } else { CertType::User },
                key_id,
                principals,
                valid_after: numbers.1,
                valid_before: numbers.2,
                critical_options,
                extensions,
                ca: public(USER_CA),
            };
            prop_assert_eq!(Draft::decode(&draft.encode().unwrap()).unwrap(), draft);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut: usize, flip: usize) {
            let _ = Draft::decode(&bytes);
            let mut good = person_of(&public(9), minutes(5)).unwrap().tbs;
            let at = flip % good.len();
            good[at] ^= 1;
            good.truncate(cut % (good.len() + 1));
            let _ = Draft::decode(&good);
        }
    }
}
