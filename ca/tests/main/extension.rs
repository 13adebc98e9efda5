//! More time, asked for in a live session: what its proxy can say in its person's name, and what not.

use api::wire;
use model::{Actor, Fact, SessionEnd};

use crate::site::{Site, code, eventually, ledger, unique};

fn more(minutes: u32) -> wire::Extend {
    wire::Extend { duration: minutes * 60, reason: "the backup still runs".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_that_carries_a_session_asks_in_its_persons_name() {
    let site = Site::start().await;
    let (grant, _, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let offer = proxy.offer_extension(&opened.session).await.unwrap();
    assert!(offer.usual > 0 && offer.usual <= offer.longest, "{offer:?}");
    assert!(offer.paths.iter().any(|path| path.approvals == 1), "{offer:?}");
    let key = unique();
    let filed = proxy.extend_session(&opened.session, &more(10), &key).await.unwrap();
    assert_eq!((filed.state, filed.identity.as_str()), (wire::RequestState::Pending, "alice"));
    assert_eq!((filed.extends.as_ref(), filed.login.as_str(), filed.target.as_str()), (Some(&grant), "root", "web1"));
    // Once, however often it is sent; and one at a time.
    assert_eq!(proxy.extend_session(&opened.session, &more(10), &key).await.unwrap().id, filed.id);
    assert_eq!(code(proxy.extend_session(&opened.session, &more(10), &unique()).await), "extension-pending");
    assert_eq!(code(proxy.offer_extension(&opened.session).await), "extension-pending");
    let facts = ledger(&site).await;
    let record = facts.iter().find(|record| record.entry.correlation.as_str() == filed.id.as_str()).unwrap();
    let through = Actor::Through { identity: "alice".parse().unwrap(), proxy: "proxy1".parse().unwrap() };
    assert_eq!(record.entry.actor, through);
    let Fact::RequestFiled { asked, .. } = &record.entry.fact else { panic!("{record:?}") };
    assert!(!asked.touch, "nobody touched anything for this");
    assert_eq!(asked.through.as_ref().map(|proxy| proxy.as_str()), Some("proxy1"));
    assert_eq!(asked.address.map(|address| address.to_string()).as_deref(), Some("192.0.2.7"));
    // It is like any other: alice cannot answer it, bob can, and the grant goes on.
    assert_eq!(code(site.client("alice").approve(&filed.id, &wire::Approve::default()).await), "self-review");
    let approved = site.client("bob").approve(&filed.id, &wire::Approve::default()).await.unwrap();
    let ends = approved.grant.unwrap().ends;
    assert_eq!(ends.0, opened.deadline.0.plus(model::Span::from_minutes(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_proxy_a_person_and_a_session_that_is_over_ask_for_nothing() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let other = site.client("proxy:proxy2");
    assert_eq!(code(other.offer_extension(&opened.session).await), "not-found");
    assert_eq!(code(other.extend_session(&opened.session, &more(10), &unique()).await), "not-found");
    for person in ["alice", "erin", "adam"] {
        let refused = site.client(person).extend_session(&opened.session, &more(10), &unique()).await;
        assert_eq!(code(refused), "forbidden", "{person}");
    }
    let nobody = model::SessionId::from_random(7);
    let proxy = site.client("proxy:proxy1");
    assert_eq!(code(proxy.extend_session(&nobody, &more(10), &unique()).await), "not-found");
    let ended = wire::SessionReport::Ended {
        end: SessionEnd::Client,
        cut: None,
        dropped: store::Clock::now(&*site.clock).into(),
    };
    let reports = wire::SessionReports { told: None, reports: vec![ended] };
    proxy.report(&opened.session, &reports).await.unwrap();
    assert_eq!(code(proxy.offer_extension(&opened.session).await), "session-not-live");
    assert_eq!(code(proxy.extend_session(&opened.session, &more(10), &unique()).await), "session-not-live");
    let facts = ledger(&site).await;
    let extends = |record: &&model::Record| matches!(&record.entry.fact, Fact::RequestFiled { spec, .. } if spec.extends.is_some());
    assert_eq!(facts.iter().filter(extends).count(), 0);
    // A proxy that tries leaves traces.
    let tried = |record: &&model::Record| matches!(&record.entry.fact, Fact::SessionRefused { reason, .. } if reason.starts_with("no more time is asked for: "));
    let tried: Vec<_> = facts.iter().filter(tried).map(|record| record.entry.actor.to_string()).collect();
    assert_eq!(tried, ["proxy:proxy2", "proxy:proxy1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_may_pass_nothing_on_asks_for_nothing() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::write(&directory, text.replace("desk = \"review\"", "desk = \"sessions\"")).unwrap();
    eventually("the directory", || async {
        let error = proxy.offer_extension(&opened.session).await.err()?;
        error.to_string().contains("this proxy may not pass requests on").then_some(())
    })
    .await;
    let refused = proxy.extend_session(&opened.session, &more(10), &unique()).await.unwrap_err();
    assert!(refused.to_string().contains("desk = \"sessions\" for proxy1"), "{refused}");
}

/// What is offered can be had there: a path that takes a one-time code cannot, for want of a place to give one.
#[tokio::test(flavor = "multi_thread")]
async fn only_ways_that_can_be_gone_there_are_offered() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let with = "@id(\"with-a-code\") @approvals(\"0\") @factor(\"totp\")\n\
                permit (principal, action == Action::\"request\", resource);";
    site.write_policy(&format!("{}\n{with}", policy::EXAMPLE));
    let explain = wire::ExplainRequest {
        action: "request".to_owned(),
        target: Some("web1".parse().unwrap()),
        login: Some("root".parse().unwrap()),
        ..wire::ExplainRequest::default()
    };
    eventually("the policy", || async {
        let explained = site.client("alice").explain(&explain).await.unwrap();
        explained.paths.iter().any(|path| path.policy == "with-a-code").then_some(())
    })
    .await;
    let offer = proxy.offer_extension(&opened.session).await.unwrap();
    assert!(!offer.paths.is_empty() && offer.paths.iter().all(|path| path.policy != "with-a-code"), "{offer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_stops_it_and_so_does_a_policy_that_wants_no_requests_over_ssh() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let forbid = "@id(\"not-over-ssh\") forbid (principal, action == Action::\"request\", resource) when { context.way == \"ssh\" };";
    site.write_policy(&format!("{}\n{forbid}", policy::EXAMPLE));
    eventually("the policy", || async {
        let error = proxy.offer_extension(&opened.session).await.err()?;
        (error.code() == Some("forbidden")).then_some(())
    })
    .await;
    // Whoever is refused leaves a trace, under their own name.
    assert_eq!(code(proxy.extend_session(&opened.session, &more(10), &unique()).await), "forbidden");
    let facts = ledger(&site).await;
    let refused = facts.iter().find(|record| matches!(record.entry.fact, Fact::RequestRefused { .. })).unwrap();
    assert_eq!(refused.entry.actor.to_string(), "alice through proxy:proxy1");
    let (_, _, opened) = site.session("deploy", "web1").await;
    let lock = wire::PlaceLock { subject: "identity:alice".into(), reason: "stolen".into(), duration: None };
    site.client("sam").lock(&lock).await.unwrap();
    let refused = proxy.extend_session(&opened.session, &more(10), &unique()).await;
    assert_eq!(code(refused), "session-not-live");
}

/// The longest time is what the path leaves, and so often nobody asks.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_path_gives_and_not_all_the_time() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let offer = proxy.offer_extension(&opened.session).await.unwrap();
    let over = wire::Extend { duration: offer.longest + 60, reason: "greed".to_owned() };
    assert_eq!(code(proxy.extend_session(&opened.session, &over, &unique()).await), "too-long");
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(code(proxy.extend_session(&opened.session, &over, &unique()).await));
    }
    assert_eq!(answers.last().map(String::as_str), Some("too-many"), "{answers:?}");
}
