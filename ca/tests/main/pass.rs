//! Passes: what a plain key buys at a proxy, what a proxy can do with one, and what not.

use std::sync::Arc;

use api::{Client, wire};
use model::{Actor, Fact, RequestId, Span, WayIn};
use ssh_key::PrivateKey;
use zeroize::Zeroizing;

use crate::site::{Site, ask, certificate_of, code, eventually, key_of, ledger, log_in_plainly, log_in_with, unique};
use crate::touch::SecurityKey;

/// What a proxy sends when a plain key logged in as this user.
pub(crate) fn visitor(key: &PrivateKey, user: &str) -> wire::BuyPass {
    wire::BuyPass {
        public_key: key.public_key().to_openssh().unwrap(),
        address: "192.0.2.7".to_owned(),
        login: None,
        target: None,
        presence: log_in_plainly(key, user, unique().as_bytes()),
    }
}

/// A proxy's client with a pass.
fn with(proxy: &Client, pass: &wire::Pass) -> Client {
    proxy.with_pass(Arc::new(Zeroizing::new(pass.token.clone())))
}

/// somebody's pass at proxy1, for `root+web1` or another user name.
pub(crate) async fn pass(site: &Site, name: &str, user: &str) -> Client {
    let proxy = site.client("proxy:proxy1");
    let pass = proxy.buy_pass(&visitor(&key_of(name), user)).await.unwrap();
    assert_eq!(pass.identity.as_str(), name);
    with(&proxy, &pass)
}

fn to(login: &str, target: &str, way: WayIn) -> wire::EnterByPass {
    let public_key = key_of(&unique()).public_key().to_openssh().unwrap();
    wire::EnterByPass { target: target.to_owned(), login: login.to_owned(), way, public_key }
}

