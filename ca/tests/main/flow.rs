//! The main job: ask, approve, certificate.

use std::process::Command;

use api::{Heard, wire};
use model::{Fact, GrantEnd, SessionEnd, Verdict};

use crate::site::{Site, ask, code, hear, issue, key_of, ledger, prove, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_approved_and_certified() {
    let site = Site::start().await;
    let (alice, bob) = (site.client("alice"), site.client("bob"));
    let filed = alice.file_request(&ask("root", "web1", 1800), &unique()).await.unwrap();
    assert_eq!(filed.state, wire::RequestState::Pending);
    assert_eq!(filed.paths[0].policy, "engineers-prod");
    assert_eq!(filed.paths[0].lacks, ["1 approval by approvers"]);
    assert!(filed.grant.is_none());

    let body = wire::Approve { duration: Some(900), comment: Some("go on".to_owned()) };
    let approved = bob.approve(&filed.id, &body).await.unwrap();
    assert_eq!(approved.state, wire::RequestState::Approved);
    let grant = approved.grant.unwrap();
    assert_eq!((grant.state, grant.id == filed.id), (wire::GrantState::Active, true));
    assert_eq!(grant.ends.0.since(grant.starts.0).as_secs(), 900, "the shorter time counts");
    assert_eq!(grant.approvers, ["bob".parse().unwrap()]);

    let certificate = issue(&alice, "alice", &filed.id, &key_of("alice")).await.unwrap();
    assert_eq!(certificate.principals, ["identity:alice"]);
    assert!(certificate.valid_before <= grant.ends);
    let text = ssh_keygen(&certificate.certificate.unwrap());
    for part in [
        "user certificate",
        "identity:alice",
        &format!("Serial: {}", certificate.serial),
        &format!("portcullis person {} identity=alice approvers=bob serial={}", filed.id, certificate.serial),
        "Critical Options: (none)",
        "permit-pty",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let kinds: Vec<_> = ledger(&site)
        .await
        .iter()
        .filter(|record| record.entry.correlation.as_str() == filed.id.as_str())
        .map(|record| record.entry.fact.kind())
        .collect();
    let expected =
        ["request.filed", "request.reviewed", "request.approved", "certificate.intended", "certificate.issued"];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_nobody_is_granted_at_once() {
    let site = Site::start().await;
    let filed = site.client("alice").file_request(&ask("root", "dev1", 1800), &unique()).await.unwrap();
    assert_eq!(filed.state, wire::RequestState::Approved);
    assert_eq!(filed.grant.unwrap().policy, "engineers-nonprod");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_codes() {
    let site = Site::start().await;
    let (alice, bob, erin) = (site.client("alice"), site.client("bob"), site.client("erin"));
    assert_eq!(code(alice.file_request(&ask("root", "web9", 60), "k1").await), "not-found");
    assert_eq!(code(alice.file_request(&ask("nobody", "web1", 60), "k2").await), "not-found");
    assert_eq!(code(alice.file_request(&ask("root", "web1", 86_400), "k3").await), "too-long");
    assert_eq!(code(alice.file_request(&ask("root", "web1", 0), "k4").await), "bad-duration");
    let hidden = bob.file_request(&ask("root", "web1", 60), "k5").await;
    assert_eq!(code(hidden), "not-found", "he may ask for nothing there");
    let refused = site.client("adam").file_request(&ask("root", "web1", 60), "k5").await.unwrap_err();
    assert_eq!(refused.code(), Some("forbidden"), "he sees all");
    assert!(refused.to_string().contains("root@web1"), "{refused}");

    let filed = alice.file_request(&ask("root", "web1", 60), "k6").await.unwrap();
    assert_eq!(code(alice.approve(&filed.id, &wire::Approve::default()).await), "self-review");
    assert_eq!(code(erin.approve(&filed.id, &wire::Approve::default()).await), "not-found", "she cannot even see it");
    assert_eq!(code(bob.cancel(&filed.id).await), "not-the-asker");
    let denied = bob.deny(&filed.id, &wire::Deny { comment: Some("not today".to_owned()) }).await.unwrap();
    assert_eq!(denied.state, wire::RequestState::Denied);
    assert_eq!(denied.reviews[0].comment.as_deref(), Some("not today"));
    assert_eq!(code(bob.approve(&filed.id, &wire::Approve::default()).await), "request-not-pending");
    let refusals =
        ledger(&site).await.into_iter().filter(|record| matches!(record.entry.fact, Fact::RequestRefused { .. }));
    assert_eq!(refusals.count(), 4, "what policy refuses is kept, and what is not there as what is hidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_answers_with_the_same_request() {
    let site = Site::start().await;
    let alice = site.client("alice");
    let first = alice.file_request(&ask("root", "web1", 60), "the-key").await.unwrap();
    let second = alice.file_request(&ask("root", "web1", 60), "the-key").await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(code(alice.file_request(&ask("root", "web1", 120), "the-key").await), "idempotency-key-reused");
    assert_eq!(alice.requests(None, true, None).await.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_are_withdrawn_and_requests_cancelled() {
    let site = Site::start().await;
    let policy = policy::EXAMPLE.replace("@approvals(\"1\")", "@approvals(\"2\")");
    site.write_policy(&policy);
    let alice = site.client("alice");
    let filed = crate::site::eventually("the policy", || async {
        let filed = alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
        (filed.paths[0].approvals == 2).then_some(filed)
    })
    .await;
    let bob = site.client("bob");
    let once = bob.approve(&filed.id, &wire::Approve::default()).await.unwrap();
    assert_eq!((once.state, once.reviews.len()), (wire::RequestState::Pending, 1));
    assert_eq!(code(bob.approve(&filed.id, &wire::Approve::default()).await), "already-reviewed");
    assert_eq!(bob.withdraw(&filed.id).await.unwrap().reviews.len(), 0);
    assert_eq!(code(bob.withdraw(&filed.id).await), "no-review");
    assert_eq!(alice.cancel(&filed.id).await.unwrap().state, wire::RequestState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_takes_a_grant_and_a_proof_of_ones_own() {
    let site = Site::start().await;
    let (alice, erin) = (site.client("alice"), site.client("erin"));
    let grant = site.grant("root", "dev1", 30).await;
    let theirs = issue(&erin, "erin", &grant, &key_of("erin")).await;
    assert_eq!(code(theirs), "not-found");
    // A proof by another key than the one to be certified.
    let challenge = alice.challenge(wire::Purpose::Certificate).await.unwrap();
    let proof = prove(&challenge, "alice", &grant, &key_of("alice"));
    let body = wire::IssueCertificate {
        request: grant.clone(),
        public_key: key_of("mallory").public_key().to_openssh().unwrap(),
        nonce: challenge.nonce.clone(),
        proof: proof.clone(),
    };
    assert_eq!(code(alice.issue_certificate(&body).await), "login-refused");
    // The nonce is used up by it.
    let body = wire::IssueCertificate { public_key: key_of("alice").public_key().to_openssh().unwrap(), ..body };
    assert_eq!(code(alice.issue_certificate(&body).await), "login-refused");
    // A login's signature proves no possession.
    alice.release(&grant).await.unwrap();
    let over = issue(&alice, "alice", &grant, &key_of("alice")).await;
    assert_eq!(code(over), "no-active-grant");
    // A key of the house is never certified; nor could anybody prove to have it, so the linter is tried elsewhere.
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_heard_and_kills() {
    let site = Site::start().await;
    let (grant, certificate, opened) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let mut feed = proxy.events(opened.seq).await.unwrap();
    let sam = site.client("sam");
    assert_eq!(code(site.client("alice").revoke(&grant, &wire::Revoke::default()).await), "not-allowed");
    assert_eq!(code(site.client("erin").revoke(&grant, &wire::Revoke::default()).await), "not-found");
    let revoked = sam.revoke(&grant, &wire::Revoke { reason: Some("laptop stolen".to_owned()) }).await.unwrap();
    assert_eq!((revoked.state, revoked.reason.as_deref()), (wire::GrantState::Revoked, Some("laptop stolen")));
    let heard = hear(&mut feed, |fact| matches!(fact, Fact::GrantEnded { end: GrantEnd::Revoked, .. })).await;
    assert_eq!(heard.entry.correlation.as_str(), grant.as_str());
    // The receipt.
    let dropped = model::Timestamp::from_micros(heard.entry.time.micros() + 4_000);
    let end = SessionEnd::Revoked { by: heard.entry.actor.clone(), at: heard.entry.time, reason: None };
    let cut = model::Timestamp::from_micros(heard.entry.time.micros() + 900);
    let reports = vec![wire::SessionReport::Ended { end, cut: Some(cut.into()), dropped: dropped.into() }];
    proxy.report(&opened.session, &wire::SessionReports { told: None, reports }).await.unwrap();
    let seen = sam.get_session(&opened.session).await.unwrap();
    assert_eq!(
        (seen.cut_micros, seen.drop_micros, seen.end.as_deref()),
        (Some(900), Some(4_000), Some("revoked by sam"))
    );
    assert_eq!((seen.cut.unwrap().0, seen.ended.unwrap().0), (cut, dropped));
    // A new attempt is refused, and the refusal kept.
    let again = proxy.open_session(&Site::knock(&certificate, "root", "web1")).await.unwrap_err();
    assert_eq!(again.code(), Some("no-active-grant"));
    let kept = ledger(&site).await.into_iter().any(|record| matches!(record.entry.fact, Fact::SessionRefused { .. }));
    assert!(kept, "a refused session is in the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_goes_on_where_it_broke_off() {
    let site = Site::start().await;
    let sam = site.client("sam");
    let alice = site.client("alice");
    let mut feed = sam.events(0).await.unwrap();
    alice.file_request(&ask("root", "web1", 60), &unique()).await.unwrap();
    let first = hear(&mut feed, |fact| matches!(fact, Fact::RequestFiled { .. })).await;
    drop(feed);
    let second = alice.file_request(&ask("deploy", "web1", 60), &unique()).await.unwrap();
    // By parameter, and by the header that a browser sends.
    let mut feed = sam.events(first.seq.next().0).await.unwrap();
    let next = hear(&mut feed, |_| true).await;
    assert_eq!(next.seq, first.seq.next(), "nothing is left out and nothing comes twice");
    let (http, url) = site.raw();
    let token = site.token("sam").await;
    let request = http.get(format!("{url}/v1/events?from=0")).bearer_auth(&token);
    let mut raw = request.header("Last-Event-ID", first.seq.to_string()).send().await.unwrap();
    assert_eq!(raw.headers()["content-type"], "text/event-stream");
    let text = String::from_utf8(raw.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(text.contains(&format!("id: {}\n", first.seq.next())), "{text}");
    assert!(text.contains("event: fact\n"), "{text}");
    assert_eq!(next.entry.correlation.as_str(), second.id.as_str());
    // From a place that is not there yet: this is another ledger.
    assert_eq!(sam.events(1_000_000).await.err().unwrap().code(), Some("bad-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_feed_says_that_it_is_alive() {
    let site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let from = site.end().await;
    let mut feed = alice.events(from).await.unwrap();
    // What others do keeps nobody's feed from saying so.
    let noise = site.client("bob");
    let alive = tokio::time::timeout(std::time::Duration::from_secs(12), async {
        loop {
            noise.login().await.unwrap();
            tokio::select! {
                heard = feed.next() => return heard.unwrap(),
                () = tokio::time::sleep(std::time::Duration::from_millis(700)) => {}
            }
        }
    });
    assert!(matches!(alive.await.expect("a comment within a few seconds"), Heard::Alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_hears_what_becomes_of_an_extension_and_of_no_other_request() {
    let site = Site::start().await;
    let (alice, bob) = (site.client("alice"), site.client("bob"));
    let (grant, _, opened) = site.session("root", "web1").await;
    let mut feed = site.client("proxy:proxy1").events(opened.seq).await.unwrap();
    let other = alice.file_request(&ask("deploy", "web1", 60), &unique()).await.unwrap();
    bob.deny(&other.id, &wire::Deny { comment: None }).await.unwrap();
    let body = wire::Extend { duration: 600, reason: "not done yet".to_owned() };
    let more = alice.extend(&grant, &body, &unique()).await.unwrap();
    assert_eq!(more.state, wire::RequestState::Pending);
    bob.deny(&more.id, &wire::Deny { comment: None }).await.unwrap();
    let filed = hear(&mut feed, |fact| matches!(fact, Fact::RequestFiled { .. })).await;
    assert_eq!(filed.entry.correlation.as_str(), more.id.as_str(), "not the other request");
    let denied = hear(&mut feed, |fact| matches!(fact, Fact::RequestDenied { .. })).await;
    assert_eq!(denied.entry.correlation.as_str(), more.id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_extended_and_released() {
    let site = Site::start().await;
    let alice = site.client("alice");
    let grant = site.grant("root", "dev1", 20).await;
    let before = alice.get_grant(&grant).await.unwrap();
    let body = wire::Extend { duration: 600, reason: "not done yet".to_owned() };
    let first = alice.extend(&grant, &body, "more").await.unwrap();
    let second = alice.extend(&grant, &body, "more").await.unwrap();
    assert_eq!(first.id, second.id, "the same key, the same request");
    assert_eq!((first.state, first.extends.as_ref()), (wire::RequestState::Approved, Some(&grant)));
    let after = alice.get_grant(&grant).await.unwrap();
    assert_eq!(after.ends.0.since(before.ends.0).as_secs(), 600);
    assert_eq!(first.grant.unwrap().ends, after.ends);
    let released = alice.release(&grant).await.unwrap();
    assert_eq!(released.state, wire::GrantState::Released);
    assert_eq!(code(alice.extend(&grant, &body, "again").await), "no-active-grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_happens_in_time() {
    let site = Site::start().await;
    let grant = site.grant("root", "dev1", 1).await;
    let from = site.end().await;
    let mut feed = site.client("sam").events(from).await.unwrap();
    let alice = site.client("alice");
    let ends = alice.get_grant(&grant).await.unwrap().ends.0;
    let left = ends.since(store::Clock::now(&*site.clock)).as_secs().saturating_sub(1);
    site.clock.advance(model::Span::from_seconds(u32::try_from(left).unwrap()));
    let ended = hear(&mut feed, |fact| matches!(fact, Fact::GrantEnded { .. })).await;
    assert!(matches!(ended.entry.fact, Fact::GrantEnded { end: GrantEnd::Expired, .. }));
    let late = ended.entry.time.since(ends);
    assert!(late.as_millis() < 100, "{late:?} after the deadline");
    assert_eq!(alice.get_grant(&grant).await.unwrap().state, wire::GrantState::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_much_at_once_gets_as_many_answers() {
    let site = Site::start().await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let asks: Vec<_> = (0..40)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap().id })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for ask in asks {
        ids.insert(ask.await.unwrap());
    }
    assert_eq!(ids.len(), 40);
    let reviewed = ledger(&site)
        .await
        .into_iter()
        .filter(|record| matches!(&record.entry.fact, Fact::RequestReviewed { verdict: Verdict::Approve { .. }, .. }));
    assert_eq!(reviewed.count(), 0, "nobody had to");
}

/// What OpenSSH makes of a certificate.
fn ssh_keygen(certificate: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key-cert.pub");
    std::fs::write(&path, certificate).unwrap();
    let out = Command::new("ssh-keygen").arg("-L").arg("-f").arg(&path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
