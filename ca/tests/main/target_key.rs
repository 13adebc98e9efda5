//! Targets that know no certificates: the key that the CA holds for each, and the one log-in a session that it signs.

use std::path::PathBuf;

use api::wire;
use model::{Fact, SessionEnd, Span};
use sha2::{Digest as _, Sha256};
use signature::Verifier as _;
use ssh_key::{PublicKey, Signature};

use crate::site::{Site, code, kinds, ledger, unique};

const PINNED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn web9() -> wire::RegisterTarget {
    let target = serde_json::json!({
        "name": "web9", "addresses": ["10.0.0.9:22"], "logins": ["root", "deploy"], "labels": { "env": "prod" },
        "auth": "target-key", "host-keys": [PINNED],
    });
    wire::RegisterTarget { target: serde_json::from_value(target).unwrap(), replace: false }
}

/// A site with web9, for which the CA holds a key.
async fn site() -> (Site, wire::TargetKey) {
    let site = Site::start().await;
    let adam = site.client("adam");
    adam.register_target(&web9()).await.unwrap();
    let key = adam.make_target_key(&"web9".parse().unwrap(), &wire::MakeTargetKey::default()).await.unwrap();
    (site, key)
}

/// A session of alice's on web9, just opened by proxy1.
async fn opened(site: &Site) -> wire::OpenedSession {
    site.session("root", "web9").await.2
}

/// What proxy1 asks to log in to a connection of its own, and the session identifier of that.
fn ask(login: &str) -> (wire::SignForTarget, Vec<u8>) {
    let session_id = Sha256::digest(unique().as_bytes()).to_vec();
    (wire::SignForTarget { login: login.to_owned(), session_id: hex::encode(&session_id) }, session_id)
}

/// Whether this key signed the log-in as this user to this connection (RFC 4252, section 7), and nothing else.
fn logs_in(key: &str, session_id: &[u8], user: &str, answer: &wire::TargetSignature) -> bool {
    let key = PublicKey::from_openssh(key).unwrap();
    let mut signed = Vec::new();
    let mut string = |bytes: &[u8], behind: &[u8]| {
        signed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        signed.extend(bytes);
        signed.extend(behind);
    };
    string(session_id, &[50]);
    string(user.as_bytes(), &[]);
    string(b"ssh-connection", &[]);
    string(b"publickey", &[1]);
    string(b"ssh-ed25519", &[]);
    string(&key.to_bytes().unwrap(), &[]);
    let signature = Signature::try_from(hex::decode(&answer.signature).unwrap().as_slice()).unwrap();
    key.key_data().verify(&signed, &signature).is_ok()
}

