//! One-time codes: what they open, how long they count, and who cannot use them.

use std::sync::Arc;

use api::{Client, ClientError, wire};
use identity::TotpSecret;
use model::{Fact, FactorId, Span, WayIn};
use store::Clock as _;
use zeroize::Zeroizing;

use crate::pass::{pass, visitor};
use crate::site::{Site, ask, code, eventually, issue, key_of, ledger, unique};

/// An authenticator app: the secret and nothing else.
struct App {
    id: FactorId,
    secret: TotpSecret,
}

impl App {
    /// What it shows now.
    fn shows(&self, site: &Site) -> wire::Code {
        wire::Code { code: self.secret.code(site.clock.now()).unwrap().into() }
    }

    /// What it shows once the last code was used.
    fn next(&self, site: &Site) -> wire::Code {
        site.clock.advance(Span::from_seconds(60));
        self.shows(site)
    }
}

/// Sets one up, with a first code.
async fn enrol(site: &Site, client: &Client) -> App {
    let begun = client.begin_factor().await.unwrap();
    let app = App { id: begun.id.clone(), secret: TotpSecret::from_base32(&begun.secret).unwrap() };
    assert!(begun.otpauth.starts_with("otpauth://totp/ca.test:") && begun.otpauth.contains(&*begun.secret));
    let confirmed = client.confirm_factor(&begun.id, &app.shows(site)).await.unwrap();
    assert_eq!(confirmed.factor.id, begun.id);
    app
}

/// Where root@dev1 is granted at once to who gave a code.
async fn site() -> Site {
    let site = Site::start().await;
    policy(&site, "totp").await;
    site
}

async fn policy(site: &Site, factor: &str) {
    let text = format!("@approvals(\"0\")\n@factor(\"{factor}\")");
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"0\")", &text));
    let alice = site.client("alice");
    eventually("the policy", || async {
        let explained = alice.explain(&explain()).await.unwrap();
        explained.paths.iter().any(|path| path.code).then_some(())
    })
    .await;
}

fn explain() -> wire::ExplainRequest {
    wire::ExplainRequest {
        action: "request".to_owned(),
        target: Some("dev1".parse().unwrap()),
        login: Some("root".parse().unwrap()),
        duration: Some(600),
        ..wire::ExplainRequest::default()
    }
}

async fn file(client: &Client) -> Result<wire::RequestState, ClientError> {
    client.file_request(&ask("root", "dev1", 600), &unique()).await.map(|filed| filed.state)
}

