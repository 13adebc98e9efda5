//! A proxy that somebody else holds: what it can do with the certificates that it has seen, and without their person.

use std::collections::BTreeSet;

use api::wire;
use model::{Actor, Correlation, Entry, Fact, Presence, RequestId, SessionEnd, SessionId, WayIn};
use ssh_key::{Certificate, PrivateKey};
use store::Clock as _;

use crate::site::{Site, code, key_of, ledger, log_in, log_in_by, sign_with, unique};
use crate::touch::{SecurityKey, certify};

/// alice's certificate under a grant for root@web1.
async fn certified(site: &Site) -> (RequestId, String) {
    let grant = site.grant("root", "web1", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    (grant, certificate)
}

async fn ask(site: &Site, knock: &wire::OpenSession) -> String {
    code(site.client("proxy:proxy1").open_session(knock).await)
}

fn opened(facts: &[model::Record]) -> Vec<&Presence> {
    facts
        .iter()
        .filter_map(|record| {
            let Fact::SessionOpened { presence, .. } = &record.entry.fact else { return None };
            presence.as_ref()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_log_in_opens_one_session_and_a_restart_does_not_change_that() {
    let mut site = Site::start().await;
    let (_, certificate) = certified(&site).await;
    let knock = Site::knock(&certificate, "root", "web1");
    let first = site.client("proxy:proxy1").open_session(&knock).await.unwrap();
    assert_eq!(ask(&site, &knock).await, "presence-spent");
    // Neither another ephemeral key nor another address makes it a new one, nor does the end of the session.
    let again = wire::OpenSession {
        presence: knock.presence.clone(),
        address: "192.0.2.8".to_owned(),
        ..Site::knock(&certificate, "root", "web1")
    };
    assert_eq!(ask(&site, &again).await, "presence-spent");
    let ended = wire::SessionReport::Ended { end: SessionEnd::Client, cut: None, dropped: first.deadline };
    let proxy = site.client("proxy:proxy1");
    proxy.report(&first.session, &reports(&ended)).await.unwrap();
    assert_eq!(ask(&site, &again).await, "presence-spent");
    site.down().await;
    site.up().await;
    assert_eq!(ask(&site, &again).await, "presence-spent");
    // Whoever really connects again, gets in again.
    site.client("proxy:proxy1").open_session(&Site::knock(&certificate, "root", "web1")).await.unwrap();
    let facts = ledger(&site).await;
    let opened = opened(&facts);
    assert_eq!(opened.len(), 2);
    assert_ne!(opened[0].sha256, opened[1].sha256);
    let serial = Certificate::from_openssh(&certificate).unwrap().serial();
    assert!(
        opened
            .iter()
            .all(|presence| presence.certificate.is_some_and(|known| known.get() == serial) && !presence.touch)
    );
}

fn reports(report: &wire::SessionReport) -> wire::SessionReports {
    serde_json::from_value(serde_json::json!({ "reports": [report] })).unwrap()
}

/// The state keeps the last ten thousand ended sessions; the ledger keeps every log-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_stays_spent_when_its_session_is_long_forgotten() {
    let mut site = Site::start().await;
    let (grant, certificate) = certified(&site).await;
    let knock = Site::knock(&certificate, "root", "web1");
    let first = site.client("proxy:proxy1").open_session(&knock).await.unwrap();
    let ended = wire::SessionReport::Ended { end: SessionEnd::Client, cut: None, dropped: first.deadline };
    site.client("proxy:proxy1").report(&first.session, &reports(&ended)).await.unwrap();
    site.down().await;
    let now = site.clock.now();
    let entry = |fact| Entry {
        time: now,
        actor: Actor::Proxy("proxy1".parse().unwrap()),
        correlation: Correlation::from(&grant),
        fact,
    };
    let many = (1..=access::RETENTION as u64).flat_map(|number| {
        let session = SessionId::from_random(number);
        let opened = Fact::SessionOpened {
            session: session.clone(),
            request: grant.clone(),
            identity: "alice".parse().unwrap(),
            target: "web1".parse().unwrap(),
            login: "root".parse().unwrap(),
            address: "192.0.2.7".to_owned(),
            proxy: "proxy1".parse().unwrap(),
            way: WayIn::Jump,
            bought_with: None,
            presence: None,
        };
        [entry(opened), entry(Fact::SessionEnded { session, end: SessionEnd::Client, cut: None, dropped: now })]
    });
    store::fill(site.store().as_ref(), many).unwrap();
    site.up().await;
    assert!(code(site.client("sam").kill(&first.session, &wire::Kill::default()).await).starts_with("not-found"));
    assert_eq!(ask(&site, &knock).await, "presence-spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_person_opens_nothing() {
    let site = Site::start().await;
    let (_, certificate) = certified(&site).await;
    let other = site.grant("root", "web1", 20).await;
    let other = site.certificate("alice", &other).await.unwrap().certificate.unwrap();
    let good = Site::knock(&certificate, "root", "web1");
    let with = |presence: wire::Presence| wire::OpenSession { presence, ..good.clone() };
    let changed = |change: &dyn Fn(&mut wire::Presence)| {
        let mut presence = good.presence.clone();
        change(&mut presence);
        with(presence)
    };
    let alice = key_of("alice");
    let signed =
        |key: &PrivateKey, certificate: &str, user: &str| with(log_in(key, certificate, user, b"a connection"));
    let cases = [
        ("no signature", changed(&|presence| presence.signature.clear())),
        ("no session identifier", changed(&|presence| presence.session_id.clear())),
        ("another session identifier", changed(&|presence| presence.session_id = hex::encode([7; 32]))),
        ("a session identifier that goes on", changed(&|presence| presence.session_id.push_str("00"))),
        (
            "a changed signature",
            changed(&|presence| {
                let last = presence.signature.pop().unwrap();
                presence.signature.push(if last == '0' { '1' } else { '0' });
            }),
        ),
        ("the proxy's own key", signed(&key_of("proxy:proxy1"), &certificate, "root")),
        ("somebody else's key", signed(&key_of("erin"), &certificate, "root")),
        ("another certificate of hers", signed(&alice, &other, "root")),
        ("a log-in at the door of the jump host", signed(&alice, &certificate, "alice")),
        ("another login", signed(&alice, &certificate, "deploy")),
        ("another user name said than signed", changed(&|presence| presence.user = "deploy".to_owned())),
        ("the other way in", wire::OpenSession { way: WayIn::Plus, ..good.clone() }),
        ("another target, the other way", {
            let presence = log_in(&alice, &certificate, "root+dev1", b"a connection");
            wire::OpenSession { way: WayIn::Plus, ..with(presence) }
        }),
    ];
    let count = cases.len();
    for (what, knock) in cases {
        assert_eq!(ask(&site, &knock).await, "presence-refused", "{what}");
    }
    let nonsense = changed(&|presence| presence.signature = "no hexadecimal".to_owned());
    assert_eq!(ask(&site, &nonsense).await, "bad-request");
    // A proxy of before this was asked for, or one that leaves it out.
    let (http, url) = site.raw();
    let mut without = serde_json::to_value(&good).unwrap();
    without.as_object_mut().unwrap().remove("presence");
    let token = site.token("proxy:proxy1").await;
    let answer = http.post(format!("{url}/v1/sessions")).bearer_auth(token).json(&without).send().await.unwrap();
    assert!(answer.status().is_client_error());
    // Whoever reads the ledger sees that a proxy tries.
    let facts = ledger(&site).await;
    let refused = |record: &&model::Record| matches!(&record.entry.fact, Fact::SessionRefused { reason, .. } if reason.starts_with("nothing shows that alice is there"));
    assert_eq!(facts.iter().filter(refused).count(), count);
    assert!(opened(&facts).is_empty());
    // None of that spent the real one; and one for login and target opens them.
    let proxy = site.client("proxy:proxy1");
    proxy.open_session(&good).await.unwrap();
    let plus = log_in(&alice, &certificate, "root+WEB1", unique().as_bytes());
    proxy.open_session(&wire::OpenSession { way: WayIn::Plus, ..with(plus) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_one_log_in_are_one() {
    let site = Site::start().await;
    let (_, certificate) = certified(&site).await;
    let knock = Site::knock(&certificate, "root", "web1");
    let proxy = site.client("proxy:proxy1");
    proxy.login().await.unwrap();
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let (proxy, knock) = (proxy.clone(), knock.clone());
            tokio::spawn(async move { proxy.open_session(&knock).await })
        })
        .collect();
    let (mut sessions, mut refused) = (BTreeSet::new(), 0);
    for ask in asks {
        match ask.await.unwrap() {
            Ok(opened) => drop(sessions.insert(opened.session)),
            Err(error) => {
                assert_eq!(error.code(), Some("presence-spent"));
                refused += 1;
            }
        }
    }
    assert_eq!((sessions.len(), refused), (1, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_key_is_touched_for_each_session() {
    let site = Site::start().await;
    let grant = site.grant("root", "web1", 30).await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let certificate = certify(&alice, &grant, true).await.unwrap().certificate.unwrap();
    let knock = |touched: bool| {
        let sign = |message: &[u8]| SecurityKey { touched }.sign(message);
        wire::OpenSession {
            presence: log_in_by(&sign, &certificate, "root", unique().as_bytes()),
            ..Site::knock(&certificate, "root", "web1")
        }
    };
    assert_eq!(ask(&site, &knock(false)).await, "presence-refused");
    site.client("proxy:proxy1").open_session(&knock(true)).await.unwrap();
    let facts = ledger(&site).await;
    assert!(matches!(opened(&facts)[..], [Presence { touch: true, .. }]));
    // A signature of the same seed as a plain key is none of the security key's.
    let plain = |message: &[u8]| sign_with(&key_of("alice's security key"), message);
    let presence = log_in_by(&plain, &certificate, "root", unique().as_bytes());
    let knock = wire::OpenSession { presence, ..Site::knock(&certificate, "root", "web1") };
    assert_eq!(ask(&site, &knock).await, "presence-refused");
}
