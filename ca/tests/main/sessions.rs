//! Sessions, as proxies open and report them; recordings, as people read them.

use std::time::Duration;

use api::wire;
use model::{ChannelEnd, ChannelKind, Fact, RecordingClosed, RecordingId, RecordingStatus, SessionEnd};
use ssh_key::Certificate;

use crate::site::{Site, certificate_of, code, hear, house, issue, key_of, kinds, ledger};

fn new_recording() -> RecordingId {
    RecordingId::from_random(store::Entropy::u64(&store::SystemEntropy))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_certificate_opens_one_login_for_two_minutes() {
    let site = Site::start().await;
    let (grant, _, opened) = site.session("root", "web1").await;
    let certificate = Certificate::from_openssh(certificate_of(&opened)).unwrap();
    assert_eq!(certificate.valid_principals(), ["root@web1"]);
    assert!(certificate.valid_before() - certificate.valid_after() <= 180);
    assert_eq!(certificate.critical_options().get("source-address").unwrap(), "127.0.0.1/32");
    assert!(certificate.key_id().contains(grant.as_str()) && certificate.key_id().contains("identity=alice"));
    assert_eq!(opened.addresses, ["10.0.0.1:22"]);
    assert_eq!(opened.host_keys.len(), 1);
    assert_eq!(opened.identity.as_str(), "alice");
    assert!(opened.host_ca.starts_with("ssh-ed25519 "));
    let kinds: Vec<_> = ledger(&site)
        .await
        .into_iter()
        .filter(|record| record.entry.correlation.as_str() == grant.as_str())
        .map(|record| record.entry.fact.kind())
        .skip(5)
        .collect();
    assert_eq!(kinds, ["session.opened", "certificate.intended", "certificate.issued"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_certificate_of_ours_opens_anything() {
    let site = Site::start().await;
    let proxy = site.client("proxy:proxy1");
    let grant = site.grant("root", "web1", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    assert_eq!(code(proxy.open_session(&Site::knock("nonsense", "root", "web1")).await), "certificate-refused");
    assert_eq!(code(proxy.open_session(&Site::knock(&certificate, "deploy", "web1")).await), "no-active-grant");
    assert_eq!(code(proxy.open_session(&Site::knock(&certificate, "root", "dev1")).await), "no-active-grant");
    assert_eq!(code(proxy.open_session(&Site::knock(&certificate, "ro ot", "web1")).await), "no-active-grant");
    // A proxy that the configuration does not list has no source address to be pinned to.
    let other = site.client("proxy:proxy2").open_session(&Site::knock(&certificate, "root", "web1")).await;
    assert_eq!(code(other), "bad-request");
    // The same words signed by another CA, and by the user CA itself behind the ledger's back.
    let forged = resigned(&certificate, &key_of("another CA"));
    assert_eq!(code(proxy.open_session(&Site::knock(&forged, "root", "web1")).await), "certificate-refused");
    // A session's own certificate is no person's.
    let opened = proxy.open_session(&Site::knock(&certificate, "root", "web1")).await.unwrap();
    let turned = proxy.open_session(&Site::knock(certificate_of(&opened), "root", "web1")).await;
    assert_eq!(code(turned), "certificate-refused");
    let host = wire::IssueHostCertificate {
        host: wire::HostSubject::Proxy { name: "proxy1".parse().unwrap() },
        public_key: key_of("host key").public_key().to_openssh().unwrap(),
    };
    let host = proxy.issue_host_certificate(&host).await.unwrap();
    assert_eq!(host.principals, ["localhost", "ssh.test"]);
    let host = proxy.open_session(&Site::knock(&host.certificate.unwrap(), "root", "web1")).await;
    assert_eq!(code(host), "certificate-refused");
}

/// The same certificate with the signature of another key.
fn resigned(certificate: &str, ca: &ssh_key::PrivateKey) -> String {
    let old = Certificate::from_openssh(certificate).unwrap();
    let (after, before) = (old.valid_after(), old.valid_before());
    let mut builder =
        ssh_key::certificate::Builder::new(old.nonce().to_vec(), old.public_key().clone(), after, before).unwrap();
    builder.serial(old.serial()).unwrap().key_id(old.key_id()).unwrap();
    for principal in old.valid_principals() {
        builder.valid_principal(principal).unwrap();
    }
    builder.sign(ca).unwrap().to_openssh().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_opens_nothing() {
    let site = Site::start().await;
    let grant = site.grant("root", "dev1", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    site.clock.advance(model::Span::from_minutes(31));
    let late = site.client("proxy:proxy1").open_session(&Site::knock(&certificate, "root", "dev1")).await;
    assert_eq!(code(late), "certificate-refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_kept_in_order_and_belong_to_their_proxy() {
    let site = Site::start().await;
    let (_, _, opened) = site.session("root", "web1").await;
    let (proxy, recording) = (site.client("proxy:proxy1"), new_recording());
    let from = site.end().await;
    let reports = vec![
        wire::SessionReport::RecordingStarted { recording: recording.clone(), channel: 0 },
        wire::SessionReport::ChannelOpened {
            channel: 0,
            channel_kind: ChannelKind::Exec { command: "uptime".to_owned() },
            pty: None,
        },
        // Refused by itself; what stands before it is kept.
        wire::SessionReport::ChannelClosed { channel: 7, end: ChannelEnd::default() },
        wire::SessionReport::ChannelClosed {
            channel: 0,
            end: ChannelEnd { bytes_in: 1, bytes_out: 2, ..ChannelEnd::default() },
        },
        wire::SessionReport::RecordingClosed { recording: recording.clone(), closed: closed() },
        wire::SessionReport::Ended { end: SessionEnd::Client, cut: None, dropped: opened.deadline },
    ];
    let mut body = wire::SessionReports { told: Some(0), reports };
    let other = site.client("proxy:proxy2").report(&opened.session, &body).await;
    assert_eq!(code(other), "not-its-proxy");
    // The answer is lost, and asked for again.
    for _ in 0..2 {
        assert_eq!(proxy.report(&opened.session, &body).await.unwrap().taken, 2);
    }
    body.told = Some(2);
    body.reports.drain(..2);
    assert_eq!(code(proxy.report(&opened.session, &body).await), "unknown-channel");
    body.reports.remove(0);
    for _ in 0..2 {
        assert_eq!(proxy.report(&opened.session, &body).await.unwrap().taken, 3);
    }
    // A proxy that knows of less than the ledger has: the rest is entered, and nothing twice.
    body.told = Some(0);
    assert_eq!(proxy.report(&opened.session, &body).await.unwrap().taken, 3);
    let kinds: Vec<_> = ledger(&site)
        .await
        .into_iter()
        .filter(|record| record.seq.0 >= from && record.entry.actor == opened_by())
        .map(|record| record.entry.fact.kind())
        .collect();
    let expected = ["recording.started", "channel.opened", "channel.closed", "recording.closed", "session.ended"];
    assert_eq!(kinds, expected);
    let seen = site.client("alice").get_session(&opened.session).await.unwrap();
    assert_eq!((seen.end.as_deref(), seen.recordings), (Some("the person hung up"), vec![recording]));
}

fn opened_by() -> model::Actor {
    model::Actor::Proxy("proxy1".parse().unwrap())
}

fn closed() -> RecordingClosed {
    RecordingClosed {
        sha256: "00".repeat(32),
        bytes: 10,
        events: 1,
        milliseconds: 5,
        status: RecordingStatus::Complete,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_proxy_left_is_ended() {
    let site = Site::start().await;
    let (_, _, lost) = site.session("root", "web1").await;
    let (_, _, live) = site.session("root", "dev1").await;
    let (proxy, recording) = (site.client("proxy:proxy1"), new_recording());
    let started = vec![wire::SessionReport::RecordingStarted { recording: recording.clone(), channel: 0 }];
    proxy.report(&lost.session, &wire::SessionReports { told: None, reports: started }).await.unwrap();
    let recordings = vec![wire::RecoveredRecording {
        recording: recording.clone(),
        session: lost.session.clone(),
        closed: closed(),
    }];
    // A page that is not the last ends nothing, not even what it does not list.
    let page = wire::Recovered { live: Vec::new(), recordings, more: true, spare: 0 };
    proxy.recovered(&page).await.unwrap();
    let sam = site.client("sam");
    assert_eq!(sam.get_recording(&recording).await.unwrap().status, "complete");
    assert!(sam.get_session(&lost.session).await.unwrap().ended.is_none());
    let body = wire::Recovered { live: vec![live.session.clone()], more: false, ..page };
    proxy.recovered(&body).await.unwrap();
    proxy.recovered(&body).await.expect("told twice is told once");
    assert!(sam.get_session(&lost.session).await.unwrap().end.unwrap().contains("proxy stopped"));
    assert!(sam.get_session(&live.session).await.unwrap().ended.is_none());
    assert_eq!(sam.get_recording(&recording).await.unwrap().status, "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_proxy_never_heard_of_it_is_ended() {
    let site = Site::start().await;
    let (_, _, live) = site.session("root", "dev1").await;
    // The answer to this one is lost.
    let (_, _, lost) = site.session("root", "web1").await;
    let (proxy, sam) = (site.client("proxy:proxy1"), site.client("sam"));
    let told = wire::Recovered { live: vec![live.session.clone()], spare: 60, ..wire::Recovered::default() };
    proxy.recovered(&told).await.unwrap();
    assert!(sam.get_session(&lost.session).await.unwrap().ended.is_none(), "the answer may still be on its way");
    site.clock.advance(model::Span::from_seconds(61));
    site.client("proxy:proxy2").recovered(&told).await.unwrap();
    assert!(sam.get_session(&lost.session).await.unwrap().ended.is_none(), "another proxy's are its own");
    proxy.recovered(&told).await.unwrap();
    let ended = sam.get_session(&lost.session).await.unwrap().end.unwrap();
    assert!(ended.contains("its proxy knows nothing of it"), "{ended}");
    assert!(sam.get_session(&live.session).await.unwrap().ended.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_proxy_left_comes_in_pages_and_any_of_them_twice() {
    let site = Site::start().await;
    let (_, _, lost) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    let recordings: Vec<_> = (0..6).map(|_| new_recording()).collect();
    for (channel, recording) in (0..).zip(&recordings) {
        let reports = vec![wire::SessionReport::RecordingStarted { recording: recording.clone(), channel }];
        proxy.report(&lost.session, &wire::SessionReports { told: None, reports }).await.unwrap();
    }
    let left = |recording: &RecordingId| wire::RecoveredRecording {
        recording: recording.clone(),
        session: lost.session.clone(),
        closed: closed(),
    };
    let page = |of: &[RecordingId], more| wire::Recovered {
        recordings: of.iter().map(left).collect(),
        more,
        ..wire::Recovered::default()
    };
    proxy.recovered(&page(&recordings[..2], true)).await.unwrap();
    // The answer was lost; and a recording that nobody knows stands among the others.
    let mut again = page(&recordings[..4], true);
    again.recordings.insert(1, left(&new_recording()));
    proxy.recovered(&again).await.unwrap();
    let sam = site.client("sam");
    assert!(sam.get_session(&lost.session).await.unwrap().ended.is_none(), "more is to come");
    proxy.recovered(&page(&recordings[4..], false)).await.unwrap();
    assert!(sam.get_session(&lost.session).await.unwrap().ended.is_some());
    for recording in &recordings {
        assert_eq!(sam.get_recording(recording).await.unwrap().status, "complete");
    }
    let kinds = kinds(&ledger(&site).await);
    assert_eq!((kinds["recording.closed"], kinds["session.ended"]), (recordings.len(), 1));
}

/// Wherever it goes afterwards, into an agent or a file: what was issued is in the ledger, and dies with its grant.
#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_is_a_fact_and_dies_with_its_grant() {
    let site = Site::start().await;
    let grant = site.grant("root", "web1", 30).await;
    let alice = site.client("alice");
    alice.login().await.unwrap();
    let key = key_of("a key in a file");
    let issued = issue(&alice, "alice", &grant, &key).await.unwrap();
    let records = ledger(&site).await;
    let intended = records.iter().any(|record| {
        matches!(&record.entry.fact, Fact::CertificateIntended { certificate, request: Some(request), .. }
            if certificate.serial.to_string() == issued.serial.to_string() && *request == grant
                && certificate.key == key.public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string())
    });
    let handed_out = records.iter().any(|record| {
        matches!(&record.entry.fact, Fact::CertificateIssued { serial, .. } if serial.to_string() == issued.serial.to_string())
    });
    assert!(intended && handed_out);
    let listed = alice.certificates(None).await.unwrap().items;
    assert!(listed.iter().any(|one| one.serial == issued.serial && one.request.as_ref() == Some(&grant)));
    let (proxy, knock) =
        (site.client("proxy:proxy1"), Site::knock_with(&key, &issued.certificate.unwrap(), "root", "web1"));
    proxy.open_session(&knock).await.unwrap();
    site.client("bob").revoke(&grant, &wire::Revoke { reason: Some("done".to_owned()) }).await.unwrap();
    let knock = Site::knock_with(&key, &knock.certificate, "root", "web1");
    assert_eq!(code(proxy.open_session(&knock).await), "no-active-grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_is_killed_and_its_grant_stays() {
    let site = Site::start().await;
    let (grant, _, opened) = site.session("root", "web1").await;
    let mut feed = site.client("proxy:proxy1").events(opened.seq).await.unwrap();
    assert_eq!(code(site.client("erin").kill(&opened.session, &wire::Kill::default()).await), "not-found");
    site.client("sam").kill(&opened.session, &wire::Kill { reason: Some("odd traffic".to_owned()) }).await.unwrap();
    let cut = hear(&mut feed, |fact| matches!(fact, Fact::SessionCut { .. })).await;
    assert!(matches!(&cut.entry.fact, Fact::SessionCut { reason, .. } if reason == "odd traffic"));
    assert_eq!(site.client("alice").get_grant(&grant).await.unwrap().state, wire::GrantState::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_so_many_sessions_and_no_more() {
    let site = Site::start_with(|raw| raw.sessions_per_identity = 2).await;
    let (_, certificate, _) = site.session("root", "web1").await;
    let proxy = site.client("proxy:proxy1");
    proxy.open_session(&Site::knock(&certificate, "root", "web1")).await.unwrap();
    let third = proxy.open_session(&Site::knock(&certificate, "root", "web1")).await;
    assert_eq!(code(third), "too-many-sessions");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_read_by_those_who_may_and_the_ledger_says_so() {
    let site = Site::start().await;
    let (grant, _, opened) = site.session("root", "web1").await;
    let (proxy, recording) = (site.client("proxy:proxy1"), new_recording());
    let vault = recordings::Vault::open(site.dir.path().join("recordings")).unwrap();
    let header = recordings::Header {
        recording: recording.clone(),
        session: opened.session.clone(),
        request: grant.clone(),
        identity: "alice".parse().unwrap(),
        target: "web1".parse().unwrap(),
        login: "root".parse().unwrap(),
        channel: 0,
        kind: ChannelKind::Exec { command: "uptime".to_owned() },
        pty: None,
        started: store::Clock::now(&*site.clock),
        output_limit: 1 << 20,
        record_input: false,
    };
    let recorder = vault.create(header).await.unwrap();
    let started = vec![wire::SessionReport::RecordingStarted { recording: recording.clone(), channel: 0 }];
    proxy.report(&opened.session, &wire::SessionReports { told: None, reports: started }).await.unwrap();
    recorder.output(b"up 3 days\n").await.unwrap();
    let sam = site.client("sam");
    assert_eq!(sam.get_recording(&recording).await.unwrap().status, "live");
    // A live one is followed to its end.
    let mut following = sam.recording_content(&recording, true).await.unwrap();
    let closed = recorder.finish(None).await.unwrap();
    let report = vec![wire::SessionReport::RecordingClosed { recording: recording.clone(), closed: closed.clone() }];
    proxy.report(&opened.session, &wire::SessionReports { told: None, reports: report }).await.unwrap();
    let mut followed = Vec::new();
    while let Some(chunk) = following.chunk().await.unwrap() {
        followed.extend_from_slice(&chunk);
    }
    let whole = sam.recording_content(&recording, false).await.unwrap().bytes().await.unwrap();
    assert_eq!((whole.len() as u64, &followed[..]), (closed.bytes, &whole[..]));
    let seen = sam.get_recording(&recording).await.unwrap();
    assert_eq!((seen.status.as_str(), seen.sha256), ("complete", Some(closed.sha256)));
    let place = ledger(&site).await.into_iter().nth(usize::try_from(seen.seq.unwrap()).unwrap()).unwrap();
    assert!(matches!(place.entry.fact, Fact::RecordingClosed { .. }));
    // Own, because this policy says so; an approver and an administrator may not.
    site.client("alice").recording_content(&recording, false).await.unwrap();
    assert_eq!(code(site.client("adam").recording_content(&recording, false).await.map(drop)), "forbidden");
    assert_eq!(code(site.client("erin").recording_content(&recording, false).await.map(drop)), "not-found");
    let replayed = |record: &model::Record| matches!(record.entry.fact, Fact::RecordingReplayed { .. });
    assert_eq!(ledger(&site).await.iter().filter(|record| replayed(record)).count(), 3);
    let filter = api::RecordingFilter { identity: Some("alice"), target: Some("web1"), ..Default::default() };
    assert_eq!(sam.recordings(&filter).await.unwrap().items.len(), 1);
    let filter = api::RecordingFilter { identity: Some("erin"), ..Default::default() };
    assert_eq!(sam.recordings(&filter).await.unwrap().items.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_proxy_hung_up_does_not_stay() {
    let site = Site::start().await;
    let grant = site.grant("root", "web1", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let token = site.token("proxy:proxy1").await;
    let sam = site.client("sam");
    let mut feed = sam.events(site.end().await).await.unwrap();
    let (http, url) = site.raw();
    // The answer waits for the disk, and the proxy does not wait for the answer.
    site.slow(Duration::from_millis(300));
    let knock = Site::knock(&certificate, "root", "web1");
    let call = http.post(format!("{url}/v1/sessions")).bearer_auth(&token).json(&knock).send();
    let answered = tokio::time::timeout(Duration::from_millis(150), call).await;
    assert!(answered.is_err(), "the answer waits for the disk");
    let opened = hear(&mut feed, |fact| matches!(fact, Fact::SessionOpened { .. })).await;
    let ended = hear(&mut feed, |fact| matches!(fact, Fact::SessionEnded { .. })).await;
    assert!(ended.seq > opened.seq);
    assert!(matches!(ended.entry.fact, Fact::SessionEnded { end: SessionEnd::Proxy { .. }, .. }));
    assert!(sam.sessions(true, None).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_house_are_public_and_never_certified() {
    let site = Site::start().await;
    let keys = site.anonymous().ca().await.unwrap();
    assert!(keys.user_ca.starts_with("ssh-ed25519 ") && keys.user_ca != keys.host_ca);
    assert_eq!(keys.proxies[0].host, "ssh.test");
    let adam = site.client("adam");
    let keys = &house().keys;
    for key in [keys.user_ca(), keys.host_ca(), keys.front_ca()] {
        let body = wire::IssueHostCertificate {
            host: wire::HostSubject::Target { name: "web1".parse().unwrap() },
            public_key: key.public().to_openssh().unwrap(),
        };
        assert_eq!(code(adam.issue_host_certificate(&body).await), "certificate-refused");
    }
    let certified = wire::IssueHostCertificate {
        host: wire::HostSubject::Target { name: "web9".parse().unwrap() },
        public_key: key_of("host").public_key().to_openssh().unwrap(),
    };
    assert_eq!(code(adam.issue_host_certificate(&certified).await), "not-found");
    let grant = site.grant("root", "dev1", 10).await;
    let certificate = issue(&site.client("alice"), "alice", &grant, &key_of("alice")).await.unwrap();
    assert_eq!(site.client("alice").certificates(None).await.unwrap().items[0].serial, certificate.serial);
    assert!(site.client("erin").certificates(None).await.unwrap().items.is_empty());
}
