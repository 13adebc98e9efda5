//! Who can approve, for who waits.

use api::wire::{Approve, PlaceLock};

use crate::site::{PEOPLE, Site, ask, code, unique};

#[tokio::test(flavor = "multi_thread")]
async fn who_can_approve_is_named_and_nobody_else() {
    let site = Site::start().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    let filed = alice.file_request(&ask("root", "web1", 600), &unique()).await.unwrap();
    let named = async || alice.reviewers(&filed.id).await.unwrap().to_string();
    assert_eq!(named().await, "bob and carol");
    assert_eq!(code(erin.reviewers(&filed.id).await), "not-found", "whose business is it");

    let lock = PlaceLock { subject: "identity:carol".to_owned(), reason: "on leave".to_owned(), duration: None };
    site.client("sam").lock(&lock).await.unwrap();
    assert_eq!(named().await, "bob", "nobody who is locked");

    // Many of them; and an approver who asks is none for themself.
    let crowd: Vec<String> = (10..30).map(|number| format!("d{number}")).collect();
    let mut people = PEOPLE.to_vec();
    people.extend(crowd.iter().map(|name| (name.as_str(), "approvers")));
    site.write_directory(&people);
    let all = crate::site::eventually("the directory", || async {
        let reviewers = alice.reviewers(&filed.id).await.unwrap();
        (reviewers.more > 0).then_some(reviewers)
    });
    let all = all.await;
    assert_eq!((all.names.len(), all.more), (6, 15), "{all:?}");
    assert_eq!(all.to_string(), "bob, d10, d11, d12, d13, d14 and 15 more");

    site.client("bob").approve(&filed.id, &Approve::default()).await.unwrap();
    assert_eq!(named().await, "nobody", "it is decided");
}