fn there() -> wire::EnterByPass {
    to("root", "web1", WayIn::Plus)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_key_opens_one_session_under_the_grant_of_its_person() {
    let site = Site::start().await;
    let alice = pass(&site, "alice", "root+web1").await;
    assert_eq!(code(alice.enter_by_pass(&there()).await), "no-active-grant");
    let grant = site.grant("root", "web1", 30).await;
    let opened = alice.enter_by_pass(&there()).await.unwrap();
    assert!(certificate_of(&opened).starts_with("ssh-ed25519-cert-v01@openssh.com "));
    assert_eq!((opened.request, opened.identity.as_str()), (grant.clone(), "alice"));
    assert_eq!(code(alice.enter_by_pass(&there()).await), "presence-spent");
    // The ledger names the key, and no certificate.
    let facts = ledger(&site).await;
    let fingerprint = identity::fingerprint(key_of("alice").public_key().key_data());
    let found = facts.iter().find_map(|record| {
        let Fact::SessionOpened { presence, bought_with, .. } = &record.entry.fact else { return None };
        Some((presence.clone()?, bought_with.clone()))
    });
    let (presence, bought_with) = found.unwrap();
    assert_eq!((presence.key.as_deref(), presence.certificate), (Some(fingerprint.as_str()), None));
    assert_eq!(bought_with.as_deref(), Some(fingerprint.as_str()));
    // And it says through which proxy she logged in.
    let actor = Actor::Through { identity: "alice".parse().unwrap(), proxy: "proxy1".parse().unwrap() };
    let logged_in = |record: &&model::Record| {
        matches!(&record.entry.fact, Fact::IdentityLoggedIn { presence: Some(_), .. }) && record.entry.actor == actor
    };
    assert_eq!(facts.iter().filter(logged_in).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grant_that_serves_best_is_taken_and_nobody_elses() {
    let site = Site::start().await;
    let alice = site.client("alice");
    let exact = wire::FileRequest { command: Some("uptime".to_owned()), ..ask("root", "dev1", 1800) };
    let exact = alice.file_request(&exact, &unique()).await.unwrap();
    let plain = alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    let opened = pass(&site, "alice", "root+dev1").await.enter_by_pass(&to("root", "dev1", WayIn::Plus)).await.unwrap();
    assert_eq!(opened.request, plain.id);
    alice.release(&plain.id).await.unwrap();
    let opened = pass(&site, "alice", "root+dev1").await.enter_by_pass(&to("root", "dev1", WayIn::Plus)).await.unwrap();
    assert_eq!((opened.request, opened.command.as_deref()), (exact.id, Some("uptime")));
    let erin = pass(&site, "erin", "root+dev1").await;
    assert_eq!(code(erin.enter_by_pass(&to("root", "dev1", WayIn::Plus)).await), "no-active-grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_person_and_only_where_they_wanted_to_go() {
    let site = Site::start().await;
    site.grant("root", "web1", 30).await;
    let proxy = site.client("proxy:proxy1");
    let (alice, erin) = (key_of("alice"), key_of("erin"));
    assert_eq!(code(proxy.buy_pass(&visitor(&key_of("a stranger"), "root+web1")).await), "unknown-key");
    // A proxy's own key is nobody's.
    assert_eq!(code(proxy.buy_pass(&visitor(&key_of("proxy:proxy1"), "root+web1")).await), "unknown-key");
    let good = visitor(&alice, "root+web1");
    let changed = |change: &dyn Fn(&mut wire::BuyPass)| {
        let mut body = good.clone();
        change(&mut body);
        body
    };
    let public = alice.public_key().to_bytes().unwrap();
    let sign = |message: &[u8]| crate::site::sign_with(&alice, message);
    let cases = [
        ("somebody else's signature", changed(&|body| body.presence = visitor(&erin, "root+web1").presence)),
        ("another user name said than signed", changed(&|body| body.presence.user = "root+dev1".to_owned())),
        ("another connection", changed(&|body| body.presence.session_id = hex::encode([7; 32]))),
        ("no signature", changed(&|body| body.presence.signature.clear())),
        ("what a certificate's log-in would sign", {
            let name = "ssh-ed25519-cert-v01@openssh.com";
            let presence = log_in_with(&sign, name, &public, "root+web1", b"a connection");
            wire::BuyPass { presence, ..good.clone() }
        }),
    ];
    let count = cases.len();
    for (what, body) in cases {
        assert_eq!(code(proxy.buy_pass(&body).await), "presence-refused", "{what}");
    }
    let facts = ledger(&site).await;
    let refused = |record: &&model::Record| {
        matches!(&record.entry.fact, Fact::IdentityLoginRefused { reason, .. } if reason.starts_with("nothing shows that alice is there"))
            && record.entry.actor == Actor::Proxy("proxy1".parse().unwrap())
    };
    assert_eq!(facts.iter().filter(refused).count(), count);
    // The user name was signed: the proxy cannot choose another place for it.
    for (user, entrance) in [
        ("root+web1", to("deploy", "web1", WayIn::Plus)),
        ("root+dev1", there()),
        ("alice", there()),
        ("root+web1", to("root", "web1", WayIn::Jump)),
        ("alice", to("root", "web1", WayIn::Jump)),
    ] {
        let alice = pass(&site, "alice", user).await;
        assert_eq!(code(alice.enter_by_pass(&entrance).await), "presence-refused", "{user}");
    }
    let inner = pass(&site, "alice", "root").await;
    inner.enter_by_pass(&to("root", "web1", WayIn::Jump)).await.unwrap();
    // People do not buy passes, and use none.
    assert_eq!(code(site.client("alice").buy_pass(&good).await), "forbidden");
    assert_eq!(code(site.client("alice").enter_by_pass(&there()).await), "forbidden");
    assert_eq!(code(proxy.enter_by_pass(&there()).await), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_log_in_buys_one_pass_and_a_restart_does_not_change_that() {
    let mut site = Site::start().await;
    site.grant("root", "web1", 30).await;
    let proxy = site.client("proxy:proxy1");
    let body = visitor(&key_of("alice"), "root+web1");
    let bought = proxy.buy_pass(&body).await.unwrap();
    assert_eq!(code(proxy.buy_pass(&body).await), "presence-spent");
    // Its connection is closed: nothing can be done with it any more, not even by buying it anew.
    let alice = with(&proxy, &bought);
    alice.end_pass().await.unwrap();
    assert_eq!(code(alice.enter_by_pass(&there()).await), "pass-over");
    assert_eq!(code(proxy.buy_pass(&body).await), "presence-spent");
    proxy.whoami().await.expect("the proxy's own token lives on");
    let second = visitor(&key_of("alice"), "root+web1");
    let pass = with(&proxy, &proxy.buy_pass(&second).await.unwrap());
    site.down().await;
    site.up().await;
    let proxy = site.client("proxy:proxy1");
    for body in [body, second] {
        assert_eq!(code(proxy.buy_pass(&body).await), "presence-spent");
    }
    drop(pass);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_one_log_in_get_one_pass() {
    let site = Site::start().await;
    let proxy = site.client("proxy:proxy1");
    proxy.login().await.unwrap();
    let body = visitor(&key_of("alice"), "root+web1");
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let (proxy, body) = (proxy.clone(), body.clone());
            tokio::spawn(async move { proxy.buy_pass(&body).await.is_ok() })
        })
        .collect();
    let mut bought = 0;
    for ask in asks {
        bought += usize::from(ask.await.unwrap());
    }
    assert_eq!(bought, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_serves_its_own_proxy_for_its_time_only() {
    let site = Site::start().await;
    site.grant("root", "web1", 50).await;
    let bought = site.client("proxy:proxy1").buy_pass(&visitor(&key_of("alice"), "root+web1")).await.unwrap();
    let elsewhere = with(&site.client("proxy:proxy2"), &bought);
    assert_eq!(code(elsewhere.enter_by_pass(&there()).await), "pass-over");
    assert_eq!(code(with(&site.client("erin"), &bought).enter_by_pass(&there()).await), "forbidden");
    // By itself, as a session token, it is nothing.
    let (http, url) = site.raw();
    let answer = http.get(format!("{url}/v1/whoami")).bearer_auth(&bought.token).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    site.clock.advance(Span::from_minutes(31));
    let late = with(&site.client("proxy:proxy1"), &bought);
    assert_eq!(code(late.enter_by_pass(&there()).await), "pass-over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_kills_passes_for_good_and_a_key_that_left_takes_its_passes_along() {
    let site = Site::start().await;
    site.grant("root", "web1", 30).await;
    let alice = pass(&site, "alice", "root+web1").await;
    let lock = wire::PlaceLock { subject: "identity:alice".into(), reason: "stolen".into(), duration: None };
    let lock = site.client("sam").lock(&lock).await.unwrap();
    assert_eq!(code(alice.enter_by_pass(&there()).await), "locked");
    let proxy = site.client("proxy:proxy1");
    assert_eq!(code(proxy.buy_pass(&visitor(&key_of("alice"), "root+web1")).await), "locked");
    site.client("sam").unlock(&lock.id, &wire::LiftLock::default()).await.unwrap();
    assert_eq!(code(alice.enter_by_pass(&there()).await), "pass-over");
    let alice = pass(&site, "alice", "root+web1").await;
    let opened = alice.enter_by_pass(&there()).await.unwrap();
    let another = pass(&site, "alice", "root+web1").await;
    // Her key is replaced: what it opened is cut, what it bought is dead.
    let directory = site.dir.path().join("directory.toml");
    let line = |name: &str| key_of(name).public_key().to_openssh().unwrap();
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::write(&directory, text.replace(&line("alice"), &line("alice's new key"))).unwrap();
    eventually("the key's end", || async {
        another.enter_by_pass(&there()).await.err()?.code().filter(|code| *code == "pass-over").map(drop)
    })
    .await;
    let cut = |fact: &Fact| matches!(fact, Fact::SessionCut { session, .. } if *session == opened.session);
    eventually("the cut", || async { ledger(&site).await.iter().any(|record| cut(&record.entry.fact)).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_wants_a_touch_is_not_opened_by_a_plain_key() {
    let site = Site::start().await;
    let (directory, plain) =
        (site.dir.path().join("directory.toml"), key_of("alice").public_key().to_openssh().unwrap());
    let text = std::fs::read_to_string(&directory).unwrap();
    let both = format!("{plain}\", \"{}", SecurityKey::public().to_openssh().unwrap());
    std::fs::write(&directory, text.replace(&plain, &both)).unwrap();
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"0\")", "@approvals(\"0\")\n@touch(\"true\")"));
    let touched = site.anonymous().with_credentials(Arc::new(SecurityKey { touched: true }));
    eventually("her security key", || async { touched.login().await.ok() }).await;
    let grant: RequestId = eventually("the policy", || async {
        let filed = touched.file_request(&ask("root", "dev1", 600), &unique()).await.unwrap();
        // Before the policy is there, nothing wants a touch, and a plain key opens it.
        let plainly = pass(&site, "alice", "root+dev1").await.enter_by_pass(&to("root", "dev1", WayIn::Plus)).await;
        match plainly {
            Ok(_) => {
                touched.release(&filed.id).await.unwrap();
                None
            }
            Err(error) => {
                assert_eq!(error.code(), Some("touch-needed"));
                Some(filed.id)
            }
        }
    })
    .await;
    let proxy = site.client("proxy:proxy1");
    let key = SecurityKey::public();
    let visit = |touched: bool| {
        let (sign, blob) = (move |message: &[u8]| SecurityKey { touched }.sign(message), key.to_bytes().unwrap());
        let presence = log_in_with(&sign, "sk-ssh-ed25519@openssh.com", &blob, "root+dev1", unique().as_bytes());
        let address = "192.0.2.7".to_owned();
        wire::BuyPass { public_key: key.to_openssh().unwrap(), address, login: None, target: None, presence }
    };
    assert_eq!(code(proxy.buy_pass(&visit(false)).await), "presence-refused", "it signed by itself");
    let pass = proxy.buy_pass(&visit(true)).await.unwrap();
    assert!(pass.touch);
    let opened = with(&proxy, &pass).enter_by_pass(&to("root", "dev1", WayIn::Plus)).await.unwrap();
    assert_eq!(opened.request, grant);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_reviews_at_the_desk_say_so_and_policy_can_refuse_them() {
    let site = Site::start().await;
    let alice = pass(&site, "alice", "alice").await;
    let bob = pass(&site, "bob", "bob").await;
    let filed = alice.file_request(&ask("root", "web1", 600), &unique()).await.unwrap();
    assert_eq!(code(alice.approve(&filed.id, &wire::Approve::default()).await), "self-review");
    let approved = bob.approve(&filed.id, &wire::Approve::default()).await.unwrap();
    assert_eq!(approved.state, wire::RequestState::Approved);
    let facts = ledger(&site).await;
    let by = |kind: &str| {
        let record = facts.iter().find(|record| record.entry.fact.kind() == kind).unwrap();
        record.entry.actor.to_string()
    };
    assert_eq!(by("request.filed"), "alice through proxy:proxy1");
    assert_eq!(by("request.reviewed"), "bob through proxy:proxy1");
    // Whoever asks the ledger for what alice did finds it under her name.
    let filter = api::LedgerFilter {
        actor: Some("alice"),
        kind: Some("request.filed"),
        limit: 10,
        ..api::LedgerFilter::default()
    };
    assert_eq!(site.client("sam").ledger_records(&filter).await.unwrap().records.len(), 1);

    // What an administrator may do, his pass may not; an approver takes back what he gave.
    let adam = pass(&site, "adam", "adam").await;
    let lock = wire::PlaceLock { subject: "identity:bob".into(), reason: "no".into(), duration: None };
    assert_eq!(code(adam.lock(&lock).await), "forbidden");
    assert_eq!(code(adam.revoke(&filed.id, &wire::Revoke::default()).await), "not-found");
    assert_eq!(code(alice.revoke(&filed.id, &wire::Revoke::default()).await), "not-allowed");
    let revoked = bob.revoke(&filed.id, &wire::Revoke { reason: Some("enough".to_owned()) }).await.unwrap();
    assert_eq!(revoked.state, wire::GrantState::Revoked);
    let facts = ledger(&site).await;
    let ended = facts.iter().find(|record| record.entry.fact.kind() == "grant.ended").unwrap();
    assert_eq!(ended.entry.actor.to_string(), "bob through proxy:proxy1");

    // Policy wants no answers over ssh any more.
    let forbid = "@id(\"not-over-ssh\") forbid (principal, action == Action::\"review\", resource) when { context.way == \"ssh\" };";
    site.write_policy(&format!("{}\n{forbid}", policy::EXAMPLE));
    let refused = eventually("the policy", || async {
        let filed = alice.file_request(&ask("root", "web1", 300), &unique()).await.unwrap();
        bob.approve(&filed.id, &wire::Approve::default()).await.is_err().then_some(filed.id)
    });
    let approved = site.client("bob").approve(&refused.await, &wire::Approve::default()).await.unwrap();
    assert_eq!(approved.state, wire::RequestState::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_passes_on_what_the_directory_says_and_by_itself_no_reviews() {
    let site = Site::start().await;
    let at = |name: &'static str| {
        let (site, proxy) = (&site, site.client("proxy:proxy2"));
        async move {
            let _ = site;
            let bought = proxy.buy_pass(&visitor(&key_of(name), name)).await.unwrap();
            with(&proxy, &bought)
        }
    };
    let (alice, bob) = (at("alice").await, at("bob").await);
    let filed = alice.file_request(&ask("root", "web1", 600), &unique()).await.unwrap();
    for error in [
        bob.approve(&filed.id, &wire::Approve::default()).await.unwrap_err(),
        bob.deny(&filed.id, &wire::Deny { comment: None }).await.unwrap_err(),
        bob.withdraw(&filed.id).await.unwrap_err(),
        bob.revoke(&filed.id, &wire::Revoke::default()).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("this proxy may not pass reviews on"), "{error}");
    }
    alice.cancel(&filed.id).await.unwrap();
    // Less is possible, and more is at an administrator's word only.
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::write(&directory, text.replace("desk = \"review\"", "desk = \"sessions\"")).unwrap();
    let alice = pass(&site, "alice", "root+web1").await;
    eventually("the directory", || async {
        let error = alice.file_request(&ask("root", "web1", 600), &unique()).await.err()?;
        error.to_string().contains("this proxy may not pass requests on").then_some(())
    })
    .await;
    site.grant("root", "web1", 30).await;
    alice.enter_by_pass(&there()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_counts_no_more_when_its_proxy_may_not_pass_them_on() {
    let site = Site::start().await;
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"1\")", "@approvals(\"2\")"));
    let alice = site.client("alice");
    let bob = pass(&site, "bob", "bob").await;
    let filed = eventually("the policy", || async {
        let filed = alice.file_request(&ask("root", "web1", 600), &unique()).await.unwrap();
        let reviewed = bob.approve(&filed.id, &wire::Approve::default()).await.unwrap();
        if reviewed.state == wire::RequestState::Pending {
            return Some(filed.id);
        }
        alice.release(&filed.id).await.unwrap();
        None
    })
    .await;
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::write(&directory, text.replace("desk = \"review\"", "desk = \"ask\"")).unwrap();
    eventually("the directory", || async { bob.withdraw(&filed).await.err().map(drop) }).await;
    let reviewed = site.client("carol").approve(&filed, &wire::Approve::default()).await.unwrap();
    assert_eq!(reviewed.state, wire::RequestState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_from_a_target_with_a_forwarded_agent() {
    let site = Site::start().await;
    let proxy = site.client("proxy:proxy1");
    for address in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"] {
        let body = wire::BuyPass { address: address.to_owned(), ..visitor(&key_of("alice"), "root+web1") };
        assert_eq!(code(proxy.buy_pass(&body).await), "from-a-target", "{address}");
    }
    let facts = ledger(&site).await;
    let refused = |record: &&model::Record| matches!(&record.entry.fact, Fact::IdentityLoginRefused { reason, .. } if reason.starts_with("10.0.0.1 is web1"));
    assert!(facts.iter().any(|record| refused(&record)));
}

/// A session with a plain key is judged by its own log-in, and not by how its grant was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn policy_sees_that_a_session_is_opened_with_a_plain_key() {
    let site = Site::start().await;
    site.grant("root", "web1", 30).await;
    let forbid = "@id(\"certificates-only\") forbid (principal, action == Action::\"connect\", resource) when { context.way == \"ssh\" };";
    let live = pass(&site, "alice", "root+web1").await.enter_by_pass(&there()).await.unwrap();
    site.write_policy(&format!("{}\n{forbid}", policy::EXAMPLE));
    let cut = |fact: &Fact| matches!(fact, Fact::SessionCut { session, .. } if *session == live.session);
    eventually("the cut", || async { ledger(&site).await.iter().any(|record| cut(&record.entry.fact)).then_some(()) })
        .await;
    assert_eq!(code(pass(&site, "alice", "root+web1").await.enter_by_pass(&there()).await), "policy-forbids");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_use_up_what_their_proxy_may_call() {
    let site = Site::start().await;
    let proxy = site.client("proxy:proxy1");
    let stranger = key_of("a stranger");
    let mut refused = None;
    for _ in 0..100_000 {
        match proxy.buy_pass(&visitor(&stranger, "root+web1")).await {
            Err(error) if error.code() == Some("unknown-key") => {}
            other => {
                refused = Some(code(other));
                break;
            }
        }
    }
    assert_eq!(refused.as_deref(), Some("too-many"));
    proxy.whoami().await.expect("the proxy's own calls are not counted with them");
}
