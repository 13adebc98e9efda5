//! Another key for a CA, step by step: who trusts what, what crashes leave, and who may do it.

use std::path::Path;
use std::sync::atomic::Ordering;

use api::ClientError;
use api::wire::{self, CaKeyState, CaStep, HostSubject, RotateCa, TellProxyStatus};
use model::{Authority, CertificateProfile, Entry, Fact, Record, Serial};
use ssh_key::Certificate;
use store::{Clock as _, Disk as _, SimulatedDisk};

use crate::site::{PROXIES, Site, certificate_of, code, key_of, ledger};

async fn step(site: &Site, ca: Authority, step: CaStep) -> CaKeyState {
    if step == CaStep::Activate {
        learn(site).await;
    }
    site.client("adam").rotate_ca(ca, &step.into()).await.unwrap()
}

/// Every proxy says that it trusts what the CA tells to trust.
async fn learn(site: &Site) {
    let user_ca = listed(&site.anonymous().ca().await.unwrap().user_ca);
    for name in PROXIES {
        let word = TellProxyStatus { user_ca: user_ca.clone(), ..TellProxyStatus::default() };
        site.client(&format!("proxy:{name}")).tell_proxy_status(&word).await.unwrap();
    }
}

/// A copy of a disk that nobody writes to.
fn copy_of(disk: &SimulatedDisk) -> SimulatedDisk {
    let copy = SimulatedDisk::new(disk.path());
    for name in disk.list().unwrap() {
        let (from, to) = (disk.open(&name).unwrap(), copy.create(&name).unwrap());
        let mut bytes = vec![0; usize::try_from(from.length().unwrap()).unwrap()];
        from.read_at(&mut bytes, 0).unwrap();
        to.write_at(&bytes, 0).unwrap();
        to.sync().unwrap();
    }
    copy.sync().unwrap();
    copy
}

/// The same whatever it breaks.
async fn force(site: &Site, ca: Authority, step: CaStep) -> CaKeyState {
    let ask = RotateCa { force: true, ..step.into() };
    site.client("adam").rotate_ca(ca, &ask).await.unwrap()
}

fn signer(certificate: &str) -> String {
    identity::fingerprint(Certificate::from_openssh(certificate).unwrap().signature_key())
}

/// The fingerprints of the keys that others are told to trust.
fn listed(text: &str) -> Vec<String> {
    let key = |line: &str| identity::fingerprint(identity::parse_public_key(line).unwrap().key_data());
    text.lines().map(key).collect()
}

