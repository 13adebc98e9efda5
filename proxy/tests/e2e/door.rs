//! Who gets in, who does not, and what they are told.

use std::process::Stdio;
use std::time::{Duration, Instant};

use api::wire::SessionReport;
use model::Span;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::authority::new_key;
use crate::client::{WAYS, Way, finish, shown, text, wait};
use crate::sshd::{Proof, Sshd, write};
use crate::terminal::Terminal;
use crate::world::{HOUR, World};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_one_is_told_what_to_do() {
    let world = World::new().await;
    let alice = world.person("alice");
    for way in WAYS {
        for words in ["true", ""] {
            let output = alice.run(way, "root@web1", words).await;
            assert_eq!(output.status.code(), Some(255), "{way:?} {}", shown(&output));
            let said = text(&output.stderr);
            assert!(said.starts_with("portcullis: no active grant for root@web1\n"), "{way:?}: {said}");
            assert!(said.contains("portcullis: run portcullis request root@web1 --for 30m\n"), "{way:?}: {said}");
            assert_eq!(text(&output.stdout), "");
        }
        let output = finish(&mut alice.ssh(way, "root", "web1", &["-tt"])).await;
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains("no active grant for root@web1\r\n"), "{way:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_nobody_knows_is_named() {
    let world = World::new().await;
    let alice = world.person("alice");
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-F").arg(alice.config("  LogLevel INFO")).args(["root@web9", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = finish(&mut command).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("there is no target web9"), "{}", shown(&output));
    let output = alice.run(Way::Plus, "root@we%b", "true").await;
    assert!(text(&output.stderr).contains("target name"), "{}", shown(&output));
    assert!(text(&output.stderr).contains("write login+target, as in root+web1"), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_itself_has_no_shell() {
    let world = World::new().await;
    let alice = world.person("alice");
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-F").arg(alice.config("")).args(["proxy", "id"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = finish(&mut command).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("no shell of its own"), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_certificate_opens_the_door() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let alice = world.person("alice");
    let certificate = alice.folder.join(format!("{}-cert.pub", alice.key.display()));
    let loud = ["-o", "LogLevel=INFO"];

    std::fs::remove_file(&certificate).unwrap();
    let output = finish(alice.ssh(Way::Plus, "root", "web1", &loud).arg("true")).await;
    assert_eq!(output.status.code(), Some(255));
    let said = text(&output.stderr);
    assert!(said.contains("by certificate, or by a key that is registered"), "{said}");
    assert!(said.contains("run portcullis request root@web1 --for 30m"), "{said}");
    assert!(said.contains("Permission denied"), "{said}");

    let key = ssh_key::PrivateKey::read_openssh_file(&alice.key).unwrap();
    let sign = |ca: &ssh_key::PrivateKey, principal: &str| {
        let kind = ssh_key::certificate::CertType::User;
        world.authority.sign(ca, key.public_key().key_data(), kind, &[principal], HOUR, "x").to_openssh().unwrap()
    };
    let wrong = [
        (sign(&new_key(), "identity:alice"), "not this site's CA"),
        (sign(&world.authority.user_ca, "root@web1"), "exactly one identity"),
        (sign(&world.authority.user_ca, "alice"), "exactly one identity"),
    ];
    for (text_of_it, why) in wrong {
        write(&certificate, &text_of_it, 0o644);
        let output = finish(alice.ssh(Way::Plus, "root", "web1", &loud).arg("true")).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
        assert!(text(&output.stderr).contains(why), "{}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_one_person() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.authority.grant("bob", "root", "web1", HOUR);
    // Bob's certificate inside of Alice's connection.
    let outer = alice.config("");
    let jump = format!("ssh -F {} -W %h:%p proxy", outer.display());
    let mut command =
        bob.ssh(Way::Jump, "root", "web1", &["-o", "ProxyJump=none", "-o", &format!("ProxyCommand={jump}")]);
    let output = finish(command.arg("true")).await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    assert!(text(&output.stderr).contains("Permission denied"), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_the_target_is_refused() {
    let world = World::new().await;
    let alice = world.person("alice");
    let at = |sshd: &Sshd| format!("127.0.0.1:{}", sshd.port);
    let bare = Sshd::start(world.folder.path(), &world.authority, Proof::Key, "bare", "").await;
    let other = Sshd::start(world.folder.path(), &world.authority, Proof::Certificate("web1"), "other", "").await;
    let pinned = [bare.host_key.public_key().to_openssh().unwrap()];
    let another = [new_key().public_key().to_openssh().unwrap()];
    world.authority.add_target("bare", &[at(&bare)], &[]);
    world.authority.add_target("other", &[at(&other)], &[]);
    for target in ["bare", "other"] {
        world.authority.grant("alice", "root", target, HOUR);
    }
    for way in WAYS {
        let output = alice.run(way, "root@bare", "echo in").await;
        assert!(
            text(&output.stderr).contains("neither certified by this site's host CA nor pinned"),
            "{}",
            shown(&output)
        );
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(255), String::new()));
    }
    world.authority.add_target("bare", &[at(&bare)], &another);
    let output = alice.run(Way::Plus, "root@bare", "echo in").await;
    assert!(text(&output.stderr).contains("and not the pinned SHA256:"), "{}", shown(&output));

    let output = alice.run(Way::Plus, "root@other", "echo in").await;
    assert!(text(&output.stderr).contains("that other shows is for web1"), "{}", shown(&output));

    world.authority.add_target("bare", &[at(&bare)], &pinned);
    let output = alice.run(Way::Plus, "root@bare", "echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_or_does_not_trust_us_is_named() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.add_target("down", &["127.0.0.1:1".into()], &[]);
    world.authority.grant("alice", "root", "down", HOUR);
    let output = alice.run(Way::Jump, "root@down", "true").await;
    assert!(text(&output.stderr).contains("down cannot be reached: 127.0.0.1:1"), "{}", shown(&output));

    world.authority.grant("alice", "nobody", "web1", HOUR);
    let output = alice.run(Way::Plus, "nobody@web1", "true").await;
    assert!(text(&output.stderr).contains("does it list the principal nobody@web1"), "{}", shown(&output));
    let ends = world.authority.reports().into_iter().filter(|r| matches!(r, SessionReport::Ended { .. })).count();
    assert_eq!(ends, 2, "both sessions are closed in the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_one_command_runs_that_and_nothing_else() {
    let world = World::new().await;
    let alice = world.person("alice");
    let command = "printf '%s' \"$HOME\"";
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.command = Some(command.into()));
    for way in WAYS {
        let output = alice.run(way, "root@web1", command).await;
        assert_eq!((text(&output.stdout), output.status.code()), ("/root".into(), Some(0)), "{}", shown(&output));
        // OpenSSH gives up when it gets no terminal, as it does at a server with "PermitTTY no".
        let said = Terminal::run(alice.ssh(way, "root", "web1", &["-t"]).arg(command)).await;
        assert!(
            said.contains("a terminal is refused: req-") && said.contains("allows one exact command: printf"),
            "{said}"
        );
        assert!(said.ends_with("--for 30m\r\nPTY allocation request failed on channel 0\r\n"), "{said:?}");
        for other in ["id", "printf '%s' \"$HOME\" ", " printf '%s' \"$HOME\"", ""] {
            let output = alice.run(way, "root@web1", other).await;
            assert_eq!(output.status.code(), Some(255), "{other:?} {}", shown(&output));
            assert!(text(&output.stderr).contains("allows one exact command"), "{}", shown(&output));
            assert_eq!(text(&output.stdout), "");
        }
        let output = finish(alice.ssh(way, "root", "web1", &["-s"]).arg("sftp")).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    }
    let refused =
        world.authority.reports().into_iter().filter(|r| matches!(r, SessionReport::ChannelRefused { .. })).count();
    assert!(refused >= 10, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_grant_does_not_allow_is_refused_properly_and_the_session_goes_on() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.obligations.extensions.clear());
    // A terminal.
    let said = Terminal::run(alice.ssh(Way::Plus, "root", "web1", &["-t"]).arg("echo on")).await;
    assert!(said.contains("a terminal is refused") && said.contains("does not have permit-pty\r\n"), "{said}");
    assert!(said.ends_with("explain root@web1\r\nPTY allocation request failed on channel 0\r\n"), "{said:?}");
    // Forwards, the agent, X11.
    let forward = format!("127.0.0.1:{}:127.0.0.1:1", crate::forward::free_port());
    let output = finish(
        alice.ssh(Way::Plus, "root", "web1", &["-L", &forward, "-R", "0:127.0.0.1:1", "-A", "-X"]).arg("echo on"),
    )
    .await;
    assert_eq!(text(&output.stdout), "on\n", "{}", shown(&output));
    let output = finish(
        alice.ssh(Way::Plus, "root", "web1", &["-W", "127.0.0.1:22", "-o", "LogLevel=INFO"]).env("DISPLAY", ":0"),
    )
    .await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("administratively prohibited"), "{}", shown(&output));
    let asked = |what: &str| {
        world
            .authority
            .reports()
            .iter()
            .any(|r| matches!(r, SessionReport::ChannelRefused { asked, .. } if asked.contains(what)))
    };
    for what in ["pty", "a listener on localhost:0", "a connection to 127.0.0.1:22"] {
        crate::client::until(what, || asked(what)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_log_in_is_shown_out() {
    let world = World::with(|config| config.login_grace = Span::from_seconds(1)).await;
    let begin = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "the door stays open");
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert!(text(&said).starts_with("SSH-2.0-OpenSSH_Portcullis\r\n"), "{}", text(&said));
    // A person who is in is not shown out.
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let output = alice.run(Way::Jump, "root@web1", "sleep 2; echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_may_wait_at_the_door() {
    let world = World::with(|config| config.max_waiting_per_address = 4).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let mut first = [0; 8];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"SSH-2.0-");
        waiting.push(stream);
    }
    let mut late = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), late.read_to_end(&mut said)).await.expect("closed at once").unwrap();
    assert!(text(&said).contains("too many connections"), "{}", text(&said));
    drop(waiting);
    // Those who are in do not count: more people than places, one after the other and at the same time.
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let enter = async { while alice.run(Way::Plus, "root@web1", "true").await.status.code() != Some(0) {} };
    tokio::time::timeout(Duration::from_secs(20), enter).await.expect("the places are free again");
    let mut inside = Vec::new();
    for _ in 0..6 {
        let mut child =
            alice.ssh(Way::Plus, "root", "web1", &[]).arg("echo in; exec cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut word = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut word).await.unwrap();
        inside.push(child);
    }
    for child in inside {
        assert!(wait(child).await.status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_sessions_for_one_person() {
    let world = World::with(|config| config.max_sessions_per_person = 1).await;
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.authority.grant("alice", "root", "web1", HOUR);
    world.authority.grant("bob", "root", "web1", HOUR);
    let mut first =
        alice.ssh(Way::Plus, "root", "web1", &[]).arg("echo in; exec cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut word = [0; 3];
    first.stdout.as_mut().unwrap().read_exact(&mut word).await.unwrap();
    let output = alice.run(Way::Plus, "root@web1", "true").await;
    assert!(text(&output.stderr).contains("alice has 1 sessions at a time already"), "{}", shown(&output));
    assert!(bob.run(Way::Plus, "root@web1", "true").await.status.success());
    assert!(wait(first).await.status.success());
    let again = async { while alice.run(Way::Plus, "root@web1", "true").await.status.code() != Some(0) {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_no_session() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    std::fs::remove_dir(world.folder.path().join("recordings/open")).unwrap();
    let proof = world.folder.path().join("proof");
    for way in WAYS {
        let output = alice.run(way, "root@web1", &format!("touch {}", proof.display())).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
        assert!(text(&output.stderr).contains("it must be recorded"), "{}", shown(&output));
        assert!(!proof.exists(), "the target never saw it");
    }
}

/// A file system of this many bytes, unmounted when it is dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: &std::path::Path, bytes: u32) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        let status = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).status();
        assert!(status.unwrap().success(), "a tmpfs can be mounted");
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_fails_ends_a_strict_session_and_no_other() {
    let folder = tempfile::TempDir::new().unwrap();
    let small = Small::mount(&folder.path().join("recordings"), 64 * 1024);
    let world = World::in_folder(folder, |_| {}).await;
    // Unmounted before the world removes its folder.
    let _small = small;
    let alice = world.person("alice");
    let more = |grant: &mut crate::authority::Grant| grant.obligations.output_limit = 1 << 30;
    let grant = world.authority.grant_with("alice", "root", "web1", HOUR, more);
    // It ends when nobody reads any more: it would outlive its sshd otherwise.
    let flood = "while head -c 10000 /dev/urandom; do sleep 0.1; done";
    let output = alice.run(Way::Jump, "root@web1", flood).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("it must be recorded"), "{}", text(&output.stderr));
    let ended = |r: &SessionReport| match r {
        SessionReport::Ended { end: model::SessionEnd::Recording { error }, .. } => Some(error.clone()),
        _ => None,
    };
    let why = world.authority.wait_for("the end", ended).await;
    assert!(why.contains("No space left"), "{why}");

    world.authority.end_grant(&grant.id, model::GrantEnd::Released, "alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
        more(grant);
        grant.obligations.recording = model::RecordingMode::BestEffort;
    });
    let output =
        alice.run(Way::Plus, "root@web1", "head -c 300000 /dev/urandom | wc -c; head -c 300000 /dev/zero").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout.len() > 300_000);
    let failed = |r: &SessionReport| matches!(r, SessionReport::RecordingFailed { .. }).then_some(());
    world.authority.wait_for("the failure", failed).await;
}
