//! Disks that fill, processes that end, and what is left of it.

use api::wire;
use store::Fault;

use crate::site::{Site, ask, code, eventually, kinds, ledger, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_goes_on_once_there_is_room() {
    let site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let before = alice.file_request(&ask("root", "dev1", 600), &unique()).await.unwrap();
    let adam = site.client("adam");
    adam.login().await.unwrap();
    site.disk.set_room(Some(0));
    for _ in 0..5 {
        let refused = alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap_err();
        assert_eq!(refused.code(), Some("unavailable"));
        assert!(refused.to_string().contains("no room is left"), "{refused}");
    }
    // Looking still works, and nothing of what failed is to be seen.
    assert_eq!(alice.requests(None, true, None).await.unwrap().items.len(), 1);
    assert!(adam.status().await.unwrap().ledger_error.unwrap().contains("no room"));
    assert_eq!(code(site.client("alice").login().await), "unavailable", "no login without its fact");
    site.disk.set_room(None);
    let after = eventually("room", || async { alice.file_request(&ask("root", "web1", 60), &unique()).await.ok() });
    assert_eq!(after.await.state, wire::RequestState::Pending);
    assert_eq!(adam.status().await.unwrap().ledger_error, None);
    assert_eq!(alice.get_request(&before.id).await.unwrap().state, wire::RequestState::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_failing_disk_and_nothing_else_does() {
    let mut site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let alice = alice.clone();
                tokio::spawn(async move { alice.file_request(&ask("root", "dev1", 60), &unique()).await })
            })
            .collect();
        if round % 2 == 1 {
            site.disk.set_fault(Some(if round == 3 { Fault::Sync } else { Fault::Write }));
        }
        for call in calls {
            if let Ok(filed) = call.await.unwrap() {
                acknowledged.push(filed.id);
            }
        }
        site.disk.set_fault(None);
        let filed = eventually("a working disk", || async {
            alice.file_request(&ask("root", "dev1", 60), &unique()).await.ok()
        });
        acknowledged.push(filed.await.id);
    }
    let mut known: Vec<_> = Vec::new();
    let mut after = None;
    loop {
        let page = alice.requests(None, true, after.as_deref()).await.unwrap();
        known.extend(page.items.into_iter().map(|request| request.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    for id in &acknowledged {
        assert!(known.contains(id), "{id} was answered");
    }
    // The ledger has exactly what the state shows.
    let filed = kinds(&ledger(&site).await)["request.filed"];
    assert_eq!(filed, known.len());
    site.down().await;
    site.up().await;
    let alice = site.client("alice");
    for id in acknowledged {
        alice.get_request(&id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_the_same_state() {
    let mut site = Site::start().await;
    let (grant, certificate, opened) = site.session("root", "web1").await;
    let pending = site.client("alice").file_request(&ask("deploy", "web1", 600), "a-key").await.unwrap();
    let sam = site.client("sam");
    let lock = wire::PlaceLock { subject: "login:nobody".to_owned(), reason: "broken".to_owned(), duration: None };
    sam.lock(&lock).await.unwrap();
    let token = site.token("alice").await;
    for crash in [false, true] {
        if crash {
            site.kill().await;
        } else {
            site.down().await;
            let store = site.store();
            let (covered, _) = store.latest_snapshot("access-state-3").unwrap().expect("a snapshot");
            assert_eq!(covered, store.durable().next, "the next start reads nothing else");
        }
        site.up().await;
        let (alice, sam) = (site.client("alice"), site.client("sam"));
        assert_eq!(alice.get_grant(&grant).await.unwrap().state, wire::GrantState::Active);
        assert_eq!(alice.get_request(&pending.id).await.unwrap().state, wire::RequestState::Pending);
        let again = alice.file_request(&ask("deploy", "web1", 600), "a-key").await.unwrap();
        assert_eq!(again.id, pending.id, "idempotency keys live on");
        assert_eq!(sam.locks().await.unwrap().items.len(), 1);
        assert!(sam.get_session(&opened.session).await.unwrap().ended.is_none());
        let old = site.anonymous().with_token(token.clone());
        assert_eq!(code(old.whoami().await), "unauthenticated", "tokens die with the server's word");
        let knock = Site::knock(&certificate, "root", "web1");
        site.client("proxy:proxy1").open_session(&knock).await.unwrap();
    }
    assert_eq!(kinds(&ledger(&site).await)["ledger.opened"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished_when_the_caller_hangs_up() {
    let site = Site::start().await;
    let token = site.token("alice").await;
    let (http, url) = site.raw();
    for at in 0..20 {
        let body = ask("root", "dev1", 60);
        let call = http.post(format!("{url}/v1/requests")).bearer_auth(&token).json(&body).send();
        // Sometimes before the call is read, sometimes while its facts are on their way to the disk.
        let _ = tokio::time::timeout(std::time::Duration::from_micros(at * 300), call).await;
    }
    // The engine is as good as before.
    let alice = site.client("alice");
    alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    let shown = alice.requests(None, true, None).await.unwrap().items.len();
    let filed = kinds(&ledger(&site).await)["request.filed"];
    assert_eq!(shown, filed);
}
