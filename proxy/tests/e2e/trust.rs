//! Hosts that are not the target, and what people and operators are told; and what a person's own ssh believes.

use api::wire::SessionReport;
use model::SessionEnd;

use crate::authority::new_key;
use crate::client::{WAYS, Way, finish, shown, text};
use crate::sshd::{Proof, Sshd, write};
use crate::world::{HOUR, Person, World};

/// A world with one more server, which alice may reach under this name.
async fn with_host(name: &str, proof: Proof, pinned: &[String]) -> (World, Person, Sshd) {
    let world = World::new().await;
    let alice = world.person("alice");
    let sshd = Sshd::start(world.folder.path(), &world.authority, proof, name, "").await;
    world.authority.add_target(name, &[format!("127.0.0.1:{}", sshd.port)], pinned);
    world.authority.grant("alice", "root", name, HOUR);
    (world, alice, sshd)
}

/// Refused both ways, with these words; and the ledger hears of it.
async fn refused(world: &World, alice: &Person, target: &str, words: &[&str]) {
    for way in WAYS {
        let output = alice.run(way, &format!("root@{target}"), "echo in").await;
        assert_eq!(output.status.code(), Some(255), "{way:?} {}", shown(&output));
        let said = text(&output.stderr);
        for word in words {
            assert!(said.contains(word), "{way:?}: {word:?} is not in {said}");
        }
        assert_eq!(text(&output.stdout), "", "{way:?}");
    }
    let ended = |report: &SessionReport| match report {
        SessionReport::Ended { end: SessionEnd::Target { error: Some(error) }, .. } => Some(error.clone()),
        _ => None,
    };
    let error = world.authority.wait_for("the refusal", ended).await;
    assert!(error.contains(words[0]), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_shows_to_people_is_no_targets_proof_to_another_proxy() {
    // A compromised proxy got a certificate for web2 by rights, and has put itself between this proxy and web2.
    let (world, alice, _sshd) = with_host("web2", Proof::Front("web2"), &[]).await;
    let words = ["the host certificate of web2 is signed by", "not this site's host CA", "tell security"];
    refused(&world, &alice, "web2", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_key_excludes_every_other_whoever_certifies_it() {
    let pinned = [new_key().public_key().to_openssh().unwrap()];
    let (world, alice, sshd) = with_host("web2", Proof::Certificate("web2"), &pinned).await;
    let words = ["the host key of web2 is SHA256:", "and not the pinned SHA256:", "--replace --pin"];
    refused(&world, &alice, "web2", &words).await;
    // The same server with its own key pinned: what certificate it shows beside does not matter.
    let own = [sshd.host_key.public_key().to_openssh().unwrap()];
    world.authority.add_target("web2", &[format!("127.0.0.1:{}", sshd.port)], &own);
    for way in WAYS {
        let output = alice.run(way, "root@web2", "echo in").await;
        assert_eq!(text(&output.stdout), "in\n", "{way:?} {}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_over_the_pinned_key_passes_whatever_it_says() {
    let (world, alice, sshd) = with_host("web2", Proof::Expired("web2"), &[]).await;
    let words = ["the host certificate of web2 ended at", "portcullis target enrol web2 --apply root@web2"];
    refused(&world, &alice, "web2", &words).await;
    let own = [sshd.host_key.public_key().to_openssh().unwrap()];
    world.authority.add_target("web2", &[format!("127.0.0.1:{}", sshd.port)], &own);
    let output = alice.run(Way::Plus, "root@web2", "echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_makes_no_ended_certificate_good_again() {
    let (world, alice, _sshd) = with_host("web2", Proof::Expired("web2"), &[]).await;
    world.machine.0.store(3600, std::sync::atomic::Ordering::SeqCst);
    refused(&world, &alice, "web2", &["the host certificate of web2 ended at"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_key_of_the_pinned_kind_is_named_as_such() {
    let pinned = ["ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=".to_owned()];
    let (world, alice, _sshd) = with_host("web2", Proof::Certificate("web2"), &pinned).await;
    let words = ["web2 has no host key of the pinned kind (ecdsa-sha2-nistp256)", "--replace --pin"];
    refused(&world, &alice, "web2", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_taken_as_it_is_enrolled_now_without_a_restart() {
    let (world, alice, old) = with_host("web2", Proof::Certificate("web2"), &[]).await;
    assert_eq!(text(&alice.run(Way::Jump, "root@web2", "echo in").await.stdout), "in\n");
    // It is installed anew: another key, another address, another certificate.
    drop(old);
    let new = Sshd::start(world.folder.path(), &world.authority, Proof::Certificate("web2"), "web2", "").await;
    world.authority.add_target("web2", &[format!("127.0.0.1:{}", new.port)], &[]);
    let output = alice.run(Way::Jump, "root@web2", "echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_ssh_believes_proxies_and_no_target() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    // Through the proxy, which shows what the front CA signed for web1.
    let output = alice.run(Way::Jump, "root@web1", "echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
    // The target itself, or whoever stole its key, in the place of the proxy.
    let port = world.sshd.port.to_string();
    let options = ["-o", "ProxyJump=none", "-o", "HostName=127.0.0.1", "-p", &port, "-o", "HostKeyAlias=web1", "-v"];
    let direct = || alice.ssh(Way::Jump, "root", "web1", &options);
    let output = finish(direct().arg("echo in")).await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    assert!(text(&output.stderr).contains("Host key verification failed"), "{}", shown(&output));
    // It is the trust that is missing and nothing else: with the host CA in the list, the same host is believed.
    let line = format!("@cert-authority * {}\n", world.authority.host_ca.public_key().to_openssh().unwrap());
    write(&world.folder.path().join("known_hosts"), &line, 0o644);
    let output = finish(direct().arg("echo in")).await;
    assert!(!text(&output.stderr).contains("Host key verification failed"), "{}", shown(&output));
}