fn there() -> wire::EnterByPass {
    let public_key = key_of(&unique()).public_key().to_openssh().unwrap();
    wire::EnterByPass { target: "dev1".to_owned(), login: "root".to_owned(), way: WayIn::Plus, public_key }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_what_wants_one_for_a_quarter_of_an_hour() {
    let site = site().await;
    let alice = site.client("alice");
    let lacks = |explained: &wire::Explanation| explained.paths[0].lacks.clone();
    assert_eq!(lacks(&alice.explain(&explain()).await.unwrap()), ["a one-time code"]);
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Pending, "the other path takes an approval");
    let app = enrol(&site, &alice).await;
    let me = alice.whoami().await.unwrap();
    assert!(me.code_until.is_some() && !me.touch, "the first code counts at once");
    assert!(lacks(&alice.explain(&explain()).await.unwrap()).is_empty());
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Approved);
    // Another token of hers has given none.
    let other = site.client("alice");
    assert_eq!(file(&other).await.unwrap(), wire::RequestState::Pending);
    let grant = alice.file_request(&ask("root", "dev1", 1200), &unique()).await.unwrap();
    assert_eq!(code(issue(&other, "alice", &grant.id, &key_of("alice")).await), "factor-needed");
    issue(&alice, "alice", &grant.id, &key_of("alice")).await.unwrap();
    // A quarter of an hour later it takes another one.
    site.clock.advance(Span::from_minutes(15));
    assert!(alice.whoami().await.unwrap().code_until.is_none());
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Pending);
    assert_eq!(code(issue(&alice, "alice", &grant.id, &key_of("alice")).await), "factor-needed");
    alice.verify_code(&app.shows(&site)).await.unwrap();
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Approved);
    issue(&alice, "alice", &grant.id, &key_of("alice")).await.unwrap();
    let listed = alice.factors(None).await.unwrap().items;
    assert!(listed.len() == 1 && listed[0].used.is_some(), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_also_after_a_restart() {
    let mut site = site().await;
    let app = enrol(&site, &site.client("alice")).await;
    assert_eq!(code(site.client("alice").verify_code(&app.shows(&site)).await), "code-used", "it confirmed it");
    let used = app.next(&site);
    site.client("alice").verify_code(&used).await.unwrap();
    assert_eq!(code(site.client("alice").verify_code(&used).await), "code-used");
    site.down().await;
    site.up().await;
    let alice = site.client("alice");
    assert!(alice.whoami().await.unwrap().code_until.is_none(), "tokens die with the process, and codes with them");
    assert_eq!(code(alice.verify_code(&used).await), "code-used");
    alice.verify_code(&app.next(&site)).await.unwrap();
    let refused = |record: &&model::Record| matches!(record.entry.fact, Fact::FactorRefused { .. });
    assert_eq!(ledger(&site).await.iter().filter(refused).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_use_one_code_once() {
    let site = site().await;
    let app = enrol(&site, &site.client("alice")).await;
    let shown = app.next(&site);
    let tries = (0..4).map(|_| {
        let (alice, shown) = (site.client("alice"), shown.clone());
        tokio::spawn(async move { alice.verify_code(&shown).await.is_ok() })
    });
    let mut good = 0;
    for task in tries.collect::<Vec<_>>() {
        good += usize::from(task.await.unwrap());
    }
    assert_eq!(good, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uses_the_code_of_another_or_without_an_authenticator() {
    let site = site().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    let hers = enrol(&site, &alice).await;
    assert_eq!(code(erin.verify_code(&hers.next(&site)).await), "unknown-factor");
    enrol(&site, &erin).await;
    assert_eq!(code(erin.verify_code(&hers.next(&site)).await), "code-refused");
    assert_eq!(code(erin.confirm_factor(&hers.id, &hers.shows(&site)).await), "unknown-factor");
    assert_eq!(code(erin.factors(Some("alice")).await), "forbidden");
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: None };
    assert_eq!(code(erin.remove_factor(&hers.id, &remove).await), "not-allowed");
    // Renaming sealed files gets nobody anywhere.
    let folder = site.dir.path().join("factors");
    let own = erin.factors(None).await.unwrap().items.remove(0).id;
    std::fs::copy(folder.join(hers.id.as_str()), folder.join(own.as_str())).unwrap();
    assert_eq!(code(erin.verify_code(&hers.next(&site)).await), "factor-unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_waits_and_so_does_a_good_code() {
    let site = site().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    let (app, other) = (enrol(&site, &alice).await, enrol(&site, &erin).await);
    let wrong = wire::Code { code: "not it".to_owned().into() };
    for _ in 0..5 {
        assert_eq!(code(alice.verify_code(&wrong).await), "code-refused");
    }
    assert_eq!(code(alice.verify_code(&app.next(&site)).await), "too-many");
    assert_eq!(code(site.client("alice").verify_code(&app.next(&site)).await), "too-many", "another login is no way");
    erin.verify_code(&other.next(&site)).await.unwrap();
    site.clock.advance(Span::from_minutes(15));
    alice.verify_code(&app.next(&site)).await.unwrap();
    let facts = ledger(&site).await;
    let refused = |record: &&model::Record| matches!(record.entry.fact, Fact::FactorRefused { .. });
    assert_eq!(facts.iter().filter(refused).count(), 7);
}

/// Wrong codes are for the authenticators that somebody has: once an administrator has taken the last one away, they hold up
/// nobody's next.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_clears_the_wait_and_nobody_else_does() {
    let site = site().await;
    let wrong = wire::Code { code: "not it".to_owned().into() };
    let guess = async || {
        let alice = site.client("alice");
        let mut last = String::new();
        for _ in 0..6 {
            last = code(alice.verify_code(&wrong).await);
        }
        assert_eq!(last, "too-many");
    };
    // Her own: removed by a code of the other one, and set up anew.
    let alice = site.client("alice");
    let first = enrol(&site, &alice).await;
    let second = enrol(&site, &alice).await;
    guess().await;
    alice.remove_factor(&first.id, &wire::RemoveFactor::default()).await.unwrap();
    assert_eq!(code(alice.verify_code(&second.next(&site)).await), "too-many", "her own removal clears nothing");
    let begun = alice.begin_factor().await.unwrap();
    let shown = TotpSecret::from_base32(&begun.secret).unwrap().code(site.clock.now()).unwrap();
    assert_eq!(code(alice.confirm_factor(&begun.id, &wire::Code { code: shown.into() }).await), "too-many");

    // An administrator's, as long as one is left that could be guessed, does not either.
    site.clock.advance(Span::from_minutes(15));
    alice.login().await.unwrap();
    alice.verify_code(&second.next(&site)).await.unwrap();
    let third = enrol(&site, &alice).await;
    guess().await;
    let adam = site.client("adam");
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: None };
    adam.remove_factor(&second.id, &remove).await.unwrap();
    assert_eq!(code(site.client("alice").verify_code(&third.next(&site)).await), "too-many");
    adam.remove_factor(&third.id, &remove).await.unwrap();
    let alice = site.client("alice");
    let fourth = enrol(&site, &alice).await;
    alice.verify_code(&fourth.next(&site)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_alone_adds_and_removes_nothing_beside_an_authenticator() {
    let site = site().await;
    let app = enrol(&site, &site.client("alice")).await;
    let thief = site.client("alice");
    assert_eq!(code(thief.begin_factor().await), "factor-needed");
    assert_eq!(code(thief.remove_factor(&app.id, &wire::RemoveFactor::default()).await), "factor-needed");
    let as_another = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: None };
    assert_eq!(code(thief.remove_factor(&app.id, &as_another).await), "factor-needed");
    // Nor does an administrator's get rid of their own.
    let admins = enrol(&site, &site.client("adam")).await;
    assert_eq!(
        code(site.client("adam").remove_factor(&admins.id, &wire::RemoveFactor::default()).await),
        "factor-needed"
    );
    let alice = site.client("alice");
    alice.verify_code(&app.next(&site)).await.unwrap();
    enrol(&site, &alice).await;
    assert_eq!(alice.factors(None).await.unwrap().items.len(), 2);
    alice.remove_factor(&app.id, &wire::RemoveFactor::default()).await.unwrap();
    assert!(alice.whoami().await.unwrap().code_until.is_some(), "the new one's first code made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_authenticator_takes_along_what_its_codes_made_more_of() {
    let site = site().await;
    let (alice, adam) = (site.client("alice"), site.client("adam"));
    let app = enrol(&site, &alice).await;
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Approved);
    let kept = site.dir.path().join("factors").join(app.id.as_str());
    assert!(kept.exists());
    assert_eq!(adam.factors(Some("alice")).await.unwrap().items[0].id, app.id);
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: Some("lost her phone".to_owned()) };
    adam.remove_factor(&app.id, &remove).await.unwrap();
    assert!(alice.whoami().await.unwrap().code_until.is_none());
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Pending);
    assert_eq!(code(alice.verify_code(&app.next(&site)).await), "unknown-factor");
    assert!(!kept.exists());
    let facts = ledger(&site).await;
    let removed = facts.iter().find(|record| record.entry.fact.kind() == "factor.removed").unwrap();
    assert_eq!(removed.entry.actor.to_string(), "adam");
    assert!(matches!(&removed.entry.fact, Fact::FactorRemoved { reason: Some(why), .. } if why == "lost her phone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_locked_gives_no_code() {
    let site = site().await;
    let alice = site.client("alice");
    let app = enrol(&site, &alice).await;
    let passed = pass(&site, "alice", "root+dev1").await;
    let lock = wire::PlaceLock { subject: "identity:alice".to_owned(), reason: "stolen".to_owned(), duration: None };
    site.client("sam").lock(&lock).await.unwrap();
    let shown = app.next(&site);
    assert_eq!(code(alice.verify_code(&shown).await), "locked");
    assert_eq!(code(alice.begin_factor().await), "locked");
    assert_eq!(code(passed.verify_code(&shown).await), "locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_proxy_a_code_counts_for_that_log_in_and_no_other() {
    let site = site().await;
    let alice = site.client("alice");
    let app = enrol(&site, &alice).await;
    let grant = alice.file_request(&ask("root", "dev1", 1800), &unique()).await.unwrap();
    let (one, two) = (pass(&site, "alice", "root+dev1").await, pass(&site, "alice", "root+dev1").await);
    assert_eq!(code(one.enter_by_pass(&there()).await), "factor-needed");
    one.verify_code(&app.next(&site)).await.unwrap();
    assert_eq!(code(two.enter_by_pass(&there()).await), "factor-needed");
    let opened = one.enter_by_pass(&there()).await.unwrap();
    assert_eq!(opened.request, grant.id);
    let facts = ledger(&site).await;
    let shown = |record: &model::Record| {
        let Fact::SessionOpened { presence: Some(presence), .. } = &record.entry.fact else { return None };
        Some((presence.touch, presence.totp))
    };
    assert_eq!(facts.iter().find_map(shown), Some((false, true)));
    let used = facts.iter().rev().find(|record| record.entry.fact.kind() == "factor.used").unwrap();
    assert_eq!(used.entry.actor.to_string(), "alice through proxy:proxy1");
    // With a pass nobody sets an authenticator up, nor takes one away.
    assert_eq!(code(one.begin_factor().await), "forbidden");
    assert_eq!(code(one.remove_factor(&app.id, &wire::RemoveFactor::default()).await), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_lets_a_proxy_pass_on_no_more_than_the_directory_does() {
    let site = site().await;
    let app = enrol(&site, &site.client("alice")).await;
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::write(&directory, text.replace("desk = \"review\"", "desk = \"sessions\"")).unwrap();
    let passed = pass(&site, "alice", "root+dev1").await;
    let nobodys = model::RequestId::from_random(7);
    eventually("the directory", || async { (code(passed.cancel(&nobodys).await) == "forbidden").then_some(()) }).await;
    passed.verify_code(&app.next(&site)).await.unwrap();
    assert_eq!(code(file(&passed).await), "forbidden");
    // Under a grant that she asked for herself it opens the session.
    let alice = site.client("alice");
    alice.verify_code(&app.next(&site)).await.unwrap();
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Approved);
    passed.enter_by_pass(&there()).await.unwrap();
}

/// What a proxy hears when somebody has logged in: whether to ask for a code.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_hears_whether_to_ask() {
    let site = site().await;
    let (alice, proxy) = (site.client("alice"), site.client("proxy:proxy1"));
    let buy = async |target: &str| {
        let user = format!("root+{target}");
        let place = (Some("root".to_owned()), Some(target.to_owned()));
        let body = wire::BuyPass { login: place.0, target: place.1, ..visitor(&key_of("alice"), &user) };
        let bought = proxy.buy_pass(&body).await.unwrap();
        (bought.authenticator, bought.code)
    };
    assert_eq!(buy("dev1").await, (false, false), "she has none");
    let app = enrol(&site, &alice).await;
    assert_eq!(buy("dev1").await, (true, false), "another path gives it without");
    assert_eq!(file(&alice).await.unwrap(), wire::RequestState::Approved);
    assert_eq!(buy("dev1").await, (true, true), "the grant wants one");
    assert_eq!(buy("web1").await, (true, false));
    assert_eq!(buy("nowhere\u{1b}").await, (true, false));
    let bare = proxy.buy_pass(&visitor(&key_of("alice"), "alice")).await.unwrap();
    assert!(bare.authenticator && !bare.code, "who only comes to the desk is not asked");
    let with = proxy.with_pass(Arc::new(Zeroizing::new(bare.token)));
    with.verify_code(&app.next(&site)).await.unwrap();
    assert_eq!(file(&with).await.unwrap(), wire::RequestState::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_ledger_nor_the_disk_has_the_secret() {
    let site = site().await;
    let alice = site.client("alice");
    let begun = alice.begin_factor().await.unwrap();
    assert!(!format!("{begun:?}").contains(&*begun.secret), "shown in a log");
    let app = App { id: begun.id.clone(), secret: TotpSecret::from_base32(&begun.secret).unwrap() };
    alice.confirm_factor(&begun.id, &app.shows(&site)).await.unwrap();
    let hex: String = app.secret.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = serde_json::to_string(&ledger(&site).await).unwrap();
    let sealed = std::fs::read_to_string(site.dir.path().join("factors").join(app.id.as_str())).unwrap();
    for hidden in [&*begun.secret, hex.as_str()] {
        assert!(!text.contains(hidden) && !sealed.contains(hidden));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_code_must_be_its_own_and_come_in_time() {
    let site = site().await;
    let alice = site.client("alice");
    let begun = alice.begin_factor().await.unwrap();
    let app = App { id: begun.id.clone(), secret: TotpSecret::from_base32(&begun.secret).unwrap() };
    let wrong = wire::Code { code: "000".to_owned().into() };
    assert_eq!(code(alice.confirm_factor(&begun.id, &wrong).await), "code-refused");
    assert_eq!(code(alice.verify_code(&app.shows(&site)).await), "unknown-factor", "it does not count yet");
    // The last one that was begun is the one that is meant.
    let again = alice.begin_factor().await.unwrap();
    assert_eq!(code(alice.confirm_factor(&begun.id, &app.shows(&site)).await), "unknown-factor");
    site.clock.advance(Span::from_minutes(10));
    let late = TotpSecret::from_base32(&again.secret).unwrap().code(site.clock.now()).unwrap();
    assert_eq!(code(alice.confirm_factor(&again.id, &wire::Code { code: late.into() }).await), "unknown-factor");
    assert!(alice.factors(None).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_does_where_any_factor_will() {
    let site = Site::start().await;
    policy(&site, "any").await;
    let alice = site.client("alice");
    let touched = wire::ExplainRequest { touch: Some(true), ..explain() };
    assert!(alice.explain(&touched).await.unwrap().paths[0].lacks.is_empty());
    let coded = wire::ExplainRequest { totp: Some(true), ..explain() };
    assert!(alice.explain(&coded).await.unwrap().paths[0].lacks.is_empty());
    let lacks = &alice.explain(&explain()).await.unwrap().paths[0].lacks;
    assert_eq!(lacks, &["a one-time code or a touched security key"]);
}

/// Somebody who has copied the session token, and nothing else.
fn copy_of(site: &Site, login: &wire::LoginResponse) -> Client {
    site.anonymous().with_token(login.token.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_makes_no_more_of_a_copied_token() {
    let site = site().await;
    let alice = site.client("alice");
    let login = alice.login().await.unwrap();
    let early = copy_of(&site, &login);
    let app = enrol(&site, &alice).await;
    assert_eq!(code(early.whoami().await), "unauthenticated", "the first code ended it");
    let login = site.client("alice").login().await.unwrap();
    let (alice, copy) = (copy_of(&site, &login), copy_of(&site, &login));
    assert!(copy.whoami().await.is_ok());
    let taken = alice.verify_code(&app.next(&site)).await.unwrap();
    assert_eq!(taken.login.unwrap().expires.0, login.expires.0, "it lives no longer for it");
    assert!(alice.whoami().await.unwrap().code_until.is_some());
    assert_eq!(code(copy.whoami().await), "unauthenticated");
    assert_eq!(code(copy.begin_factor().await), "unauthenticated");
    // A pass is good for its proxy alone and goes on.
    let passed = pass(&site, "alice", "root+dev1").await;
    assert!(passed.verify_code(&app.next(&site)).await.unwrap().login.is_none());
    assert!(passed.requests(None, true, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_sets_up_no_authenticator() {
    let site = site().await;
    let login = site.client("alice").login().await.unwrap();
    let thief = copy_of(&site, &login);
    site.clock.advance(Span::from_minutes(10));
    let ClientError::Problem(late) = thief.begin_factor().await.unwrap_err() else { panic!("the CA did not answer") };
    assert_eq!(
        (late.code.as_str(), late.detail.contains("a login of the last 10m")),
        ("login-too-old", true),
        "{late}"
    );
    assert!(late.hint.as_deref().is_some_and(|hint| hint.contains("portcullis login")), "{late:?}");
    let app = enrol(&site, &site.client("alice")).await;
    // Once an administrator has removed it, no token from before is good for anything.
    let login = site.client("alice").login().await.unwrap();
    let thief = copy_of(&site, &login);
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: Some("stolen".to_owned()) };
    site.client("adam").remove_factor(&app.id, &remove).await.unwrap();
    assert_eq!(code(thief.begin_factor().await), "unauthenticated");
    enrol(&site, &site.client("alice")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_guess_is_lost_among_other_refusals() {
    let site = site().await;
    let alice = site.client("alice");
    enrol(&site, &alice).await;
    for _ in 0..60 {
        alice.file_request(&ask("root", "nowhere", 60), &unique()).await.unwrap_err();
    }
    for _ in 0..5 {
        assert_eq!(code(alice.verify_code(&wire::Code { code: "000000".to_owned().into() }).await), "code-refused");
    }
    let refused = |record: &&model::Record| matches!(record.entry.fact, Fact::FactorRefused { .. });
    assert_eq!(ledger(&site).await.iter().filter(refused).count(), 5);
}

/// Where the CA itself cannot read what an authenticator shares, nobody has guessed, and nobody gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_no_wrong_code() {
    let site = site().await;
    let alice = site.client("alice");
    let app = enrol(&site, &alice).await;
    let file = site.dir.path().join("factors").join(app.id.as_str());
    let sealed = std::fs::read(&file).unwrap();
    let mut other = sealed.clone();
    other[30] = if other[30] == b'0' { b'1' } else { b'0' };
    let refusals = async || {
        let refused = |record: &&model::Record| matches!(record.entry.fact, Fact::FactorRefused { .. });
        ledger(&site).await.iter().filter(refused).count()
    };
    // More often than somebody may guess.
    for _ in 0..4 {
        write_private(&file, &other);
        assert_eq!(code(alice.verify_code(&app.next(&site)).await), "factor-unreadable");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(code(alice.verify_code(&app.next(&site)).await), "factor-unreadable");
    }
    assert_eq!(refusals().await, 0);
    write_private(&file, &sealed);
    alice.verify_code(&app.next(&site)).await.unwrap();
    // Beside one that can be read, a wrong code is one all the same.
    let second = enrol(&site, &alice).await;
    write_private(&file, &other);
    let wrong = wire::Code { code: "000000".to_owned().into() };
    assert_eq!(code(alice.verify_code(&wrong).await), "code-refused");
    assert_eq!(refusals().await, 1);
    alice.verify_code(&second.next(&site)).await.unwrap();
}

fn write_private(path: &std::path::Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What codes have opened goes on when an administrator takes the authenticator away, and they are told.
#[tokio::test(flavor = "multi_thread")]
async fn who_removes_a_stolen_one_is_told_what_goes_on() {
    let site = site().await;
    let alice = site.client("alice");
    let app = enrol(&site, &alice).await;
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: Some("stolen".to_owned()) };
    site.session("root", "web1").await;
    let left = site.client("adam").remove_factor(&app.id, &remove).await.unwrap();
    assert_eq!(left, wire::FactorRemoved { factors: 0, grants: 1, sessions: 1 });
}

/// Who has stolen a phone may have begun another enrolment with it: that is over with the removal, and one that was ended in
/// time is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_thief_began_ends_with_the_removal_and_what_is_left_is_counted() {
    let site = site().await;
    let (alice, adam) = (site.client("alice"), site.client("adam"));
    let first = enrol(&site, &alice).await;
    let second = enrol(&site, &alice).await;
    let begun = alice.begin_factor().await.unwrap();
    let third = App { id: begun.id.clone(), secret: TotpSecret::from_base32(&begun.secret).unwrap() };
    let remove = wire::RemoveFactor { identity: Some("alice".to_owned()), reason: Some("stolen".to_owned()) };
    assert_eq!(adam.remove_factor(&first.id, &remove).await.unwrap().factors, 1);
    assert_eq!(adam.remove_factor(&second.id, &remove).await.unwrap().factors, 0);
    alice.login().await.unwrap();
    assert_eq!(code(alice.confirm_factor(&third.id, &third.shows(&site)).await), "unknown-factor");
}