/// What lies in the folder of the keys, of this CA.
fn files(site: &Site, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(site.dir.path().join("keys")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

fn in_file(path: &Path) -> String {
    listed(&std::fs::read_to_string(path).unwrap()).remove(0)
}

async fn knock(site: &Site, certificate: &str) -> Result<wire::OpenedSession, ClientError> {
    site.client("proxy:proxy1").open_session(&Site::knock(certificate, "root", "web1")).await
}

/// The CA dies where it stands and starts anew.
async fn crash(site: &mut Site) {
    site.kill().await;
    site.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_targets_learn_the_next_user_ca_before_it_signs_and_forget_the_old_one_last() {
    let mut site = Site::start_with_keys().await;
    let (grant, _, opened) = site.session("root", "web1").await;
    let old = signer(certificate_of(&opened));
    let before = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    assert_eq!(listed(&site.anonymous().ca().await.unwrap().user_ca), std::slice::from_ref(&old));

    let staged = step(&site, Authority::User, CaStep::Stage).await;
    let new = staged.next.clone().unwrap();
    assert!(staged.signs == old && new != old && staged.previous.is_none(), "{staged:?}");
    for restart in [false, true] {
        if restart {
            crash(&mut site).await;
        }
        let keys = site.anonymous().ca().await.unwrap();
        assert_eq!(listed(&keys.user_ca), [old.clone(), new.clone()], "both are told");
        assert_eq!(signer(certificate_of(&knock(&site, &before).await.unwrap())), old, "and the old one signs");
    }

    let activated = step(&site, Authority::User, CaStep::Activate).await;
    assert!(activated.signs == new && activated.previous.as_ref() == Some(&old), "{activated:?}");
    for restart in [false, true] {
        if restart {
            crash(&mut site).await;
        }
        assert_eq!(listed(&site.anonymous().ca().await.unwrap().user_ca), [new.clone(), old.clone()]);
        assert_eq!(
            signer(certificate_of(&knock(&site, &before).await.unwrap())),
            new,
            "the new one signs, the old one counts"
        );
    }
    let after = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    assert_eq!(signer(&after), new);

    let retired = step(&site, Authority::User, CaStep::Retire).await;
    assert!(retired.signs == new && retired.previous.is_none() && retired.next.is_none(), "{retired:?}");
    for restart in [false, true] {
        if restart {
            crash(&mut site).await;
        }
        assert_eq!(listed(&site.anonymous().ca().await.unwrap().user_ca), std::slice::from_ref(&new));
        let refused = knock(&site, &before).await.unwrap_err();
        assert!(refused.to_string().contains("another CA signed it"), "{refused}");
        knock(&site, &after).await.unwrap();
    }
    assert_eq!(files(&site, "user-ca"), ["user-ca", "user-ca.pub"], "the old key is destroyed");
    assert_eq!(in_file(&site.dir.path().join("keys/user-ca.pub")), new);
    // Whatever became of the keys, nobody's session was touched.
    let live = site.client("adam").sessions(true, None).await.unwrap().items;
    assert!(live.iter().any(|session| session.id == opened.session), "{live:?}");

    let facts: Vec<_> =
        ledger(&site).await.into_iter().filter(|record| record.entry.fact.kind().starts_with("ca.")).collect();
    let told: Vec<_> = facts.iter().map(|record| (record.entry.actor.to_string(), record.entry.fact.clone())).collect();
    let (ca, adam) = (Authority::User, "adam".to_owned());
    assert_eq!(
        told,
        [
            (adam.clone(), Fact::CaStaged { ca, key: new.clone(), signs: old.clone() }),
            (adam.clone(), Fact::CaActivated { ca, key: new, before: old.clone() }),
            (adam, Fact::CaRetired { ca, key: old }),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_that_is_given_up_is_as_if_it_had_never_been() {
    let mut site = Site::start_with_keys().await;
    let grant = site.grant("root", "web1", 30).await;
    let first = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let old = signer(&first);
    step(&site, Authority::User, CaStep::Stage).await;
    let cancelled = step(&site, Authority::User, CaStep::Cancel).await;
    assert!(cancelled.signs == old && cancelled.next.is_none(), "{cancelled:?}");
    assert_eq!(files(&site, "user-ca"), ["user-ca", "user-ca.pub"]);

    // After it has signed, too: what it signed counts no more.
    let staged = step(&site, Authority::User, CaStep::Stage).await;
    step(&site, Authority::User, CaStep::Activate).await;
    let second = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    assert_eq!(Some(signer(&second)), staged.next);
    step(&site, Authority::User, CaStep::Cancel).await;
    for restart in [false, true] {
        if restart {
            crash(&mut site).await;
        }
        assert_eq!(listed(&site.anonymous().ca().await.unwrap().user_ca), std::slice::from_ref(&old));
        assert!(knock(&site, &second).await.unwrap_err().to_string().contains("another CA signed it"));
        knock(&site, &first).await.unwrap();
        assert_eq!(files(&site, "user-ca"), ["user-ca", "user-ca.pub"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_two_change_in_the_same_way_and_servers_that_are_left_are_named() {
    let site = Site::start_with_keys().await;
    let adam = site.client("adam");
    let certify = async |client: &api::Client, host: HostSubject, key: &str| {
        let public_key = key_of(key).public_key().to_openssh().unwrap();
        let issued = client.issue_host_certificate(&wire::IssueHostCertificate { host, public_key }).await.unwrap();
        signer(&issued.certificate.unwrap())
    };
    let dev1 = || HostSubject::Target { name: "dev1".parse().unwrap() };
    let proxy1 = || HostSubject::Proxy { name: "proxy1".parse().unwrap() };
    let proxy = site.client("proxy:proxy1");
    let old_host = certify(&adam, dev1(), "dev1").await;
    let old_front = certify(&proxy, proxy1(), "front").await;
    for ca in [Authority::Host, Authority::Front] {
        step(&site, ca, CaStep::Stage).await;
    }
    assert_eq!(
        (certify(&adam, dev1(), "dev1").await, certify(&proxy, proxy1(), "front").await),
        (old_host.clone(), old_front.clone())
    );
    // web1's keys are pinned: it needs no certificate.
    assert_eq!(step(&site, Authority::Host, CaStep::Activate).await.left, ["dev1".parse().unwrap()]);
    assert_eq!(step(&site, Authority::Front, CaStep::Activate).await.left, []);
    let (host, front) = (certify(&adam, dev1(), "dev1").await, certify(&proxy, proxy1(), "front").await);
    assert!(host != old_host && front != old_front && host != front);
    let (_, _, opened) = site.session("root", "web1").await;
    assert_eq!(listed(&opened.host_ca), [host.clone(), old_host], "what a proxy is told to believe");
    let all = adam.ca_keys().await.unwrap().items;
    assert!(all.iter().all(|state| state.left.is_empty()), "{all:?}");
    step(&site, Authority::Host, CaStep::Retire).await;
    step(&site, Authority::Front, CaStep::Retire).await;
    let keys = site.anonymous().ca().await.unwrap();
    assert_eq!((listed(&keys.host_ca), listed(&keys.front_ca)), (vec![host], vec![front]));
    // No key of the house is ever certified, the new ones included.
    let public_key = keys.front_ca.clone();
    let own = adam.issue_host_certificate(&wire::IssueHostCertificate { host: dev1(), public_key }).await;
    assert_eq!(code(own), "certificate-refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_have_an_order_and_leave_no_key_behind_when_they_are_refused() {
    let site = Site::start_with_keys().await;
    let adam = site.client("adam");
    let refused = async |step: CaStep| code(adam.rotate_ca(Authority::Front, &step.into()).await);
    for early in [CaStep::Activate, CaStep::Retire, CaStep::Cancel] {
        assert_eq!(refused(early).await, "wrong-step");
    }
    let alone = ["front-ca", "front-ca.pub"];
    for nobody in ["alice", "sam", "proxy:proxy1"] {
        assert_eq!(
            code(site.client(nobody).rotate_ca(Authority::Front, &CaStep::Stage.into()).await),
            "forbidden",
            "{nobody}"
        );
        assert_eq!(files(&site, "front-ca"), alone);
    }
    let proxy = site.client("proxy:proxy1");
    let pass = proxy.buy_pass(&crate::pass::visitor(&key_of("adam"), "root+web1")).await.unwrap();
    let through = proxy.with_pass(std::sync::Arc::new(zeroize::Zeroizing::new(pass.token)));
    assert_eq!(
        code(through.rotate_ca(Authority::Front, &CaStep::Stage.into()).await),
        "forbidden",
        "an administrator at the desk"
    );
    assert_eq!(files(&site, "front-ca"), alone);

    site.disk.set_room(Some(0));
    assert_eq!(refused(CaStep::Stage).await, "unavailable");
    site.disk.set_room(None);
    let staged = crate::site::eventually("room", || async {
        adam.rotate_ca(Authority::Front, &CaStep::Stage.into()).await.ok()
    });
    let staged = staged.await;
    assert_eq!(refused(CaStep::Stage).await, "wrong-step");
    assert_eq!(refused(CaStep::Retire).await, "wrong-step");
    let there = in_file(&site.dir.path().join("keys/front-ca-next.pub"));
    assert_eq!(Some(there), staged.next, "the first attempt's key is gone");
    step(&site, Authority::Front, CaStep::Activate).await;
    assert_eq!(refused(CaStep::Stage).await, "wrong-step");
    assert_eq!(refused(CaStep::Activate).await, "wrong-step");
}

/// The ledger may have taken a step and its answer be lost: what signs and is trusted is what the ledger says, as soon as
/// anybody knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_and_is_in_the_ledger_counts_as_soon_as_that_is_known() {
    let mut site = Site::start_with_keys().await;
    let grant = site.grant("root", "web1", 30).await;
    let before = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let mut certified = Vec::new();
    for (step, trusted) in [(CaStep::Stage, 2), (CaStep::Activate, 2), (CaStep::Retire, 1)] {
        learn(&site).await;
        let adam = site.client("adam");
        adam.login().await.unwrap();
        site.denies.store(true, Ordering::SeqCst);
        assert_eq!(code(adam.rotate_ca(Authority::User, &step.into()).await), "unavailable");
        // The next fact finds the one that was denied.
        site.token("alice").await;
        let state = adam.ca_keys().await.unwrap().items.remove(0);
        let keys = listed(&site.anonymous().ca().await.unwrap().user_ca);
        assert_eq!((keys.first(), keys.len()), (Some(&state.signs), trusted), "after {step:?}: {state:?}");
        let after = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
        assert_eq!(signer(&after), state.signs);
        certified.push(state.signs);
    }
    assert!(certified[0] != certified[1] && certified[1] == certified[2], "{certified:?}");
    assert!(knock(&site, &before).await.unwrap_err().to_string().contains("another CA signed it"));
    // The old key's file goes later: here at the next start.
    crash(&mut site).await;
    assert_eq!(files(&site, "user-ca"), ["user-ca", "user-ca.pub"]);
    assert_eq!(in_file(&site.dir.path().join("keys/user-ca.pub")), certified[2]);
}

/// No step shuts out people, servers or proxies that nobody thought of, and none is about another key than is meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_names_its_key_and_waits_for_those_whom_it_would_shut_out() {
    let site = Site::start_with_keys().await;
    let (adam, proxy) = (site.client("adam"), site.client("proxy:proxy1"));
    let (user, host) = (Authority::User, Authority::Host);
    let refused = async |ca, step: CaStep, key: Option<&str>| {
        let ask = RotateCa { key: key.map(str::to_owned), ..step.into() };
        let refused = adam.rotate_ca(ca, &ask).await.unwrap_err();
        (refused.code().unwrap().to_owned(), refused.to_string())
    };
    let tell = async |trusted: &[&String]| {
        let user_ca = trusted.iter().map(ToString::to_string).collect();
        proxy.tell_proxy_status(&TellProxyStatus { user_ca, ..TellProxyStatus::default() }).await.unwrap();
    };
    let grant = site.grant("root", "web1", 30).await;
    site.certificate("alice", &grant).await.unwrap();
    let staged = step(&site, user, CaStep::Stage).await;
    let (old, new) = (staged.signs, staged.next.unwrap());
    tell(&[&old]).await;
    let (code, why) = refused(user, CaStep::Activate, Some(&new)).await;
    assert!(code == "proxies-behind" && why.contains("proxy1"), "{code}: {why}");
    // The other may be there too: the CA has not run for long.
    assert!(why.contains("proxy2"), "{why}");
    site.clock.advance(model::Span::from_minutes(2));
    tell(&[&old]).await;
    let (code, why) = refused(user, CaStep::Activate, Some(&new)).await;
    assert!(code == "proxies-behind" && why.contains("proxy1") && !why.contains("proxy2"), "{code}: {why}");
    for (step, key) in [(CaStep::Activate, &old), (CaStep::Cancel, &old)] {
        let (code, why) = refused(user, step, Some(key)).await;
        assert!(code == "another-key" && why.contains(&new) && why.contains(&old), "{code}: {why}");
    }
    tell(&[&old, &new]).await;
    let ask = RotateCa { key: Some(new.clone()), ..CaStep::Activate.into() };
    adam.rotate_ca(user, &ask).await.unwrap();

    assert_eq!(refused(user, CaStep::Retire, Some(&new)).await.0, "another-key");
    let (code, why) = refused(user, CaStep::Retire, Some(&old)).await;
    assert!(code == "old-key-in-use" && why.contains("alice") && why.contains(&old), "{code}: {why}");
    site.certificate("alice", &grant).await.unwrap();
    step(&site, user, CaStep::Retire).await;
    // One whose grant is over holds nothing up; nor does a proxy that is away.
    let brief = site.grant("deploy", "web1", 30).await;
    site.certificate("alice", &brief).await.unwrap();
    step(&site, user, CaStep::Stage).await;
    site.clock.advance(model::Span::from_minutes(2));
    adam.rotate_ca(user, &CaStep::Activate.into()).await.unwrap();
    assert_eq!(refused(user, CaStep::Retire, None).await.0, "old-key-in-use");
    for over in [&grant, &brief] {
        site.client("alice").release(over).await.unwrap();
    }
    step(&site, user, CaStep::Retire).await;

    let subject = HostSubject::Target { name: "dev1".parse().unwrap() };
    let public_key = key_of("dev1").public_key().to_openssh().unwrap();
    let certify = wire::IssueHostCertificate { host: subject, public_key };
    adam.issue_host_certificate(&certify).await.unwrap();
    step(&site, host, CaStep::Stage).await;
    step(&site, host, CaStep::Activate).await;
    let (code, why) = refused(host, CaStep::Retire, None).await;
    assert!(code == "old-key-in-use" && why.contains("dev1"), "{code}: {why}");
    force(&site, host, CaStep::Retire).await;
}

/// A ledger that was put back from an older copy does not know what is newer than it, so it destroys nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_puts_a_newer_key_aside_and_the_right_one_takes_it_back() {
    let mut site = Site::start_with_keys().await;
    site.down().await;
    let older = copy_of(&site.disk);
    site.up().await;
    step(&site, Authority::Host, CaStep::Stage).await;
    let new = step(&site, Authority::Host, CaStep::Activate).await.signs;
    site.down().await;
    let newer = copy_of(&site.disk);
    let alone = ["host-ca", "host-ca.pub"];
    for _ in 0..2 {
        site.disk = copy_of(&older);
        site.up().await;
        assert_eq!(files(&site, "host-ca"), alone);
        assert_ne!(site.client("adam").ca_keys().await.unwrap().items[1].signs, new);
        site.down().await;
        site.disk = copy_of(&newer);
        site.up().await;
        let state = site.client("adam").ca_keys().await.unwrap().items.remove(1);
        assert!(state.signs == new && state.previous.is_some(), "{state:?}");
        assert_eq!(files(&site, "host-ca").len(), 4);
        site.down().await;
    }
    site.up().await;
    force(&site, Authority::Host, CaStep::Retire).await;
    assert_eq!(files(&site, "host-ca"), alone);
    assert_eq!(in_file(&site.dir.path().join("keys/host-ca.pub")), new);
}

/// Many certificates of whatever kind do not make the CA forget who has one of the old key.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_certificate_of_the_old_key_is_not_forgotten_behind_a_crowd() {
    let mut site = Site::start_with_keys().await;
    let grant = site.grant("root", "web1", 30).await;
    site.certificate("alice", &grant).await.unwrap();
    let adam = site.client("adam");
    let subject = HostSubject::Target { name: "dev1".parse().unwrap() };
    let public_key = key_of("dev1").public_key().to_openssh().unwrap();
    adam.issue_host_certificate(&wire::IssueHostCertificate { host: subject, public_key }).await.unwrap();
    let subject = HostSubject::Proxy { name: "proxy1".parse().unwrap() };
    let public_key = key_of("front").public_key().to_openssh().unwrap();
    let front = wire::IssueHostCertificate { host: subject, public_key };
    site.client("proxy:proxy1").issue_host_certificate(&front).await.unwrap();
    for ca in [Authority::User, Authority::Host] {
        step(&site, ca, CaStep::Stage).await;
        force(&site, ca, CaStep::Activate).await;
    }
    let front = |record: &Record| {
        matches!(&record.entry.fact, Fact::CertificateIntended { certificate, .. }
            if certificate.profile == CertificateProfile::Front)
    };
    let intended = ledger(&site).await.into_iter().find(front).unwrap().entry;
    site.kill().await;
    let crowd = (1..=access::RETENTION as u64).flat_map(|number| {
        let serial = Serial::from_random(number);
        let issued = Fact::CertificateIssued { serial, sha256: "00".repeat(32) };
        let mut first = intended.clone();
        first.time = site.clock.now();
        if let Fact::CertificateIntended { certificate, .. } = &mut first.fact {
            certificate.serial = serial;
        }
        [first.clone(), Entry { fact: issued, ..first }]
    });
    store::fill(site.store().as_ref(), crowd).unwrap();
    site.up().await;
    let adam = site.client("adam");
    for ca in [Authority::User, Authority::Host] {
        assert_eq!(code(adam.rotate_ca(ca, &CaStep::Retire.into()).await), "old-key-in-use", "{ca}");
    }
}

/// A proxy's word comes at any time, also while a step is decided that asks for it.
#[test]
fn words_of_proxies_and_steps_do_not_wait_for_each_other() {
    // Beside the runtime, of which every thread may stand still.
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(words_and_steps());
        done.send(()).unwrap();
    });
    over.recv_timeout(std::time::Duration::from_secs(60)).expect("the CA stands still");
}

async fn words_and_steps() {
    let site = Site::start_with_keys().await;
    let staged = step(&site, Authority::User, CaStep::Stage).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let words = async |name: &str| {
        let proxy = site.client(name);
        while !done.load(Ordering::SeqCst) {
            proxy.tell_proxy_status(&TellProxyStatus::default()).await.unwrap();
        }
    };
    let steps = async |times: usize| {
        let adam = site.client("adam");
        for _ in 0..times {
            let ask = RotateCa { key: Some(staged.signs.clone()), ..CaStep::Activate.into() };
            assert_eq!(code(adam.rotate_ca(Authority::User, &ask).await), "another-key");
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(words("proxy:proxy1"), words("proxy:proxy1"), words("proxy:proxy2"), steps(300));
}
