//! What the proxy itself tells a person, and where it does not.

use std::process::Stdio;
use std::time::Duration;

use api::wire::SessionReport;
use model::{ExitReport, GrantEnd, Span};
use portcullis_proxy::Greeting;
use russh::{ChannelMsg, Sig};
use ssh_key::certificate::CertType;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::client::{LINGER, WAYS, Way, finish, shown, text, until, wait};
use crate::fronts::guest;
use crate::sshd::write;
use crate::terminal::Terminal;
use crate::world::{HOUR, Person, World};

const SOON: Duration = Duration::from_secs(20);

/// A command in a terminal of 80 columns and 24 rows that knows control sequences.
fn in_terminal(person: &Person, way: Way, command: &str) -> Terminal {
    let mut ssh = person.ssh(way, "root", "web1", &["-t"]);
    ssh.env("TERM", "xterm").arg(command);
    Terminal::start(&mut ssh, 80, 24)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_terminal_reads_first_that_it_is_recorded() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = in_terminal(&alice, way, "echo first");
        assert!(terminal.end().await.success());
        let said = terminal.said();
        assert!(said.starts_with("\x1b[2mportcullis: root@web1 until "), "{said:?}");
        // Between the two stands the day, when the hour crosses midnight.
        assert!(said.contains(" UTC"), "{said:?}");
        let help = "\x1b[2mportcullis: ctrl-] ? for help\x1b[0m";
        assert!(
            said.contains(&format!(" (59m left), recorded, {}\x1b[0m\r\n{help}\r\nfirst\r\n", grant.id)),
            "{said:?}"
        );
        let recording = world.only_recording().await;
        let lines: Vec<&str> = recording.lines().filter(|line| line.contains("portcullis: ")).collect();
        assert!(matches!(lines[..], [marker] if marker.contains("\"m\"")), "{recording}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reads_nothing_of_ours() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        // What a script catches of a command in a terminal is what the command wrote.
        let output = finish(alice.ssh(way, "root", "web1", &["-tt"]).env("TERM", "xterm").arg("echo one")).await;
        assert_eq!(text(&output.stdout), "one\r\n", "{}", shown(&output));
        assert!(text(&output.stderr).contains(", recorded, "), "{}", shown(&output));
        let output = alice.run(way, "root@web1", "echo two").await;
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("two\n".into(), String::new()), "not even a key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_names_no_key_that_there_is_not() {
    for (key, named) in [("^A", Some("ctrl-a ? for help")), ("none", None)] {
        let world = World::with(|config| config.escape = key.parse().unwrap()).await;
        let alice = world.person("alice");
        world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = in_terminal(&alice, Way::Plus, "echo first");
        terminal.end().await;
        let said = terminal.said();
        assert_eq!(said.contains("for help"), named.is_some(), "{said:?}");
        assert!(named.is_none_or(|named| said.contains(named)), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_may_greet_fewer() {
    for (greeting, command, greeted) in [
        (Greeting::Nobody, None, false),
        (Greeting::Shells, None, true),
        (Greeting::Shells, Some("exit 0"), false),
        (Greeting::Terminals, None, true),
    ] {
        let world = World::with(|config| config.greeting = greeting).await;
        let alice = world.person("alice");
        world.authority.grant("alice", "root", "web1", HOUR);
        let mut ssh = alice.ssh(Way::Plus, "root", "web1", &["-t"]);
        let mut terminal = Terminal::start(ssh.env("TERM", "xterm").args(command), 80, 24);
        if command.is_none() {
            terminal.type_in("exit\r");
        }
        terminal.end().await;
        assert_eq!(terminal.said().contains("recorded, req-"), greeted, "{greeting:?}: {:?}", terminal.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_recording_does_not_claim_one() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
        grant.obligations.recording = model::RecordingMode::Off;
    });
    let mut terminal = in_terminal(&alice, Way::Plus, "true");
    terminal.end().await;
    assert!(terminal.said().contains(", not recorded, req-"), "{:?}", terminal.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_warning_the_prompt_comes_back() {
    let world = World::with(|config| config.warnings = vec![Span::from_seconds(3)]).await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", Duration::from_secs(5));
    let terminal =
        in_terminal(&alice, Way::Plus, &format!("printf '\\033]0;title\\007\\033[32m$\\033[0m ls'; {LINGER}"));
    terminal.shows("--for 30m\x1b[0m\r\n\x1b[32m$\x1b[0m ls\x07").await;
    let said = terminal.said();
    assert!(said.contains("ls\r\n\x1b[0;1mportcullis: this session on root@web1 ends in 3s, at "), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_screen_program_keeps_its_picture_and_gives_the_terminal_back() {
    let world = World::with(|config| config.warnings = vec![Span::from_seconds(3)]).await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(5));
    let draw = "printf '\\033[?1049h\\033[?1000h\\033[?25l\\033[2J\\033[5;5Hpicture'";
    let mut terminal = in_terminal(&alice, Way::Jump, &format!("{draw}; {LINGER}"));
    terminal.shows("\x1b7\x1b[?6l\x1b[24;1H\x1b(B\x0f\x1b[0;7mportcullis: this session on root@web1 ends in 3s").await;
    let said = terminal.said();
    let (_, over) = said.split_once("\x1b[0;7m").unwrap();
    let (over, rest) = over.split_once("\x1b[0m").unwrap();
    assert_eq!(over.chars().count(), 79, "{over:?}");
    assert!(rest.starts_with("\x1b8\x07"), "{rest:?}");
    terminal.end().await;
    let said = terminal.said();
    let words = format!("the time of {} is up", grant.id);
    let restored = said.find("\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b>\x1b[0m").expect("the terminal is given back");
    assert!(restored < said.find(&words).unwrap(), "before the last words: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_on_the_main_screen_stays_above_the_last_words() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let draw = "printf '\\033[H\\033[2J\\033[2;23r\\033[?25l\\033[5;5H\\033[7mpicture'";
        let mut terminal = in_terminal(&alice, way, &format!("{draw}; {LINGER}"));
        terminal.shows("picture").await;
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        terminal.end().await;
        let said = terminal.said();
        let (_, behind) = said.split_once("picture").unwrap();
        let given_back = "\x1b[?25h\x1b7\x1b[r\x1b8\x1b[0m\x1b(B\x0f\x1b[?6l\x1b[24d\r\n";
        assert!(behind.starts_with(&format!("{given_back}portcullis: ")), "{way:?}: {behind:?}");
        assert!(behind.contains(&format!("{} was revoked by bob", grant.id)), "{way:?}: {behind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sits_at_a_prompt_reads_why_it_ends() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = in_terminal(&alice, way, "echo first; exec sh");
        terminal.shows("first").await;
        terminal.type_in("echo sec''ond\r");
        terminal.shows("second").await;
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        terminal.end().await;
        let said = terminal.said();
        assert!(said.contains(&format!("{} was revoked by bob", grant.id)), "{way:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_wait_for_a_sequence_to_end_but_not_for_ever() {
    let world = World::with(|config| config.warnings = vec![Span::from_seconds(3)]).await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", Duration::from_secs(5));
    let terminal = in_terminal(&alice, Way::Plus, &format!("printf 'x\\033]0;endless'; {LINGER}"));
    terminal.shows("\x1b]0;endless\x18\r\n\x1b[0;1mportcullis: this session").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_extension_is_told() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = in_terminal(&alice, Way::Plus, "echo in; read x");
    terminal.shows("in\r\n").await;
    world.authority.deny_extension(&grant);
    terminal
        .shows(&format!("portcullis: more time for {} was denied: this session on root@web1 ends at ", grant.id))
        .await;
    world.authority.extend(&grant.id, grant.ends.plus(Span::from_minutes(30)));
    terminal.shows(&format!("portcullis: {} was extended: this session on root@web1 lasts until ", grant.id)).await;
    terminal.shows(" (1h29m left)").await;
    terminal.type_in("\r");
    terminal.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reviewer_wrote_draws_nothing() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = in_terminal(&alice, Way::Plus, &format!("echo in; {LINGER}"));
    terminal.shows("in\r\n").await;
    let session = world.authority.wait_for_session().await;
    world.authority.cut(&session, "\x1b]52;c;eA==\x07\x1b[2J\r\nroot@web1:~# \u{202e}\u{9b}5m done");
    terminal.end().await;
    let said = terminal.said();
    assert!(said.contains("was ended by bob: ") && said.contains("root@web1:~# "), "{said:?}");
    assert!(!said.contains("\x1b]52") && !said.contains("\x1b[2J"), "{said:?}");
    assert!(!said.contains(['\u{202e}', '\u{9b}']) && !said.contains("\nroot@web1:~#"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_ends_the_command() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let mut child = alice.ssh(way, "root", "web1", &[]).arg("yes").spawn().unwrap();
        let mut first = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut first).await.unwrap();
        // As `ssh … yes | head -2` does.
        drop(child.stdout.take());
        timeout(SOON, child.wait()).await.unwrap_or_else(|_| panic!("{way:?}: it goes on writing")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_up_to_the_end_of_the_input() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let place = world.folder.path().join(format!("{way:?}"));
        let output = alice.feed(way, "root@web1", &format!("cat > {}", place.display()), b"all of it").await;
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        assert_eq!(std::fs::read(place).unwrap(), b"all of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_break_and_a_signal_reach_the_command() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = in_terminal(&alice, Way::Jump, "echo in; read x; echo got $x");
    terminal.shows("in\r\n").await;
    terminal.type_in("\r~Bstill\r");
    terminal.end().await;
    assert!(!terminal.said().contains("request failed"), "{:?}", terminal.said());

    let guest = guest(&world).await;
    let mut channel = guest.channel_open_session().await.unwrap();
    channel.exec(true, "echo in; exec sleep 60").await.unwrap();
    let begins = async { while !matches!(channel.wait().await, Some(ChannelMsg::Data { .. })) {} };
    timeout(SOON, begins).await.expect("it begins");
    channel.signal(Sig::TERM).await.unwrap();
    // An sshd without privilege separation, as for root, delivers none, and says so.
    let places = || std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path().join("log"));
    let said = || places().filter_map(|log| std::fs::read_to_string(log).ok()).collect::<String>();
    until("the target has it", || said().contains("signal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_terminated_says_so() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let output = alice.run(Way::Jump, "root@web1", "kill -TERM $$").await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    let term = |report: &SessionReport| match report {
        SessionReport::ChannelClosed { end, .. } => end.exit.clone(),
        _ => None,
    };
    let exit = world.authority.wait_for("the end of the channel", term).await;
    assert_eq!(exit, ExitReport::Signal("TERM".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_carried_is_named_once_there_is_a_terminal() {
    let world = World::new().await;
    let guest = guest(&world).await;
    let mut channel = guest.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.agent_forward(true).await.unwrap();
    channel.exec(true, "true").await.unwrap();
    let mut said = Vec::new();
    let reading = async {
        while let Some(msg) = channel.wait().await {
            if let ChannelMsg::ExtendedData { data, .. } = msg {
                said.extend_from_slice(&data);
            }
        }
    };
    timeout(SOON, reading).await.expect("it ends");
    let said = text(&said);
    assert!(said.contains("agent forwarding is refused: the policy's path of req-"), "{said:?}");
    assert!(said.contains("does not have permit-agent-forwarding"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_one_command_takes_no_variables_and_no_ports() {
    let world = World::new().await;
    let alice = world.person("alice");
    let command = "echo [$LC_COLOUR]";
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.command = Some(command.into()));
    for way in WAYS {
        let send = ["-o", "SetEnv=LC_COLOUR=blue"];
        let output = finish(alice.ssh(way, "root", "web1", &send).arg(command)).await;
        assert_eq!(text(&output.stdout), "[]\n", "{}", shown(&output));
        let loud = ["-o", "LogLevel=INFO", "-W", "127.0.0.1:22"];
        let output = finish(&mut alice.ssh(way, "root", "web1", &loud)).await;
        assert!(text(&output.stderr).contains("a connection to 127.0.0.1:22 is refused: req-"), "{}", shown(&output));
        for (more, what) in [(&[][..], "shell is refused: req-"), (&["-s", "sftp"], "subsystem sftp is refused: req-")]
        {
            let mut ssh = alice.ssh(way, "root", "web1", &[]);
            let output = finish(ssh.args(more)).await;
            let said = text(&output.stderr);
            assert!(said.contains(what) && said.contains("one exact command: echo [$LC_COLOUR]"), "{said}");
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(255), String::new()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_that_opens_nothing_has_its_sentence_and_the_next_command() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let alice = world.person("alice");
    let at = std::path::PathBuf::from(format!("{}-cert.pub", alice.key.display()));
    let key = ssh_key::PrivateKey::read_openssh_file(&alice.key).unwrap();
    let sign = |ca: &ssh_key::PrivateKey, kind, time| {
        let key = key.public_key().key_data();
        world.authority.sign(ca, key, kind, &["identity:alice"], time, "x").to_openssh().unwrap()
    };
    let site = &world.authority.user_ca;
    let cases = [
        (None, "it was shown neither", "portcullis cert LOGIN@TARGET"),
        (
            Some(sign(site, CertType::User, Duration::ZERO)),
            "it has expired",
            "portcullis cert LOGIN@TARGET for a new one",
        ),
        (Some(sign(&crate::authority::new_key(), CertType::User, HOUR)), "not this site's CA", "for one of this site"),
    ];
    for (certificate, why, next) in cases {
        match certificate {
            Some(certificate) => write(&at, &certificate, 0o644),
            None => std::fs::remove_file(&at).unwrap(),
        }
        for way in WAYS {
            // The jump of `ssh -J` is a process of its own, which knows the settings file and not the options.
            let mut ssh = tokio::process::Command::new("ssh");
            ssh.arg("-F").arg(alice.config("LogLevel INFO")).arg(crate::client::place(way, "root", "web1")).arg("true");
            ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let output = wait(ssh.spawn().unwrap()).await;
            let said = text(&output.stderr);
            let next = if way == Way::Plus { next.replace("LOGIN@TARGET", "root@web1") } else { next.to_owned() };
            assert!(said.contains(why) && said.contains(&next), "{way:?}: {said}");
            assert!(said.contains("Permission denied"), "{way:?}: {said}");
        }
    }
    until("nothing is open", || world.authority.sessions().is_empty()).await;
}
