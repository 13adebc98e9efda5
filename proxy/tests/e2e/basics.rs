//! What every session needs.

use std::process::Stdio;
use std::time::Duration;

use api::wire::SessionReport;
use model::{ChannelEnd, ChannelKind, ExitReport, Pty, SessionEnd};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::client::{WAYS, Way, finish, place, run, shown, text, until, wait};
use crate::terminal::Terminal;
use crate::world::{HOUR, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_both_ways_with_its_exit_status_and_stderr_apart() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let output = alice.run(way, "root@web1", "echo out; echo err >&2; exit 7").await;
        assert_eq!(output.status.code(), Some(7), "{way:?} {}", shown(&output));
        assert_eq!(text(&output.stdout), "out\n", "{way:?}");
        assert_eq!(text(&output.stderr), "err\n", "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_a_command_and_its_end_too() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for way in WAYS {
        let output = alice.feed(way, "root@web1", "cat; echo -n done", &input).await;
        assert_eq!(output.status.code(), Some(0), "{way:?} {}", text(&output.stderr));
        assert!(output.stdout.strip_suffix(b"done").unwrap() == input, "{way:?}: {} bytes", output.stdout.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_by_signal_is_told() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let output = alice.run(Way::Plus, "root@web1", "kill -KILL $$").await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    let exit = closed(&world).await.exit;
    assert_eq!(exit, Some(ExitReport::Signal("KILL".into())));
}

async fn closed(world: &World) -> ChannelEnd {
    let find = |report: &SessionReport| match report {
        SessionReport::ChannelClosed { end, .. } => Some(end.clone()),
        _ => None,
    };
    world.authority.wait_for("the end of the channel", find).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_learns_what_ran_and_how_many_bytes_passed() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let output = alice.feed(Way::Jump, "root@web1", "head -c 5; echo 12345 >&2; exit 3", b"hello").await;
    assert_eq!(text(&output.stdout), "hello", "{}", shown(&output));
    let end = closed(&world).await;
    assert_eq!(end, ChannelEnd { bytes_in: 5, bytes_out: 11, exit: Some(ExitReport::Status(3)), closed_by: None });
    world.authority.ended().await;
    let reports = world.authority.reports();
    let [
        SessionReport::RecordingStarted { recording: armed, channel: 0 },
        SessionReport::ChannelOpened { channel: 0, channel_kind: ChannelKind::Exec { command }, pty: None },
        SessionReport::RecordingClosed { recording, closed },
        SessionReport::ChannelClosed { channel: 0, .. },
        SessionReport::Ended { end: SessionEnd::Client, .. },
    ] = &reports[..]
    else {
        panic!("{reports:#?}")
    };
    assert_eq!(armed, recording);
    assert_eq!(command, "head -c 5; echo 12345 >&2; exit 3");
    let recorded = world.only_recording().await;
    assert_eq!(hex::encode(Sha256::digest(&recorded)), closed.sha256);
    assert!(recorded.contains("hello") || recorded.contains("aGVsbG8"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_passes_by_the_list() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let send = ["-o", "SetEnv=LC_COLOUR=blue SECRET=x"];
        let output = finish(alice.ssh(way, "root", "web1", &send).arg("echo $LC_COLOUR,$SECRET")).await;
        assert_eq!(text(&output.stdout), "blue,\n", "{}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_a_terminal_and_changes_its_size() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let mut command = alice.ssh(way, "root", "web1", &["-t"]);
        command.env("TERM", "xterm-256color");
        command.arg("echo $TERM; stty size; read x; stty size; read -s y; echo got $x $y; exit 5");
        let mut terminal = Terminal::start(&mut command, 91, 31);
        terminal.shows("xterm-256color\r\n31 91\r\n").await;
        terminal.resize(101, 41);
        // Asked before the new size has arrived it would be the old one.
        tokio::time::sleep(Duration::from_millis(300)).await;
        terminal.type_in("one\r");
        terminal.shows("41 101\r\n").await;
        terminal.type_in("two\r");
        terminal.shows("got one two\r\n").await;
        assert_eq!(terminal.end().await.code(), Some(5), "{}", terminal.said());
    }
    let ptys: Vec<_> = world
        .authority
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            SessionReport::ChannelOpened { pty, .. } => pty,
            _ => None,
        })
        .collect();
    assert_eq!(ptys, vec![Pty { term: "xterm-256color".into(), columns: 91, rows: 31 }; 2]);
    until("both recordings are filed", || world.recordings().len() == 2).await;
    for file in world.recordings() {
        assert_eq!(file.extension().unwrap(), "cast");
        let recorded = std::fs::read_to_string(file).unwrap();
        assert!(recorded.contains("\"r\",\"101x41\"") || recorded.contains("\"r\", \"101x41\""), "{recorded}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_left_by_typing_and_by_closing_the_input() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let mut command = alice.ssh(way, "root", "web1", &["-t"]);
        command.env("TERM", "dumb");
        let mut terminal = Terminal::start(&mut command, 80, 24);
        terminal.type_in("echo $((6*7)); exit 9\r");
        terminal.shows("42\r\n").await;
        assert_eq!(terminal.end().await.code(), Some(9), "{}", terminal.said());

        let mut child = alice.ssh(way, "root", "web1", &["-T"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"echo in a shell; exit 4\n").await.unwrap();
        let output = wait(child).await;
        assert!(text(&output.stdout).ends_with("in a shell\n"), "{}", shown(&output));
        assert_eq!(output.status.code(), Some(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scp_and_sftp_carry_files_both_ways() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let config = alice.config("").display().to_string();
    let here = world.folder.path().join("here");
    let data: Vec<u8> = (0..5_000_003u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&here, &data).unwrap();
    let here = here.display().to_string();
    for (count, way) in WAYS.into_iter().enumerate() {
        for mode in ["-s", "-O"] {
            let there = world.folder.path().join(format!("there-{count}{mode}")).display().to_string();
            let back = world.folder.path().join(format!("back-{count}{mode}")).display().to_string();
            let remote = format!("{}:{there}", place(way, "root", "web1"));
            let up = run("scp", ["-F", &config, mode, "-q", &here, &remote]).await;
            assert!(up.status.success(), "{way:?} {mode} {}", shown(&up));
            let down = run("scp", ["-F", &config, mode, "-q", &remote, &back]).await;
            assert!(down.status.success(), "{way:?} {mode} {}", shown(&down));
            assert!(std::fs::read(&there).unwrap() == data && std::fs::read(&back).unwrap() == data, "{way:?} {mode}");
        }
        let fetched = world.folder.path().join(format!("fetched-{count}"));
        let batch = world.folder.path().join(format!("batch-{count}"));
        std::fs::write(&batch, format!("get {here} {}\nls -l {here}\n", fetched.display())).unwrap();
        let batch = batch.display().to_string();
        let output = run("sftp", ["-F", &config, "-b", &batch, &place(way, "root", "web1")]).await;
        assert!(output.status.success(), "{way:?} {}", shown(&output));
        assert!(std::fs::read(fetched).unwrap() == data);
    }
}
