//! What has a limit: recordings, channels, what a target may say before it is asked, and what counts as live.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::wire::SessionReport;
use model::{RecordingMode, RecordingStatus, SessionEnd, Span};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelMsg};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::authority::{Grant, new_key};
use crate::client::{LINGER, Way, finish, shown, text, until, wait};
use crate::fronts::stranger;
use crate::sshd::{Proof, Sshd};
use crate::world::{HOUR, World};

const SOON: Duration = Duration::from_secs(30);
/// What a recording may have in these tests.
const LIMIT: u64 = 100_000;
/// How much longer its file may be: what came at once, at its longest encoding, and the last words.
const SLACK: u64 = 512 * 1024;

async fn limited() -> World {
    World::with(|config| config.recording_limit = LIMIT).await
}

fn closed(report: &SessionReport) -> Option<model::RecordingClosed> {
    match report {
        SessionReport::RecordingClosed { closed, .. } => Some(closed.clone()),
        _ => None,
    }
}

fn failed(report: &SessionReport) -> Option<String> {
    match report {
        SessionReport::RecordingFailed { error, .. } => Some(error.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_terminal_ends_where_its_recording_does() {
    let world = limited().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut command = alice.ssh(Way::Plus, "root", "web1", &["-tt"]);
    let output = finish(command.arg("head -c 50000000 /dev/zero | tr '\\0' x; sleep 60")).await;
    assert_eq!(output.status.code(), Some(255), "{}", text(&output.stderr));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("it must be recorded"), "{}", &said[said.len().saturating_sub(500)..]);
    assert!(said.contains(&format!("limit of {LIMIT} bytes")), "{}", &said[said.len().saturating_sub(500)..]);
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Recording { .. }), "{end:?}");
    let closed = world.authority.wait_for("the recording", closed).await;
    assert_eq!(closed.status, RecordingStatus::Truncated);
    assert!(closed.bytes < LIMIT + SLACK, "{} bytes", closed.bytes);
    assert!(world.only_recording().await.contains("what followed is lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_into_a_terminal_costs_no_more_than_what_comes_out_of_one() {
    for record_input in [false, true] {
        let world = limited().await;
        let alice = world.person("alice");
        let more = |grant: &mut Grant| grant.obligations.record_input = record_input;
        world.authority.grant_with("alice", "root", "web1", HOUR, more);
        let mut command = alice.ssh(Way::Plus, "root", "web1", &["-tt"]);
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let output = finish(command.arg("cat").stdin(zeros)).await;
        assert_eq!(output.status.code(), Some(255), "{}", text(&output.stderr));
        let closed = world.authority.wait_for("the recording", closed).await;
        assert!(closed.bytes < LIMIT + SLACK, "{} bytes", closed.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_best_effort_terminal_goes_on_and_the_ledger_says_so_at_once() {
    let world = limited().await;
    let alice = world.person("alice");
    let best = |grant: &mut Grant| grant.obligations.recording = RecordingMode::BestEffort;
    world.authority.grant_with("alice", "root", "web1", HOUR, best);
    let mut command = alice.ssh(Way::Plus, "root", "web1", &["-tt"]);
    command.arg("head -c 1000000 /dev/zero | tr '\\0' x; read line; echo over").stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Read on, or the target's output waits for us.
    let mut stdout = child.stdout.take().unwrap();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut all).await.unwrap();
        all
    });
    let why = world.authority.wait_for("that the rest is not recorded", failed).await;
    assert!(why.contains("reached its limit"), "{why}");
    stdin.write_all(b"\n").await.unwrap();
    let output = wait(child).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let all = reading.await.unwrap();
    assert!(all.len() > 1_000_000 && text(&all).contains("over"), "{} bytes", all.len());
    let closed = world.authority.wait_for("the recording", closed).await;
    assert_eq!(closed.status, RecordingStatus::Truncated);
    let failures = world.authority.reports().iter().filter(|report| failed(report).is_some()).count();
    assert_eq!(failures, 1, "and it is said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_never_hears_of_more_channels_than_are_allowed() {
    const MOST: usize = 4;
    let world = World::with(|config| config.max_channels = MOST).await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let guest = Arc::new(stranger(&world).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MOST {
        let guest = guest.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while done < 20 {
                // One whose recording is still being closed has its place yet.
                let Ok(mut channel) = guest.channel_open_session().await else {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                };
                channel.exec(true, "true").await.unwrap();
                while channel.wait().await.is_some() {}
                done += 1;
            }
        });
    }
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("every one is run");
    guest.disconnect(russh::Disconnect::ByApplication, "", "").await.unwrap();
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Client), "{end:?}");
    let (mut open, mut most, mut opened) = (0_usize, 0, 0);
    for report in world.authority.reports() {
        match report {
            SessionReport::ChannelOpened { .. } => (open, opened) = (open + 1, opened + 1),
            SessionReport::ChannelClosed { .. } => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert_eq!((opened, open), (MOST * 20, 0));
    assert!(most <= MOST, "{most} were open at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_opening_was_never_answered_is_on_no_roll() {
    let world = World::with(|config| config.roll_call = Span::from_seconds(1)).await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let _live = alice.ssh(Way::Plus, "root", "web1", &[]).arg(LINGER).spawn().unwrap();
    world.authority.wait_for("the channel", |r| matches!(r, SessionReport::ChannelOpened { .. }).then_some(())).await;
    world.authority.set_deaf(true);
    let output = alice.run(Way::Plus, "root@web1", "true").await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(255), ""), "{}", shown(&output));
    world.authority.set_deaf(false);
    let (live, unheard) = (world.authority.sessions(), world.authority.unheard());
    let before = world.authority.rolls().len();
    until("a roll", || world.authority.rolls().len() > before + 1).await;
    let roll = world.authority.rolls().pop().unwrap();
    assert_eq!((live.len(), unheard.len()), (1, 1));
    assert_eq!(roll.live, live, "the one that is carried, and not the one of which nobody heard");
    assert!(roll.spare >= 20, "what the CA opened a moment ago is left alone");
    assert!(roll.recordings.is_empty() && !roll.more);
}

/// A target that greets whoever opens a channel.
struct Greeter;

impl server::Handler for Greeter {
    type Error = russh::Error;

    async fn auth_openssh_certificate(
        &mut self,
        _: &str,
        _: &ssh_key::Certificate,
        _: server::CertificateProof<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (handle, id) = (session.handle(), channel.id());
        reply.accept().await;
        tokio::spawn(async move {
            let _channel = channel;
            let _ = handle.data(id, "welcome, root").await;
            std::future::pending::<()>().await;
        });
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_speaks_before_it_is_asked_is_not_shown() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, key) = (listener.local_addr().unwrap().port(), new_key());
    let pinned = key.public_key().to_openssh().unwrap();
    let config = Arc::new(server::Config { keys: vec![key], ..server::Config::default() });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(running) = server::run_stream(config, stream, Greeter).await {
                    let _ = running.await;
                }
            });
        }
    });
    // In the place of web1, where the client goes.
    world.authority.add_target("web1", &[format!("127.0.0.1:{port}")], &[pinned]);
    world.authority.grant("alice", "root", "web1", HOUR);
    let guest = stranger(&world).await;
    let mut channel = guest.channel_open_session().await.unwrap();
    let (mut shown, mut said) = (Vec::new(), Vec::new());
    let reading = async {
        while let Some(msg) = channel.wait().await {
            match msg {
                ChannelMsg::Data { data } => shown.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => said.extend_from_slice(&data),
                _ => {}
            }
        }
    };
    timeout(SOON, reading).await.expect("the channel is closed");
    assert_eq!(text(&shown), "", "nothing that no tape is armed for");
    assert!(text(&said).contains("before anything was started"), "{}", text(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_under_load_in_both_directions() {
    let world = World::new().await;
    let often = "RekeyLimit 1M 1\n";
    let sshd = Sshd::start(world.folder.path(), &world.authority, Proof::Certificate("web2"), "web2", often).await;
    world.authority.add_target("web2", &[format!("127.0.0.1:{}", sshd.port)], &[]);
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web2", HOUR);
    // By volume: every megabyte, twelve of them up and twelve down at once. By time: every second, for four.
    let slowly = "(for i in 1 2 3 4; do head -c 100000 /dev/zero; sleep 1; done) & wc -c <&3 >&2; wait";
    for (limit, words, bytes) in [
        ("RekeyLimit=1M", "head -c 12000000 /dev/zero & wc -c <&3 >&2; wait", 12_000_000),
        ("RekeyLimit=default 1", slowly, 400_000),
    ] {
        let mut command = alice.ssh(Way::Plus, "root", "web2", &["-o", limit]);
        // A shell gives what runs behind it no standard input of its own accord.
        let mut child = command.arg(format!("exec 3<&0; {words}")).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = tokio::spawn(async move {
            let zeros = vec![0; 100_000];
            for _ in 0..120 {
                stdin.write_all(&zeros).await.unwrap();
            }
        });
        let output = wait(child).await;
        writing.await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{limit}: {}", text(&output.stderr));
        assert_eq!((output.stdout.len(), text(&output.stderr).trim()), (bytes, "12000000"), "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_is_told_in_pages() {
    const LEFT: usize = 300;
    let folder = tempfile::TempDir::new().unwrap();
    let vault = recordings::Vault::open(folder.path().join("recordings")).unwrap();
    for number in 0..LEFT {
        let header = recordings::Header {
            recording: model::RecordingId::from_random(number as u64),
            session: model::SessionId::from_random(1),
            channel: 0,
            request: model::RequestId::from_random(1),
            identity: "alice".parse().unwrap(),
            login: "root".parse().unwrap(),
            target: "web1".parse().unwrap(),
            started: crate::authority::now(),
            kind: model::ChannelKind::Shell,
            pty: None,
            record_input: false,
            output_limit: 1000,
        };
        // Dropped as a crash would.
        drop(vault.create(header).await.unwrap());
    }
    drop(vault);
    let world = World::in_folder(folder, |_| {}).await;
    let rolls = world.authority.rolls();
    let pages: Vec<_> = rolls.iter().map(|page| (page.recordings.len(), page.more)).collect();
    assert_eq!(pages, [(256, true), (44, false)], "only the last ends the sessions of the earlier run");
    assert!(rolls.iter().all(|page| page.live.is_empty() && page.spare == 0));
    let told: std::collections::BTreeSet<_> =
        rolls.iter().flat_map(|page| &page.recordings).map(|one| &one.recording).collect();
    assert_eq!(told.len(), LEFT, "each of them once");
}
