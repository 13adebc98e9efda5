//! Policy and directory that change while the CA runs.

use api::wire;
use model::{Fact, Span};
use store::Clock as _;

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
    assert!(theirs.policy_refused.is_some(), "that it is not in force is for everyone");
    assert!(theirs.directory_refused.is_none());
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
    let lift = |reason: &str| wire::LiftLock { reason: Some(reason.to_owned()) };
    assert_eq!(code(sam.unlock(&lock.id, &lift(" ")).await), "bad-request");
    sam.unlock(&lock.id, &lift("the laptop was found")).await.unwrap();
    let lifted = hear(&mut feed, |fact| matches!(fact, Fact::LockLifted { .. })).await.entry.fact;
    assert!(
        matches!(&lifted, Fact::LockLifted { reason: Some(why), .. } if why == "the laptop was found"),
        "{lifted:?}"
    );
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

/// A question about root on a target.
fn question(action: &str, target: &str) -> wire::ExplainRequest {
    wire::ExplainRequest {
        action: action.to_owned(),
        target: Some(target.parse().unwrap()),
        login: Some("root".parse().unwrap()),
        ..wire::ExplainRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_the_ca_then_does() {
    let site = Site::start().await;
    let alice = site.client("alice");
    // Target, minutes, what filing it gives, and the path.
    for (target, minutes, state, path) in [
        ("dev1", 60, Some(wire::RequestState::Approved), Some("engineers-nonprod")),
        ("dev1", 61, Some(wire::RequestState::Pending), Some("engineers-prod")),
        ("dev1", 241, None, None),
        ("web1", 240, Some(wire::RequestState::Pending), Some("engineers-prod")),
        ("web1", 241, None, None),
    ] {
        let asked = wire::ExplainRequest { duration: Some(minutes * 60), ..question("request", target) };
        let said = alice.explain(&asked).await.unwrap();
        let filed = alice.file_request(&ask("root", target, minutes * 60), &unique()).await;
        assert_eq!(said.yes, state.is_some(), "{target} {minutes}: {said:?}");
        let taken = said.paths.iter().find(|path| path.taken).map(|path| path.policy.as_str());
        assert_eq!(taken, path, "{target} {minutes}: {said:?}");
        match (filed, state) {
            (Ok(filed), Some(state)) => {
                assert_eq!(filed.state, state);
                assert_eq!(state == wire::RequestState::Approved, said.answer.contains("granted at once"), "{said:?}");
            }
            (Err(refused), None) => {
                assert!(refused.to_string().contains(&said.answer), "{refused} / {said:?}");
                assert_eq!(said.hints, ["ask --for 4h"]);
                let short =
                    |path: &wire::ExplainedPath| path.lacks.iter().any(|lack| lack.contains("a time of at most"));
                assert!(said.paths.iter().all(short), "{said:?}");
            }
            (filed, state) => panic!("{filed:?} / {state:?}"),
        }
    }
    let said = alice.explain(&question("request", "web1")).await.unwrap();
    assert_eq!((said.verdict.as_str(), said.paths[0].place.as_str()), ("permitted", "policy.cedar:45"));
    assert!(said.paths[0].obligations.contains(&"1 approval by approvers".to_owned()), "{said:?}");
    assert_eq!(said.paths[0].lacks, ["1 approval by approvers"]);
    let decides: Vec<_> = said.policies.iter().filter(|policy| policy.decides).map(|one| &one.policy).collect();
    assert_eq!(decides, ["engineers-prod"]);
    // What is explained is not done.
    let adam = site.client("adam");
    adam.status().await.unwrap();
    let before = adam.status().await.unwrap().records;
    alice.explain(&question("request", "dev1")).await.unwrap();
    assert_eq!(adam.status().await.unwrap().records, before);
    let nowhere = wire::ExplainRequest { target: None, ..question("request", "web1") };
    assert_eq!(code(alice.explain(&nowhere).await), "bad-request");
    assert_eq!(code(alice.explain(&question("request", "web9")).await), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_knows_locks_grants_and_whose_request_it_is() {
    let site = Site::start().await;
    let (alice, bob, adam) = (site.client("alice"), site.client("bob"), site.client("adam"));
    let of = |action: &str, requester: &str| wire::ExplainRequest {
        requester: Some(requester.parse().unwrap()),
        ..question(action, "web1")
    };
    let connect = alice.explain(&question("connect", "web1")).await.unwrap();
    assert!(!connect.yes && connect.answer.contains("no active grant"), "{connect:?}");
    assert_eq!(connect.hints, ["ask for one: portcullis request root@web1 --for 30m"]);
    let grant = site.grant("root", "web1", 30).await;
    let connect = alice.explain(&question("connect", "web1")).await.unwrap();
    assert!(connect.yes && connect.answer.contains(&grant.to_string()), "{connect:?}");

    let review = bob.explain(&of("review", "alice")).await.unwrap();
    assert!(review.yes && review.answer.ends_with("an approval counts for engineers-prod"), "{review:?}");
    let as_bob = wire::ExplainRequest { identity: Some("bob".to_owned()), ..question("request", "web1") };
    let stranger = adam.explain(&as_bob).await.unwrap();
    let wants = "engineers-prod (policy.cedar:45) comes nearest: it is for principal in Group::\"engineers\"";
    assert!(!stranger.yes && stranger.hints.contains(&wants.to_owned()), "{stranger:?}");
    let own = bob.explain(&of("review", "bob")).await.unwrap();
    assert!(!own.yes && own.answer.contains("nobody reviews their own request"), "{own:?}");
    assert_eq!(code(bob.explain(&question("review", "web1")).await), "bad-request", "whose?");
    let replay = alice.explain(&of("replay", "alice")).await.unwrap();
    assert!(replay.yes, "her own: {replay:?}");
    assert!(site.client("sam").explain(&of("replay", "alice")).await.unwrap().yes);

    let body = wire::PlaceLock { subject: "target:web1".to_owned(), reason: "on fire".to_owned(), duration: None };
    adam.lock(&body).await.unwrap();
    for action in ["request", "connect"] {
        let said = alice.explain(&question(action, "web1")).await.unwrap();
        assert!(!said.yes && said.answer == "target:web1 is locked: on fire", "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_administers_asks_for_others() {
    let site = Site::start().await;
    let as_alice = wire::ExplainRequest { identity: Some("alice".to_owned()), ..question("request", "web1") };
    for nosy in ["bob", "erin", "sam"] {
        let refused = site.client(nosy).explain(&as_alice).await.unwrap_err();
        assert_eq!(refused.code(), Some("forbidden"));
        assert!(format!("{refused:?}").contains("without --as"), "{refused:?}");
    }
    assert!(site.client("adam").explain(&as_alice).await.unwrap().yes);
    // Nor does anybody learn, from whose request it would be, what they may not see.
    for requester in ["alice", "nobody-of-that-name"] {
        let requester = Some(requester.parse().unwrap());
        let nosy = wire::ExplainRequest { requester, ..question("review", "web1") };
        assert_eq!(code(site.client("erin").explain(&nosy).await), "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_with_what_would_help() {
    let site = Site::start().await;
    let before = site.client("adam").status().await.unwrap().policy;
    site.write_policy(&format!(
        "{}\n@id(\"touched\") forbid (principal, action == Action::\"request\", resource) unless {{ context.touch }};\n\
         @id(\"ticketed\") permit (principal, action == Action::\"request\", resource in Target::\"web1\")\n\
         when {{ context has ticket && context.duration <= 900 }};",
        policy::EXAMPLE.replace("Group::\"engineers\"", "Group::\"nobody\"")
    ));
    let adam = site.client("adam");
    eventually("the policy", || async { (adam.status().await.unwrap().policy != before).then_some(()) }).await;
    let alice = site.client("alice");
    let said = alice.explain(&question("request", "web1")).await.unwrap();
    assert!(!said.yes && said.verdict == "forbidden" && said.answer.contains("touched"), "{said:?}");
    let touched = |ticket: Option<&str>, minutes: u32| wire::ExplainRequest {
        touch: Some(true),
        ticket: ticket.map(str::to_owned),
        duration: Some(minutes * 60),
        ..question("request", "web1")
    };
    let said = alice.explain(&touched(None, 10)).await.unwrap();
    assert!(!said.yes && said.hints.contains(&"a ticket would do: --ticket ID".to_owned()), "{said:?}");
    let nearest = said.hints.iter().find(|hint| hint.contains("comes nearest")).expect("a nearest one");
    assert!(nearest.starts_with("ticketed (policy.cedar:") && nearest.contains("context has ticket"), "{nearest}");
    let said = alice.explain(&touched(Some("OPS-7"), 60)).await.unwrap();
    assert!(said.hints.contains(&"a shorter time would do: --for 15m".to_owned()), "{said:?}");
    assert!(alice.explain(&touched(Some("OPS-7"), 15)).await.unwrap().yes);
}

/// Puts the example with two approvals and one forbid in force.
async fn two_approvals_and(site: &Site, forbid: &str) {
    let adam = site.client("adam");
    let before = adam.status().await.unwrap().policy;
    let two = policy::EXAMPLE.replace("@approvals(\"1\")", "@approvals(\"2\")");
    site.write_policy(&format!("{two}\n@id(\"stop\") {forbid};"));
    eventually("the policy", || async { (adam.status().await.unwrap().policy != before).then_some(()) }).await;
}

/// An approver's right can depend on from where and when they call. What they did then and there counts when others
/// follow, and what was asked for from there stays open.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_approval_is_judged_by_todays_rules_and_its_own_circumstances() {
    let site = Site::start().await;
    let (alice, bob, carol) = (site.client("alice"), site.client("bob"), site.client("carol"));
    let actions = "action in [Action::\"request\", Action::\"review\"]";
    let here = "context has address && context.address.isLoopback()";
    two_approvals_and(&site, &format!("forbid (principal, {actions}, resource) unless {{ {here} }}")).await;
    let file = async || alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap().id;
    let approve = wire::Approve::default();
    let filed = file().await;
    assert_eq!(bob.approve(&filed, &approve).await.unwrap().state, wire::RequestState::Pending);
    assert_eq!(carol.approve(&filed, &approve).await.unwrap().state, wire::RequestState::Approved, "from here");

    let filed = file().await;
    bob.approve(&filed, &approve).await.unwrap();
    let not_here = format!("forbid (principal == Identity::\"bob\", action, resource) when {{ {here} }}");
    two_approvals_and(&site, &not_here).await;
    assert_eq!(carol.approve(&filed, &approve).await.unwrap().state, wire::RequestState::Pending, "not any more");

    let soon = site.clock.now().plus(Span::from_minutes(5));
    let soon = model::Timestamp::from_seconds(soon.seconds());
    let late = format!(
        "forbid (principal == Identity::\"bob\", action == Action::\"review\", resource) when {{ context.now > datetime(\"{soon}\") }}"
    );
    two_approvals_and(&site, &late).await;
    let filed = file().await;
    bob.approve(&filed, &approve).await.unwrap();
    site.clock.advance(Span::from_minutes(20));
    assert_eq!(carol.approve(&filed, &approve).await.unwrap().state, wire::RequestState::Approved, "in time");
}
