//! Lists and the ledger, as each may see them.

use api::{LedgerFilter, wire};
use ledger::{Checkpoint, Digest, VerifierKey};
use model::Fact;

use crate::site::{Site, ask, code, hear, unique};

#[tokio::test(flavor = "multi_thread")]
async fn people_see_their_own_and_reviewers_what_they_may_review() {
    let site = Site::start().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    let hers = alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let others = erin.file_request(&ask("deploy", "web1", 60), &unique()).await.unwrap();
    let ids = |page: wire::Page<wire::Request>| page.items.into_iter().map(|request| request.id).collect::<Vec<_>>();
    assert_eq!(ids(alice.requests(None, false, None).await.unwrap()), std::slice::from_ref(&hers.id));
    let bob = site.client("bob");
    assert_eq!(ids(bob.requests(Some("pending"), false, None).await.unwrap()), [others.id.clone(), hers.id.clone()]);
    assert!(ids(bob.requests(None, true, None).await.unwrap()).is_empty());
    assert_eq!(code(bob.requests(Some("open"), false, None).await), "bad-request");
    bob.approve(&hers.id, &wire::Approve::default()).await.unwrap();
    assert_eq!(ids(bob.requests(Some("pending"), false, None).await.unwrap()), [others.id]);
    assert_eq!(alice.grants(Some("active"), true, None).await.unwrap().items.len(), 1);
    assert_eq!(erin.grants(None, false, None).await.unwrap().items.len(), 0);
    assert_eq!(bob.grants(None, false, None).await.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_shows_only_what_its_caller_may_see() {
    let site = Site::start().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    alice.login().await.unwrap();
    let from = site.end().await;
    let mut feeds = Vec::new();
    for who in ["alice", "erin", "bob", "sam", "proxy:proxy1"] {
        feeds.push((who, site.client(who).events(from).await.unwrap()));
    }
    let hers = alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let others = erin.file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    alice.cancel(&hers.id).await.unwrap();
    erin.cancel(&others.id).await.unwrap();
    // The last thing that everybody hears.
    let body = wire::PlaceLock { subject: "everything".to_owned(), reason: "fire drill".to_owned(), duration: None };
    site.client("sam").lock(&body).await.unwrap();
    for (who, feed) in &mut feeds {
        let mut about = std::collections::BTreeSet::new();
        let last = hear(feed, |fact| {
            if let Fact::RequestFiled { spec, .. } = fact {
                about.insert(spec.identity.to_string());
            }
            matches!(fact, Fact::LockPlaced { .. })
        });
        last.await;
        let expected: &[&str] = match *who {
            "alice" => &["alice"],
            "erin" => &["erin"],
            "bob" | "sam" => &["alice", "erin"],
            _ => &[],
        };
        assert_eq!(about.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages() {
    let site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let asks: Vec<_> = (0..120)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap().id })
        })
        .collect();
    let mut filed = std::collections::BTreeSet::new();
    for ask in asks {
        filed.insert(ask.await.unwrap());
    }
    let first = alice.requests(None, true, None).await.unwrap();
    assert_eq!(first.items.len(), 100);
    let second = alice.requests(None, true, first.next.as_deref()).await.unwrap();
    assert_eq!((second.items.len(), second.next), (20, None));
    let listed: std::collections::BTreeSet<_> = first.items.into_iter().chain(second.items).map(|r| r.id).collect();
    assert_eq!(listed, filed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_proves_itself() {
    let site = Site::start().await;
    let adam = site.client("adam");
    let filed = site.client("alice").file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let filter = LedgerFilter { correlation: Some(filed.id.as_str()), limit: 10, ..LedgerFilter::default() };
    let found = adam.ledger_records(&filter).await.unwrap();
    assert_eq!(found.records.len(), 1);
    let record = &found.records[0];
    let checkpoint = adam.checkpoint().await.unwrap();
    let key: VerifierKey = site.anonymous().ca().await.unwrap().ledger_key.parse().unwrap();
    let opened = Checkpoint::open(&checkpoint.note, &[key]).unwrap();
    assert_eq!(
        (opened.size, opened.root.to_string(), opened.origin.as_str()),
        (checkpoint.size, checkpoint.root.clone(), "ca.test")
    );
    let proof = adam.inclusion_proof(record.seq.0, Some(opened.size)).await.unwrap();
    assert_eq!(proof.record.as_bytes(), ledger::encode(record).unwrap());
    let path = ledger::InclusionProof {
        index: proof.seq,
        size: proof.size,
        hashes: proof.path.iter().map(|hash| hash.parse::<Digest>().unwrap()).collect(),
    };
    path.verify(&ledger::leaf_hash(proof.record.as_bytes()), &opened.root).unwrap();
    assert_eq!(code(adam.inclusion_proof(1_000_000, None).await), "not-found");
    for (filter, kind) in [
        (LedgerFilter { subject: Some("login:root@web1"), limit: 10, ..Default::default() }, "request.filed"),
        (LedgerFilter { kind: Some("ledger."), limit: 10, ..Default::default() }, "ledger.opened"),
        (
            LedgerFilter { actor: Some("alice"), kind: Some("identity."), limit: 10, ..Default::default() },
            "identity.logged-in",
        ),
    ] {
        let found = adam.ledger_records(&filter).await.unwrap().records;
        assert!(!found.is_empty() && found.iter().all(|record| record.entry.fact.kind() == kind), "{filter:?}");
    }
    let bad = LedgerFilter { since: Some("yesterday"), limit: 1, ..Default::default() };
    assert_eq!(code(adam.ledger_records(&bad).await), "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_their_refusals_are_kept_within_reason() {
    let site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let who = alice.whoami().await.unwrap();
    assert_eq!((who.subject.as_str(), who.touch, who.groups.len()), ("alice", false, 1));
    alice.logout().await.unwrap();
    // With a key that is not hers: kept, but not without end.
    let thief = site.anonymous().with_credentials(std::sync::Arc::new(crate::site::Key {
        subject: "alice".to_owned(),
        key: crate::site::key_of("a thief's key"),
    }));
    for _ in 0..60 {
        assert_eq!(code(thief.login().await), "login-refused");
    }
    let nobody = site.anonymous().with_credentials(std::sync::Arc::new(crate::site::Key {
        subject: "nobody".to_owned(),
        key: crate::site::key_of("nobody"),
    }));
    let (unknown, wrong) = (nobody.login().await.unwrap_err(), thief.login().await.unwrap_err());
    assert_eq!(unknown.to_string(), wrong.to_string(), "who is there cannot be found out");
    let kinds = crate::site::kinds(&crate::site::ledger(&site).await);
    let refused = kinds["identity.login-refused"];
    assert!((1..=40).contains(&refused), "{refused} refusals in the ledger");
}
