//! A person's own signature: which keys make one, and what reaches the CA of it.

use std::collections::BTreeSet;
use std::process::Stdio;

use ssh_key::PublicKey;

use crate::client::{WAYS, Way, finish, place, run, shown, text};
use crate::sshd::write;
use crate::world::{HOUR, Person, World};

/// The software security key of Debian's package openssh-tests.
const SK_DUMMY: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// alice with a key that ssh-keygen makes, and its certificate.
async fn alice_with(world: &World, name: &str, arguments: &[&str]) -> Person {
    let key = world.folder.path().join(name);
    let key_file = key.to_str().unwrap();
    let made = run("ssh-keygen", ["-q", "-N", "", "-C", name, "-f", key_file].iter().chain(arguments)).await;
    assert!(made.status.success(), "{}", shown(&made));
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let certificate = world.authority.person("alice", &PublicKey::from_openssh(&public).unwrap(), HOUR);
    write(&world.folder.path().join(format!("{name}-cert.pub")), &certificate.to_openssh().unwrap(), 0o644);
    Person { key, port: world.port, folder: world.folder.path().to_owned() }
}

/// Runs a command on root@web1, with a setting more in both configurations: behind a jump host there are two clients.
async fn enter(alice: &Person, way: Way, setting: &str) -> std::process::Output {
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-F").arg(alice.config(setting)).arg(place(way, "root", "web1")).arg("echo in");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    finish(&mut command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_open_sessions_both_ways() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut shown_before = 0;
    let mut connections = BTreeSet::new();
    for (name, arguments, setting) in [
        ("ed25519", ["-t", "ed25519", "-b", "256"], ""),
        ("ecdsa256", ["-t", "ecdsa", "-b", "256"], ""),
        ("ecdsa384", ["-t", "ecdsa", "-b", "384"], ""),
        ("ecdsa521", ["-t", "ecdsa", "-b", "521"], ""),
        (
            "rsa512",
            ["-t", "rsa", "-b", "2048"],
            "PubkeyAcceptedAlgorithms rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-512",
        ),
        (
            "rsa256",
            ["-t", "rsa", "-b", "3072"],
            "PubkeyAcceptedAlgorithms rsa-sha2-256-cert-v01@openssh.com,rsa-sha2-256",
        ),
    ] {
        let alice = alice_with(&world, name, &arguments).await;
        for way in WAYS {
            let output = enter(&alice, way, setting).await;
            assert_eq!(text(&output.stdout), "in\n", "{name} {way:?}: {}", shown(&output));
            let log_ins = world.authority.shown();
            assert_eq!(
                log_ins.len(),
                shown_before + 1,
                "one session, one log-in; the jump host's own is not passed on"
            );
            shown_before = log_ins.len();
            let last = log_ins.last().unwrap();
            assert_eq!(last.user, if way == Way::Plus { "root+web1" } else { "root" });
            assert!(connections.insert(last.session_id.clone()), "each connection has an identifier of its own");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_key_must_be_touched_at_the_door() {
    assert!(std::path::Path::new(SK_DUMMY).exists(), "{SK_DUMMY} is not there: run cargo xtask setup");
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let provider = format!("SecurityKeyProvider {SK_DUMMY}");
    for kind in ["ed25519-sk", "ecdsa-sk"] {
        let touched = alice_with(&world, kind, &["-t", kind, "-w", SK_DUMMY]).await;
        for way in WAYS {
            let output = enter(&touched, way, &provider).await;
            assert_eq!(text(&output.stdout), "in\n", "{kind} {way:?}: {}", shown(&output));
        }
        // Such a key signs by itself: whoever holds the machine needs nobody at it.
        let asked = world.authority.asked();
        let arguments = ["-t", kind, "-w", SK_DUMMY, "-O", "no-touch-required"];
        let lax = alice_with(&world, &format!("{kind}-lax"), &arguments).await;
        let output = enter(&lax, Way::Plus, &format!("{provider}\n  LogLevel INFO")).await;
        assert_eq!(output.status.code(), Some(255), "{kind}: {}", shown(&output));
        assert!(text(&output.stderr).contains("security key was not touched"), "{kind}: {}", shown(&output));
        let output = enter(&lax, Way::Jump, &provider).await;
        assert_eq!(output.status.code(), Some(255), "{kind}: {}", shown(&output));
        assert_eq!(world.authority.asked(), asked, "the CA is not even asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sha1_opens_nothing() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let alice = alice_with(&world, "rsa", &["-t", "rsa", "-b", "2048"]).await;
    let output = enter(&alice, Way::Plus, "PubkeyAcceptedAlgorithms ssh-rsa-cert-v01@openssh.com,ssh-rsa").await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    assert_eq!(world.authority.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_capitals_is_the_one_that_was_signed_for() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let alice = world.person("alice");
    let output = finish(alice.ssh(Way::Plus, "root", "WEB1", &[]).arg("echo in")).await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
    assert_eq!(world.authority.shown()[0].user, "root+WEB1");
}
