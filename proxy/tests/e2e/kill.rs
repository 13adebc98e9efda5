//! The portcullis falls: whatever the client is doing, the session ends, and the ledger gets its receipt.

use std::process::Stdio;
use std::time::{Duration, Instant};

use api::wire::SessionReport;
use model::{Actor, GrantEnd, SessionEnd, Timestamp};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::authority::now;
use crate::client::{LINGER, WAYS, Way, finish, place, shown, text, until, wait};
use crate::world::{HOUR, Person, World};

/// A live session that has said "up" and the process id of its command.
struct Running {
    child: Child,
    remote: u32,
}

async fn start(alice: &Person, way: Way, words: &str) -> Running {
    let mut command = alice.ssh(way, "root", "web1", &[]);
    // A group of its own, so that a jump's two processes can be stopped together.
    command.process_group(0).stdin(Stdio::piped());
    command.arg(format!("echo $$; {words}"));
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = String::new();
    let reading = async {
        while !line.ends_with('\n') {
            line.push(char::from(stdout.read_u8().await.unwrap()));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the command begins");
    Running { child, remote: line.trim().parse().unwrap() }
}

fn signal(child: &Child, name: &str) {
    let group = format!("-{}", child.id().unwrap());
    let sent = std::process::Command::new("kill").args([name, "--", &group]).status().unwrap();
    assert!(sent.success());
}

fn alive(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}

/// How many connections to this port are established, seen from the side that listens.
fn established(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[1].ends_with(&local) && fields[3] == "01"
        })
        .count()
}

