//! Behind a cut nothing passes, and whoever is cut off is told by whom and why, whatever broke first.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use model::{GrantEnd, SessionEnd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::authority::now;
use crate::client::{LINGER, WAYS, Way, shown, text, until, wait};
use crate::relay::{Proxy, Relay};
use crate::world::{HOUR, Person, World};

/// Runs a command that says "up" first, and waits until it has.
async fn begin(command: &mut Command, words: &str) -> Child {
    let mut child = command.arg(format!("echo up; {words}")).spawn().unwrap();
    let mut up = [0; 3];
    let reading = child.stdout.as_mut().unwrap();
    tokio::time::timeout(Duration::from_secs(20), reading.read_exact(&mut up)).await.expect("it begins").unwrap();
    child
}

fn ssh(alice: &Person) -> Command {
    alice.ssh(Way::Plus, "root", "web1", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_the_person_reaches_the_target_behind_the_cut() {
    let world = World::new().await;
    let alice = world.person("alice");
    let relay = Relay::start(world.sshd.port, Proxy::Before).await;
    world.authority.add_target("web1", &[format!("127.0.0.1:{}", relay.port)], &[]);
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let mut child = begin(ssh(&alice).stdin(File::open("/dev/zero").unwrap()), "exec cat >/dev/null").await;
    relay.hold();
    relay.full().await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    let (end, cut, dropped) = world.authority.receipt().await;
    assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
    assert!(cut.unwrap() <= dropped);
    let arrived = relay.waiting();
    let taken = relay.rest().await;
    assert!(taken <= arrived, "{arrived} bytes had arrived, and {taken} did");
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_the_target_reaches_the_person_behind_the_cut() {
    let world = World::new().await;
    let mut alice = world.person("alice");
    let relay = Relay::start(world.port, Proxy::Behind).await;
    alice.port = relay.port;
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let mut child = begin(&mut ssh(&alice), "exec cat /dev/zero").await;
    relay.hold();
    relay.full().await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    world.authority.receipt().await;
    let arrived = relay.waiting();
    let taken = relay.rest().await;
    assert!(taken <= arrived, "{arrived} bytes had arrived, and {taken} did");
    child.kill().await.unwrap();
}

/// A burst that the kernel takes whole while the person takes nothing of it, and then a revocation.
async fn a_burst_is_thrown_away(world: &World, alice: &Person, relay: &Relay, ssh: &mut Command) {
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let burst = format!("read -r go; head -c 1000000 /dev/zero; {LINGER}");
    let mut child = begin(ssh.stdin(Stdio::piped()), &burst).await;
    relay.hold();
    child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    relay.full().await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    world.authority.receipt().await;
    let arrived = relay.waiting();
    let taken = relay.rest().await;
    assert!(arrived < 1_000_000, "{} could take it all", alice.port);
    assert!(taken <= arrived, "{arrived} bytes had arrived, and {taken} did");
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_kernel_for_a_person_who_takes_nothing_is_thrown_away() {
    for way in WAYS {
        let world = World::new().await;
        let mut alice = world.person("alice");
        let relay = Relay::start(world.port, Proxy::Behind).await;
        alice.port = relay.port;
        a_burst_is_thrown_away(&world, &alice, &relay, &mut alice.ssh(way, "root", "web1", &[])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_others_use_too_protects_nothing() {
    let world = World::new().await;
    let mut alice = world.person("alice");
    let relay = Relay::start(world.port, Proxy::Behind).await;
    alice.port = relay.port;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("m");
    let config = alice.config(&format!("ControlPath {}", socket.display()));
    let shared = |words: &[&str]| {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&config).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    };
    let _master = shared(&["-o", "ControlMaster=yes", "-N", "proxy"]).spawn().unwrap();
    until("the shared connection", || socket.exists()).await;
    let _other = shared(&["-W", "web1:22", "proxy"]).spawn().unwrap();
    a_burst_is_thrown_away(&world, &alice, &relay, &mut shared(&["-S", "none", "root@web1"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_our_own_words_passes_behind_the_cut() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    // It speaks as soon as it is left alone.
    let child = begin(&mut ssh(&alice), &format!("trap 'echo late; echo late >&2' EXIT; {}", &LINGER[5..])).await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    let output = wait(child).await;
    assert_eq!(text(&output.stdout), "", "{}", shown(&output));
    let said = text(&output.stderr);
    assert!(said.contains("was revoked by bob") && !said.contains("late"), "{said}");
    let (_, cut, dropped) = world.authority.receipt().await;
    assert!(cut.unwrap() <= dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_lost_first_is_not_blamed_for_a_revocation() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut child = alice.ssh(way, "root", "web1", &[]).arg(format!("echo $PPID; {LINGER}")).spawn().unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        let mut line = String::new();
        while !line.ends_with('\n') {
            line.push(char::from(stdout.read_u8().await.unwrap()));
        }
        // The connection to the target breaks, and the proxy hears of the revocation behind that.
        let killed = std::process::Command::new("kill").args(["-9", line.trim()]).status().unwrap();
        assert!(killed.success());
        until("the target is gone", || !std::path::Path::new(&format!("/proc/{}/exe", line.trim())).exists()).await;
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        let output = wait(child).await;
        let said = text(&output.stderr);
        assert!(said.contains(&format!("{} was revoked by bob", grant.id)), "{way:?}: {said}");
        assert!(!said.contains("is lost"), "{way:?}: {said}");
        let (end, ..) = world.authority.receipt().await;
        assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_while_the_target_is_dialled_is_told_why() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        // It takes the connection, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.authority.add_target("web1", &[silent.local_addr().unwrap().to_string()], &[]);
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let child = alice.ssh(way, "root", "web1", &[]).arg("echo in").stdin(Stdio::null()).spawn().unwrap();
        let (_dialled, _) = tokio::time::timeout(Duration::from_secs(20), silent.accept()).await.unwrap().unwrap();
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        let output = wait(child).await;
        let said = text(&output.stderr);
        assert!(said.contains(&format!("{} was revoked by bob", grant.id)), "{way:?}: {said}");
        assert!(!said.contains("broke off"), "{way:?}: {said}");
        let (end, ..) = world.authority.receipt().await;
        assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
    }
}

/// Certificates end with a whole second, grants do not: in between the target refuses, and is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_in_the_last_second_of_a_grant_is_not_blamed() {
    let world = World::new().await;
    let alice = world.person("alice");
    until("a second begins", || now().micros() % 1_000_000 < 50_000).await;
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_millis(900));
    let output = alice.run(Way::Plus, "root@web1", "echo in").await;
    assert_eq!(text(&output.stdout), "", "{}", shown(&output));
    let said = text(&output.stderr);
    assert!(!said.contains("does not accept"), "{said}");
    // On a machine that is very slow the CA itself may say so first.
    if world.authority.sessions().is_empty() {
        assert!(said.contains("no active grant"), "{said}");
        return;
    }
    assert!(said.contains(&format!("the time of {} is up", grant.id)), "{said}");
    assert_eq!(world.authority.receipt().await.0, SessionEnd::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_never_answers_is_not_waited_for_beyond_the_grant() {
    let world = World::new().await;
    let alice = world.person("alice");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.authority.add_target("web1", &[silent.local_addr().unwrap().to_string()], &[]);
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(3));
    let output = alice.run(Way::Plus, "root@web1", "echo in").await;
    let said = text(&output.stderr);
    assert!(said.contains(&format!("the time of {} is up", grant.id)), "{said}");
    assert_eq!(world.authority.receipt().await.0, SessionEnd::Expired);
}
