//! Policy and directory that change while the CA runs.

use api::wire;
use model::Fact;

use crate::site::{PEOPLE, Site, ask, code, eventually, hear, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_is_refused_and_the_old_one_stays() {
    let site = Site::start().await;
    let adam = site.client("adam");
    let before = adam.status().await.unwrap().policy;
    let mut feed = adam.events(site.end().await).await.unwrap();
    site.write_policy("permit (principal, action == Action::\"requets\", resource);");
    let refused = hear(&mut feed, |fact| matches!(fact, Fact::PolicyRefused { .. })).await;
    assert!(matches!(&refused.entry.fact, Fact::PolicyRefused { error, .. } if error.contains("requets")));
    let status = adam.status().await.unwrap();
    assert_eq!(status.policy, before);
    assert!(status.policy_error.unwrap().contains("requets"));
    let theirs = site.client("alice").status().await.unwrap();
    assert_eq!(theirs.policy_error, None, "what the file says is for those who write it");
    site.client("alice").file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    // A good one is in force at once, and the error is gone.
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"0\")", "@approvals(\"1\")"));
    hear(&mut feed, |fact| matches!(fact, Fact::PolicyLoaded { .. })).await;
    let pending = site.client("alice").file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    assert_eq!(pending.state, wire::RequestState::Pending);
    let gone = eventually("the error's end", || async {
        let status = adam.status().await.unwrap();
        status.policy_error.is_none().then_some(status.policy)
    });
    assert_ne!(gone.await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_are_judged_again() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let (_, _, other) = site.session("root", "dev1").await;
    let mut feed = site.client("proxy:proxy1").events(opened.seq).await.unwrap();
    let forbid = "@id(\"no-prod\") forbid (principal, action == Action::\"connect\", resource in Target::\"web1\");";
    site.write_policy(&format!("{}\n{forbid}", policy::EXAMPLE));
    let cut = hear(&mut feed, |fact| matches!(fact, Fact::SessionCut { .. })).await;
    assert!(matches!(&cut.entry.fact, Fact::SessionCut { session, .. } if *session == opened.session));
    let sam = site.client("sam");
    let still = sam.get_session(&other.session).await.unwrap();
    assert!(still.ended.is_none() && still.end.is_none(), "{still:?}");
    let end = sam.get_session(&opened.session).await.unwrap().end.unwrap();
    assert!(end.contains("being dropped"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_directory_is_out_at_once() {
    let site = Site::start().await;
    let (_, certificate, opened) = site.session("root", "web1").await;
    let token = site.token("alice").await;
    let alice = site.anonymous().with_token(token);
    alice.whoami().await.unwrap();
    let mut hers = alice.events(site.end().await).await.unwrap();
    let mut feed = site.client("proxy:proxy1").events(opened.seq).await.unwrap();
    let left: Vec<_> = PEOPLE.into_iter().filter(|(name, _)| *name != "alice").collect();
    site.write_directory(&left);
    hear(&mut feed, |fact| matches!(fact, Fact::SessionCut { .. })).await;
    assert_eq!(code(alice.whoami().await), "unauthenticated");
    let ended = tokio::time::timeout(crate::site::PATIENCE, async { while hers.next().await.is_ok() {} }).await;
    ended.expect("her feed ends with her token");
    assert_eq!(code(site.client("alice").login().await), "login-refused");
    let again = site.client("proxy:proxy1").open_session(&Site::knock(&certificate, "root", "web1")).await;
    assert_eq!(code(again), "policy-forbids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_leaves_takes_its_tokens_along() {
    let site = Site::start().await;
    let alice = site.anonymous().with_token(site.token("alice").await);
    // The same name with another key.
    let path = site.dir.path().join("directory.toml");
    let old = crate::site::key_of("alice").public_key().to_openssh().unwrap();
    let new = crate::site::key_of("alice's new key").public_key().to_openssh().unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace(&old, &new);
    std::fs::write(&path, text).unwrap();
    eventually("her token's end", || async { alice.whoami().await.is_err().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_refuses_the_new_and_drops_the_live() {
    let site = Site::start().await;
    let (_, certificate, opened) = site.session("root", "web1").await;
    let (proxy, sam, alice) = (site.client("proxy:proxy1"), site.client("sam"), site.client("alice"));
    let mut feed = proxy.events(opened.seq).await.unwrap();
    let body = wire::PlaceLock {
        subject: "identity:alice".to_owned(),
        reason: "laptop stolen".to_owned(),
        duration: Some(3600),
    };
    let lock = sam.lock(&body).await.unwrap();
    assert_eq!((lock.sessions, lock.by.as_str()), (Some(1), "sam"));
    hear(&mut feed, |fact| matches!(fact, Fact::LockPlaced { .. })).await;
    assert_eq!(code(proxy.open_session(&Site::knock(&certificate, "root", "web1")).await), "locked");
    let refused = alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap_err();
    assert_eq!(refused.code(), Some("locked"));
    assert!(refused.to_string().contains("laptop stolen"), "{refused}");
    let refused = alice.locks().await.unwrap_err();
    assert!(refused.to_string().contains("laptop stolen"), "she hears why: {refused}");
    assert_eq!(site.client("erin").locks().await.unwrap().items.len(), 0);
    sam.unlock(&lock.id).await.unwrap();
    alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_reviewer_reviews_nothing() {
    let site = Site::start().await;
    let filed = site.client("alice").file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let body =
        wire::PlaceLock { subject: "identity:bob".to_owned(), reason: "under suspicion".to_owned(), duration: None };
    site.client("sam").lock(&body).await.unwrap();
    let refused = site.client("bob").approve(&filed.id, &wire::Approve::default()).await;
    assert_eq!(code(refused), "locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_registered_and_removed_in_the_file() {
    let site = Site::start().await;
    let adam = site.client("adam");
    let target: model::Target = serde_json::from_value(serde_json::json!({
        "name": "db1", "addresses": ["10.0.0.3"], "logins": ["postgres"], "labels": { "env": "dev" },
    }))
    .unwrap();
    let body = wire::RegisterTarget { target, replace: false };
    assert_eq!(adam.register_target(&body).await.unwrap().addresses, ["10.0.0.3:22"]);
    assert_eq!(code(adam.register_target(&body).await), "target-exists");
    adam.register_target(&wire::RegisterTarget { replace: true, ..body }).await.unwrap();
    let text = std::fs::read_to_string(site.dir.path().join("directory.toml")).unwrap();
    assert!(text.contains("name = \"db1\""), "{text}");
    // In force before the answer.
    let alice = site.client("alice");
    let filed = alice.file_request(&ask("postgres", "db1", 60), &unique()).await.unwrap();
    assert_eq!(filed.state, wire::RequestState::Approved);
    let seen = alice.targets().await.unwrap().items;
    assert!(seen.iter().all(|target| target.addresses.is_empty() && target.host_keys.is_empty()));
    assert_eq!(seen.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["db1", "dev1", "web1"]);
    assert!(site.client("bob").targets().await.unwrap().items.is_empty(), "he may ask for nothing");
    let name = "db1".parse().unwrap();
    adam.remove_target(&name).await.unwrap();
    assert_eq!(code(adam.remove_target(&name).await), "not-found");
    assert_eq!(code(alice.file_request(&ask("postgres", "db1", 60), &unique()).await), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_explained() {
    let site = Site::start().await;
    let question = wire::ExplainRequest {
        identity: None,
        action: "request".to_owned(),
        target: Some("web1".parse().unwrap()),
        login: Some("root".parse().unwrap()),
        duration: Some(60),
        command: None,
        ticket: None,
    };
    let answer = site.client("alice").explain(&question).await.unwrap();
    assert_eq!(answer.verdict, "permitted");
    assert_eq!(answer.paths[0].policy, "engineers-prod");
    assert!(answer.paths[0].obligations.contains(&"1 approval by approvers".to_owned()), "{answer:?}");
    assert!(!answer.reasons.is_empty());
    let others = wire::ExplainRequest { identity: Some("alice".to_owned()), ..question.clone() };
    assert_eq!(code(site.client("bob").explain(&others).await), "forbidden");
    site.client("adam").explain(&others).await.unwrap();
    let nowhere = wire::ExplainRequest { target: None, ..question };
    assert_eq!(code(site.client("alice").explain(&nowhere).await), "bad-request");
}