fn late(from: Timestamp, to: Timestamp) -> Duration {
    to.since(from)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_a_session_says_why_and_leaves_its_receipt() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let running = start(&alice, way, LINGER).await;
        let revoked = world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        let output = wait(running.child).await;
        assert_eq!(output.status.code(), Some(255), "{way:?} {}", shown(&output));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("{} was revoked by bob", grant.id)), "{way:?}: {said}");
        assert!(said.contains("run portcullis request root@web1 --for 30m"), "{way:?}: {said}");
        let (end, dropped) = world.authority.ended().await;
        let SessionEnd::Revoked { by: Actor::Identity(by), at, .. } = end else { panic!("{end:?}") };
        assert_eq!((by.as_str(), at), ("bob", revoked));
        assert!(late(revoked, dropped) < Duration::from_millis(500), "{way:?}: {:?}", late(revoked, dropped));
        until("the socket is closed", || established(world.port) == 0).await;
        until("the target has closed its end", || established(world.sshd.port) == 0).await;
        let recording = world.only_recording().await;
        assert!(recording.contains("session ended: revoked by bob"), "{way:?}: {recording}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_on_a_client_that_has_stopped_reading() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut running = start(&alice, way, "exec cat /dev/zero").await;
        // Nobody reads its standard output from here on: pipe, windows and sockets fill up.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let revoked = world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        let (end, dropped) = world.authority.ended().await;
        assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
        assert!(late(revoked, dropped) < Duration::from_millis(500), "{way:?}: {:?}", late(revoked, dropped));
        until("the sockets are closed", || established(world.port) + established(world.sshd.port) == 0).await;
        until("the command is gone", || !alive(running.remote)).await;
        running.child.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_on_a_client_that_is_suspended() {
    for way in WAYS {
        for (name, words) in [("idle", LINGER), ("flooded", "exec cat /dev/zero")] {
            let world = World::new().await;
            let alice = world.person("alice");
            let grant = world.authority.grant("alice", "root", "web1", HOUR);
            let mut running = start(&alice, way, words).await;
            signal(&running.child, "-STOP");
            tokio::time::sleep(Duration::from_millis(500)).await;
            let revoked = world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
            let (end, dropped) = world.authority.ended().await;
            assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
            assert!(
                late(revoked, dropped) < Duration::from_millis(500),
                "{way:?} {name}: {:?}",
                late(revoked, dropped)
            );
            until("the sockets are closed", || established(world.port) + established(world.sshd.port) == 0).await;
            signal(&running.child, "-CONT");
            running.child.kill().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_a_lock_and_an_order_end_sessions_too() {
    let world = World::new().await;
    let alice = world.person("alice");
    let carol = world.person("carol");
    let spared = world.authority.grant("carol", "root", "web1", HOUR);
    let other = start(&carol, Way::Plus, LINGER).await;

    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let running = start(&alice, Way::Plus, LINGER).await;
    world.authority.end_grant(&grant.id, GrantEnd::Released, "alice");
    let said = text(&wait(running.child).await.stderr);
    assert!(said.contains("was released"), "{said}");

    world.authority.grant("alice", "root", "web1", HOUR);
    let running = start(&alice, Way::Plus, LINGER).await;
    let lock = world.authority.place_lock("identity:alice");
    let said = text(&wait(running.child).await.stderr);
    assert!(said.contains(lock.as_str()), "{said}");

    let running = start(&alice, Way::Jump, LINGER).await;
    let opened = world.authority.sessions();
    let ended: Vec<_> = world.authority.ended_sessions();
    let live: Vec<_> = opened.iter().filter(|id| !ended.contains(id)).collect();
    // Carol's and Alice's third.
    assert_eq!(live.len(), 2, "{live:?}");
    for session in live {
        world.authority.cut(session, "enough for today");
    }
    let said = text(&wait(running.child).await.stderr);
    assert!(said.contains("was ended by bob: enough for today"), "{said}");
    let said = text(&wait(other.child).await.stderr);
    assert!(said.contains("enough for today"), "{said}");
    let _ = spared;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_ended_in_the_ledger_ends_here() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let running = start(&alice, way, LINGER).await;
        let ended = world.authority.ended_sessions();
        let mut opened = world.authority.sessions();
        opened.retain(|id| !ended.contains(id));
        assert_eq!(opened.len(), 1, "{opened:?}");
        world.authority.lose(&opened[0]);
        let output = wait(running.child).await;
        assert_eq!(output.status.code(), Some(255), "{way:?} {}", shown(&output));
        assert!(text(&output.stderr).contains("it has ended in the ledger: "), "{way:?} {}", shown(&output));
        until("its end is told", || world.authority.ended_sessions().contains(&opened[0])).await;
        let cut = |r: &SessionReport| {
            matches!(r, SessionReport::Ended { end: SessionEnd::Cut { by: Actor::System, .. }, .. }).then_some(())
        };
        world.authority.wait_for("the cut", cut).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_another_grant_live_on() {
    let world = World::new().await;
    let (alice, carol) = (world.person("alice"), world.person("carol"));
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    world.authority.grant("carol", "root", "web1", HOUR);
    let gone = start(&alice, Way::Plus, LINGER).await;
    let mut stays = start(&carol, Way::Plus, "cat").await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    assert_eq!(wait(gone.child).await.status.code(), Some(255));
    drop(stays.child.stdin.take());
    assert_eq!(wait(stays.child).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shares_a_connection_dies_together() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let socket = alice.folder.join("mux").display().to_string();
    let config = alice.config("");
    let ssh = |words: &[&str]| {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&config).args(["-S", &socket]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let at = place(Way::Plus, "root", "web1");
    let mut master = ssh(&["-M", "-N", &at]).spawn().unwrap();
    until("the master listens", || std::path::Path::new(&socket).exists()).await;
    let mut children = Vec::new();
    for _ in 0..3 {
        let mut child = ssh(&[&at, &format!("echo up; {LINGER}")]).spawn().unwrap();
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).await.unwrap();
        children.push(child);
    }
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    for child in children {
        let output = wait(child).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
        assert!(text(&output.stderr).contains("was revoked by bob"), "{}", shown(&output));
    }
    tokio::time::timeout(Duration::from_secs(20), master.wait()).await.expect("the master ends").unwrap();
    world.authority.ended().await;
    let ends = world.authority.reports().iter().filter(|r| matches!(r, SessionReport::Ended { .. })).count();
    assert_eq!(ends, 1, "three channels, one session");
}

/// What is left to do behind each waits for the last of them, and is done, whoever cannot be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_dropped_whole_and_leaves_every_receipt_and_recording() {
    const CROWD: usize = 20;
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let words = if number == 0 { "exec cat /dev/zero" } else { LINGER };
        crowd.push(start(&alice, Way::Plus, words).await);
    }
    // One takes nothing more, so it holds the crowd up until the sweeper comes.
    let mut stuck = crowd.remove(0);
    signal(&stuck.child, "-STOP");
    let revoked = world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    until("all have ended", || world.authority.ended_sessions().len() == CROWD).await;
    let reports = world.authority.reports();
    let closed = reports.iter().filter(|report| matches!(report, SessionReport::RecordingClosed { .. })).count();
    assert_eq!(closed, CROWD);
    for report in &reports {
        if let SessionReport::Ended { end, dropped, .. } = report {
            assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
            assert!(late(revoked, dropped.0) < Duration::from_secs(2), "{:?}", late(revoked, dropped.0));
        }
    }
    until("the sockets are closed", || established(world.port) + established(world.sshd.port) == 0).await;
    for running in crowd {
        let output = wait(running.child).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    }
    stuck.child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_overtakes_the_answer_is_not_missed() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    world.authority.set_slow(Duration::from_secs(1));
    let child = alice.ssh(Way::Plus, "root", "web1", &[]).arg("echo in").spawn().unwrap();
    until("the CA is asked", || world.authority.asked() == 1).await;
    // The CA allows it at this moment; its revocation is in the feed before its answer is here.
    world.authority.say_grant_ended(&grant.id);
    let output = wait(child).await;
    assert_eq!(text(&output.stdout), "", "{}", shown(&output));
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("revoked"), "{}", shown(&output));
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_stopped_ends_its_sessions_in_order() {
    let mut world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let running = start(&alice, Way::Plus, LINGER).await;
    world.stop().await;
    let output = wait(running.child).await;
    assert!(text(&output.stderr).contains("the proxy is being stopped"), "{}", shown(&output));
    let kinds: Vec<_> = world.authority.reports().iter().map(kind).collect();
    assert_eq!(
        kinds,
        ["recording-started", "channel-opened", "recording-closed", "channel-closed", "ended"],
        "told before it went"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_out_of_reach_ends_nothing_and_hears_it_all_later() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut running = start(&alice, Way::Plus, "cat").await;
    world.authority.set_dead(true);
    let begin = Instant::now();
    let output = alice.run(Way::Plus, "root@web1", "true").await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("the CA is away"), "{}", shown(&output));
    assert!(begin.elapsed() < Duration::from_secs(15));
    drop(running.child.stdin.take());
    assert_eq!(wait(running.child).await.status.code(), Some(0), "the live session went on");
    let before = world.authority.reports().len();
    world.authority.set_dead(false);
    let (end, dropped) = world.authority.ended().await;
    assert_eq!(end, SessionEnd::Client);
    assert!(dropped <= now());
    assert!(world.authority.reports().len() > before);
    // And new ones open again.
    let again = async { while alice.run(Way::Plus, "root@web1", "true").await.status.code() != Some(0) {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("it recovers");
}

fn kind(report: &SessionReport) -> &'static str {
    match report {
        SessionReport::ChannelOpened { .. } => "channel-opened",
        SessionReport::ChannelRefused { .. } => "channel-refused",
        SessionReport::ChannelClosed { .. } => "channel-closed",
        SessionReport::RecordingStarted { .. } => "recording-started",
        SessionReport::RecordingClosed { .. } => "recording-closed",
        SessionReport::RecordingFailed { .. } => "recording-failed",
        SessionReport::Ended { .. } => "ended",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_ends_its_session() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut running = start(&alice, Way::Plus, "exec cat").await;
    running.child.kill().await.unwrap();
    let (end, _) = world.authority.ended().await;
    assert_eq!(end, SessionEnd::Client);
    until("the command is gone", || !alive(running.remote)).await;
    let output = finish(alice.ssh(Way::Plus, "root", "web1", &[]).arg("true")).await;
    assert!(output.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_while_revocations_cannot_be_heard() {
    let world = World::with(|config| {
        config.feed_freshness = model::Span::from_seconds(1);
        config.ca_timeout = model::Span::from_seconds(2);
    })
    .await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let running = start(&alice, Way::Plus, LINGER).await;
    world.authority.set_mute(true);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for way in WAYS {
        let output = alice.run(way, "root@web1", "echo in").await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(255), String::new()), "{}", shown(&output));
        assert!(text(&output.stderr).contains("the feed of revocations"), "{}", shown(&output));
    }
    // What was said meanwhile is heard as soon as the feed is there again, and hits who is in.
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    world.authority.set_mute(false);
    let output = wait(running.child).await;
    assert!(text(&output.stderr).contains("was revoked by bob"), "{}", shown(&output));
}