/// The files of keys.
fn files(site: &Site) -> Vec<PathBuf> {
    let folder = site.dir.path().join("keys").join("targets");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.ends_with("swept"));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_logged_in_once_with_the_key_of_its_target() {
    let (site, key) = site().await;
    let proxy = site.client("proxy:proxy1");
    let session = opened(&site).await;
    assert_eq!(session.credential, wire::Credential::TargetKey(key.public_key.clone()));
    assert_eq!(session.host_keys, [PINNED]);
    let (wish, session_id) = ask("root");
    let answer = proxy.sign_for_target(&session.session, &wish).await.unwrap();
    assert!(logs_in(&key.public_key, &session_id, "root", &answer));
    assert!(!logs_in(&key.public_key, &session_id, "deploy", &answer));
    assert!(!logs_in(&key.public_key, &Sha256::digest(b"another"), "root", &answer));

    // Neither again for the same connection, nor for another one.
    assert_eq!(code(proxy.sign_for_target(&session.session, &wish).await), "target-key-spent");
    assert_eq!(code(proxy.sign_for_target(&session.session, &ask("root").0).await), "target-key-spent");

    let records = ledger(&site).await;
    let of_grant: Vec<_> =
        records.iter().filter(|record| record.entry.correlation.as_str() == session.request.as_str()).collect();
    let facts: Vec<_> = of_grant.iter().map(|record| record.entry.fact.kind()).collect();
    assert_eq!(facts[facts.len() - 4..], ["session.opened", "target.key-used", "session.refused", "session.refused"]);
    let used = of_grant.iter().map(|record| &record.entry.fact).find(|fact| fact.kind() == "target.key-used").unwrap();
    let Fact::TargetKeyUsed { target, login, key: by, connection, .. } = used else { panic!("{used:?}") };
    assert_eq!((target.as_str(), login.as_str(), by), ("web9", "root", &key.fingerprint));
    assert_eq!(*connection, hex::encode(Sha256::digest(&session_id)));
    // No certificate of it exists that a proxy could use beside it.
    let certified = |fact: &Fact| {
        matches!(fact, Fact::CertificateIntended { certificate, .. }
            if certificate.profile == model::CertificateProfile::Session)
    };
    assert!(!records.iter().any(|record| certified(&record.entry.fact)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_signature_but_the_sessions_proxy_for_the_sessions_login() {
    let (site, _) = site().await;
    let (id, wish) = (opened(&site).await.session, ask("root").0);
    assert_eq!(code(site.client("proxy:proxy2").sign_for_target(&id, &wish).await), "not-its-proxy");
    for person in ["alice", "adam"] {
        assert_eq!(code(site.client(person).sign_for_target(&id, &wish).await), "forbidden", "{person}");
    }
    let proxy = site.client("proxy:proxy1");
    assert_eq!(code(proxy.sign_for_target(&id, &ask("deploy").0).await), "bad-login");
    assert_eq!(code(proxy.sign_for_target(&id, &ask("ro ot").0).await), "bad-request");
    for session_id in ["", "00", "zz", &"00".repeat(31), &"00".repeat(65)] {
        let wish = wire::SignForTarget { session_id: session_id.to_owned(), ..wish.clone() };
        assert_eq!(code(proxy.sign_for_target(&id, &wish).await), "bad-request", "{session_id}");
    }
    assert_eq!(code(proxy.sign_for_target(&"ses-000000000000".parse().unwrap(), &wish).await), "unknown-session");
    // None of that has used it up.
    proxy.sign_for_target(&id, &wish).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_signs_as_long_as_a_session_certificate_lives() {
    let (site, _) = site().await;
    let (proxy, session) = (site.client("proxy:proxy1"), opened(&site).await.session);
    site.clock.advance(Span::from_minutes(2));
    assert_eq!(code(proxy.sign_for_target(&session, &ask("root").0).await), "target-key-late");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_not_logged_in() {
    let (site, _) = site().await;
    let proxy = site.client("proxy:proxy1");
    let sign = async |session: &model::SessionId| code(proxy.sign_for_target(session, &ask("root").0).await);

    let ended = opened(&site).await;
    let end = wire::SessionReport::Ended { end: SessionEnd::Client, cut: None, dropped: ended.deadline };
    let reports = wire::SessionReports { told: None, reports: vec![end] };
    proxy.report(&ended.session, &reports).await.unwrap();
    assert_eq!(sign(&ended.session).await, "session-not-live");

    let killed = opened(&site).await;
    site.client("sam").kill(&killed.session, &wire::Kill::default()).await.unwrap();
    assert_eq!(sign(&killed.session).await, "session-not-live");

    let revoked = opened(&site).await;
    let why = wire::Revoke { reason: Some("enough".to_owned()) };
    site.client("bob").revoke(&revoked.request, &why).await.unwrap();
    assert_eq!(sign(&revoked.session).await, "session-not-live");

    let locked = opened(&site).await;
    let lock =
        |subject: &str| wire::PlaceLock { subject: subject.to_owned(), reason: "on fire".to_owned(), duration: None };
    site.client("sam").lock(&lock("target:web9")).await.unwrap();
    assert_eq!(sign(&locked.session).await, "session-not-live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_time_is_up_signs_nothing() {
    let (site, _) = site().await;
    let grant = site.grant("root", "web9", 1).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let proxy = site.client("proxy:proxy1");
    let session = proxy.open_session(&Site::knock(&certificate, "root", "web9")).await.unwrap().session;
    site.clock.advance(Span::from_seconds(61));
    let refused = code(proxy.sign_for_target(&session, &ask("root").0).await);
    // Whichever comes first, the clock's tick or the question.
    assert!(["no-active-grant", "session-not-live"].contains(&refused.as_str()), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_certificates_has_no_key() {
    let (site, _) = site().await;
    let (proxy, adam) = (site.client("proxy:proxy1"), site.client("adam"));
    let (_, _, session) = site.session("root", "web1").await;
    assert!(matches!(session.credential, wire::Credential::Certificate(_)));
    assert_eq!(code(proxy.sign_for_target(&session.session, &ask("root").0).await), "no-target-key");
    let web1 = "web1".parse().unwrap();
    assert_eq!(code(adam.make_target_key(&web1, &wire::MakeTargetKey::default()).await), "no-target-key");

    // One that was taken from the directory's file is left; its key signs nothing, and is kept.
    let session = opened(&site).await;
    site.write_directory(&crate::site::PEOPLE);
    crate::site::eventually("the directory without web9", async || {
        let targets = adam.targets().await.unwrap().items;
        (!targets.iter().any(|target| target.name.as_str() == "web9")).then_some(())
    })
    .await;
    assert_eq!(code(proxy.sign_for_target(&session.session, &ask("root").0).await), "session-not-live");
    assert_eq!(files(&site).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pinned_host_key_or_a_key_nothing_is_opened() {
    let site = Site::start().await;
    let (adam, proxy) = (site.client("adam"), site.client("proxy:proxy1"));
    let mut unpinned = web9();
    unpinned.target.host_keys.clear();
    let refused = adam.register_target(&unpinned).await.unwrap_err();
    assert!(refused.to_string().contains("no pinned host key"), "{refused}");
    adam.register_target(&web9()).await.unwrap();
    let none = adam.target_key(&"web9".parse().unwrap()).await.unwrap_err();
    assert!(none.to_string().contains("no key was made for web9 yet"), "{none}");

    let grant = site.grant("root", "web9", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let early = proxy.open_session(&Site::knock(&certificate, "root", "web9")).await.unwrap_err();
    assert_eq!(early.code(), Some("no-target-key"));
    assert!(early.to_string().contains("web9"), "{early}");
    // Who has no grant learns nothing of it.
    let none = Site::knock(&certificate, "deploy", "web9");
    assert_eq!(code(proxy.open_session(&none).await), "no-active-grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_anew_when_asked_and_destroyed_with_its_target() {
    let (mut site, first) = site().await;
    let name = "web9".parse().unwrap();
    let keep = wire::MakeTargetKey::default();
    let again = site.client("adam").make_target_key(&name, &keep).await.unwrap();
    assert_eq!(again.fingerprint, first.fingerprint);
    let listed = site.client("adam").targets().await.unwrap().items;
    let web9_now = listed.iter().find(|target| target.name == name).unwrap();
    assert_eq!(web9_now.target_key.as_ref(), Some(&first.fingerprint));
    let seen = site.client("alice").targets().await.unwrap().items;
    assert!(seen.iter().all(|target| target.target_key.is_none() && target.host_keys.is_empty()));

    // It outlives the process, and a file that no fact explains is put aside.
    let stray = site.dir.path().join("keys").join("targets").join("0123456789abcdef0123456789abcdef");
    std::fs::write(&stray, "left by a crash").unwrap();
    site.down().await;
    site.up().await;
    assert!(!stray.exists() && stray.with_file_name("swept").join(stray.file_name().unwrap()).exists());
    let (proxy, adam) = (site.client("proxy:proxy1"), site.client("adam"));
    let session = opened(&site).await;
    let (wish, session_id) = ask("root");
    let answer = proxy.sign_for_target(&session.session, &wish).await.unwrap();
    assert!(logs_in(&first.public_key, &session_id, "root", &answer));

    let before = files(&site);
    let second = adam.make_target_key(&name, &wire::MakeTargetKey { rotate: true }).await.unwrap();
    assert_ne!(second.fingerprint, first.fingerprint);
    let after = files(&site);
    assert!(after.len() == 2 && before.iter().all(|file| !after.contains(file)), "{before:?} {after:?}");
    let session = opened(&site).await;
    let (wish, session_id) = ask("root");
    let answer = proxy.sign_for_target(&session.session, &wish).await.unwrap();
    assert!(logs_in(&second.public_key, &session_id, "root", &answer));

    // Who only changes its address does not lose the key by leaving a word out.
    let mut plain = wire::RegisterTarget { replace: true, ..web9() };
    plain.target.auth = model::TargetAuth::Certificate;
    assert_eq!(code(adam.register_target(&plain).await), "target-key-held");
    adam.register_target(&wire::RegisterTarget { replace: true, ..web9() }).await.unwrap();
    assert_eq!(files(&site), after);

    // Who looks makes none.
    adam.destroy_target_key(&name).await.unwrap();
    let none = adam.target_key(&name).await.unwrap_err();
    assert_eq!(none.code(), Some("no-target-key"));
    assert!(none.to_string().contains("the key of web9 was destroyed at 20"), "{none}");
    assert!(files(&site).is_empty());
    let third = adam.make_target_key(&name, &keep).await.unwrap();
    assert_eq!(adam.target_key(&name).await.unwrap().fingerprint, third.fingerprint);

    adam.remove_target(&name).await.unwrap();
    assert!(files(&site).is_empty());
    let counted = kinds(&ledger(&site).await);
    assert_eq!((counted["target.key-made"], counted["target.key-destroyed"]), (3, 3));
    assert_eq!(code(adam.destroy_target_key(&name).await), "not-found");
    assert!(portcullis_ca_verifies(&site).await);
}

/// Whether the ledger reads back from its beginning, as a start without a snapshot reads it.
async fn portcullis_ca_verifies(site: &Site) -> bool {
    let records = ledger(site).await;
    let mut state = access::State::new();
    records.iter().all(|record| state.apply(record).is_ok())
}
