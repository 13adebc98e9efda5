//! Who is no longer trusted: locked people, stolen keys, reviewers who fell, and a disk that somebody wrote on.

use api::{ClientError, wire};
use model::{Fact, RequestId};

use crate::site::{PEOPLE, Site, ask, code, eventually, hear, issue, key_of, ledger, unique};

async fn lock(site: &Site, by: &str, subject: &str) -> wire::LockView {
    let body =
        wire::PlaceLock { subject: subject.to_owned(), reason: "the laptop is stolen".to_owned(), duration: None };
    site.client(by).lock(&body).await.unwrap()
}

/// Puts another key in the place of alice's, and waits until it is in force.
async fn replace_key(site: &Site) {
    let path = site.dir.path().join("directory.toml");
    let old = key_of("alice").public_key().to_openssh().unwrap();
    let new = key_of("alice's new key").public_key().to_openssh().unwrap();
    let before = site.client("adam").status().await.unwrap().directory;
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(&old, &new)).unwrap();
    in_force(site, &before).await;
}

/// Waits for a directory that is another than `before`.
async fn in_force(site: &Site, before: &str) {
    let adam = site.client("adam");
    eventually("the directory", || async { (adam.status().await.unwrap().directory != before).then_some(()) }).await;
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>, words: &[&str]) -> String {
    let error = answer.unwrap_err();
    let said = format!("{error:?}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    error.code().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_administrator_administers_nothing() {
    let site = Site::start().await;
    let sam = site.anonymous().with_token(site.token("sam").await);
    let placed = lock(&site, "adam", "identity:sam").await;
    assert_eq!(refused(sam.unlock(&placed.id, &Default::default()).await, &["the laptop is stolen", "ask"]), "locked");
    assert_eq!(code(sam.ledger_records(&api::LedgerFilter::default()).await), "locked");
    sam.whoami().await.expect("who they are they may know");
    sam.status().await.expect("and how the CA does");
    assert_eq!(refused(site.client("sam").login().await, &["the laptop is stolen", "ask"]), "locked");
    let kept = ledger(&site).await.into_iter().any(|record| {
        matches!(&record.entry.fact, Fact::IdentityLoginRefused { identity, reason, .. }
            if identity.as_str() == "sam" && reason.contains("locked"))
    });
    assert!(kept, "the ledger says that sam tried");
    site.client("adam").unlock(&placed.id, &Default::default()).await.unwrap();
    sam.ledger_records(&api::LedgerFilter::default()).await.unwrap();
    // A lock on everything keeps nobody from lifting it.
    let everything = lock(&site, "sam", "everything").await;
    site.client("adam").unlock(&everything.id, &Default::default()).await.unwrap();
}

/// In an incident a lock on a mistyped name must not look like one that works.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_a_name_that_nobody_has_is_refused() {
    let site = Site::start().await;
    for subject in ["identity:samm", "target:web9", "login:root@web9"] {
        let body = wire::PlaceLock { subject: subject.to_owned(), reason: "stolen".to_owned(), duration: None };
        assert_eq!(refused(site.client("adam").lock(&body).await, &[subject]), "not-found");
    }
    assert!(site.client("adam").locks().await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_ends_when_its_person_is_locked() {
    let site = Site::start().await;
    let mut feed = site.client("sam").events(site.end().await).await.unwrap();
    lock(&site, "adam", "identity:sam").await;
    let ended = tokio::time::timeout(crate::site::PATIENCE, async { while feed.next().await.is_ok() {} }).await;
    ended.expect("the feed ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_target_is_in_the_ledger_before_the_file_is_changed() {
    let site = Site::start().await;
    site.client("adam").remove_target(&"dev1".parse().unwrap()).await.unwrap();
    let records = ledger(&site).await;
    let at = |kind: &str| records.iter().rposition(|record| record.entry.fact.kind() == kind);
    let removed = at("target.removed").expect("a fact of its own");
    assert_eq!(records[removed].entry.actor.to_string(), "adam");
    assert!(Some(removed) < at("directory.loaded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_grant_for_a_removed_target_hears_that_it_is_gone() {
    let site = Site::start().await;
    let (_, certificate, _) = site.session("root", "dev1").await;
    site.client("adam").remove_target(&"dev1".parse().unwrap()).await.unwrap();
    let proxy = site.client("proxy:proxy1");
    let again = proxy.open_session(&Site::knock(&certificate, "root", "dev1")).await;
    assert_eq!(refused(again, &["portcullis target list"]), "unknown-target");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_laptops_certificate_is_dead_for_ever() {
    let site = Site::start().await;
    let (grant, certificate, _) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let placed = lock(&site, "sam", "identity:alice").await;
    site.client("sam").unlock(&placed.id, &Default::default()).await.unwrap();
    let again = proxy.open_session(&Site::knock(&certificate, "root", "web1")).await;
    assert_eq!(refused(again, &["portcullis cert root@web1"]), "certificate-locked");
    let fresh = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    proxy.open_session(&Site::knock(&fresh, "root", "web1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lives_no_longer_than_the_key_that_bought_it() {
    let site = Site::start().await;
    let grant = site.grant("root", "web1", 30).await;
    // She certifies a key of her machine's, which is in no directory: the key she logged in with counts.
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let other = key_of("a throwaway key");
    let certificate = issue(&alice, "alice", &grant, &other).await.unwrap().certificate.unwrap();
    let proxy = site.client("proxy:proxy1");
    let knock = || Site::knock_with(&other, &certificate, "root", "web1");
    let opened = proxy.open_session(&knock()).await.unwrap();
    replace_key(&site).await;
    let again = proxy.open_session(&knock()).await;
    assert_eq!(refused(again, &["portcullis cert root@web1"]), "certificate-key-gone");
    let sam = site.client("sam");
    eventually("the end of the session that it opened", || async {
        let session = sam.get_session(&opened.session).await.unwrap();
        session.end.filter(|end| end.contains("dropped"))
    })
    .await;
}

/// bob has approved, of two who must.
async fn half_approved(site: &Site) -> RequestId {
    let before = site.client("adam").status().await.unwrap().policy;
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"1\")", "@approvals(\"2\")"));
    let adam = site.client("adam");
    eventually("the policy", || async { (adam.status().await.unwrap().policy != before).then_some(()) }).await;
    let filed = site.client("alice").file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let half = site.client("bob").approve(&filed.id, &wire::Approve::default()).await.unwrap();
    assert_eq!(half.state, wire::RequestState::Pending);
    filed.id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_falls_with_its_approver() {
    let site = Site::start().await;
    let request = half_approved(&site).await;
    let placed = lock(&site, "sam", "identity:bob").await;
    let carol = site.client("carol");
    let after = carol.approve(&request, &wire::Approve::default()).await.unwrap();
    assert_eq!(after.state, wire::RequestState::Pending, "bob is locked");
    site.client("sam").unlock(&placed.id, &Default::default()).await.unwrap();
    carol.withdraw(&request).await.unwrap();
    let after = carol.approve(&request, &wire::Approve::default()).await.unwrap();
    assert_eq!(after.state, wire::RequestState::Approved, "bob is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_falls_with_its_approvers_group() {
    let site = Site::start().await;
    for moved in [Some("engineers"), None] {
        site.write_directory(&PEOPLE);
        eventually("bob", || async {
            site.client("bob").whoami().await.ok()?.groups.contains(&"approvers".parse().unwrap()).then_some(())
        })
        .await;
        let request = half_approved(&site).await;
        let before = site.client("adam").status().await.unwrap().directory;
        let people: Vec<_> = PEOPLE
            .into_iter()
            .filter_map(
                |(name, group)| if name == "bob" { moved.map(|group| (name, group)) } else { Some((name, group)) },
            )
            .collect();
        site.write_directory(&people);
        in_force(&site, &before).await;
        let after = site.client("carol").approve(&request, &wire::Approve::default()).await.unwrap();
        assert_eq!(after.state, wire::RequestState::Pending, "bob is in {moved:?}");
        site.client("alice").cancel(&request).await.unwrap();
        site.write_policy(policy::EXAMPLE);
        let adam = site.client("adam");
        let example = adam.status().await.unwrap().policy;
        eventually("the example", || async { (adam.status().await.unwrap().policy != example).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_somebody_wrote_is_not_believed() {
    let mut site = Site::start().await;
    lock(&site, "sam", "identity:alice").await;
    site.down().await;
    {
        let store = site.store();
        let (seq, bytes) = store.latest_snapshot("access-state-3").unwrap().expect("a snapshot");
        let text = "identity:alice".as_bytes();
        let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
        assert!(!places.is_empty(), "the snapshot says who is locked");
        let mut bytes = bytes;
        for at in places {
            bytes[at..at + text.len()].copy_from_slice(b"identity:aline");
        }
        store.save_snapshot("access-state-3", seq, &bytes).unwrap();
    }
    site.up().await;
    let locks = site.client("sam").locks().await.unwrap().items;
    assert_eq!(locks.iter().map(|lock| lock.subject.as_str()).collect::<Vec<_>>(), ["identity:alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_lengthens_no_grant() {
    let site = Site::start().await;
    let alice = site.client("alice");
    let mut feed = alice.events(site.end().await).await.unwrap();
    let grant = alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap().id;
    let ends = alice.get_grant(&grant).await.unwrap().ends.0;
    site.clock.advance(model::Span::from_seconds(57));
    site.client("alice").whoami().await.unwrap();
    // Three seconds are left, whatever the clock says from here on.
    site.clock.set_back(model::Span::from_hours(1));
    let over = hear(&mut feed, |fact| matches!(fact, Fact::GrantEnded { request, .. } if *request == grant)).await;
    assert!(over.entry.time >= ends && over.entry.time.since(ends) < std::time::Duration::from_secs(1));
    // Set right again, and nothing lives again.
    site.clock.advance(model::Span::from_hours(1));
    assert_eq!(alice.get_grant(&grant).await.unwrap().state, wire::GrantState::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_forward_ends_what_is_due_and_setting_it_right_revives_nothing() {
    let site = Site::start().await;
    let (grant, certificate, _) = site.session("root", "web1").await;
    let mut feed = site.client("proxy:proxy1").events(site.end().await).await.unwrap();
    site.clock.advance(model::Span::from_hours(3));
    hear(&mut feed, |fact| matches!(fact, Fact::GrantEnded { request, .. } if *request == grant)).await;
    site.clock.set_back(model::Span::from_hours(3));
    let knock = Site::knock(&certificate, "root", "web1");
    assert_eq!(code(site.client("proxy:proxy1").open_session(&knock).await), "certificate-refused");
    assert_eq!(site.client("alice").get_grant(&grant).await.unwrap().state, wire::GrantState::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_went_back_takes_no_fact_along() {
    let mut site = Site::start().await;
    site.clock.advance(model::Span::from_hours(9));
    site.grant("root", "dev1", 5).await;
    site.down().await;
    // The snapshot covers everything, and the next start has the right time again.
    site.clock = std::sync::Arc::default();
    site.up().await;
    let token = site.token("alice").await;
    site.anonymous().with_token(token).whoami().await.unwrap();
    let times: Vec<_> = ledger(&site).await.into_iter().map(|record| record.entry.time).collect();
    assert!(times.is_sorted(), "{times:?}");
}
