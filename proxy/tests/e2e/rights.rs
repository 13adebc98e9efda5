//! What a session may run, as its path says.

use api::wire::SessionReport;

use crate::client::{WAYS, Way, finish, place, run, shown, text};
use crate::terminal::Terminal;
use crate::world::{HOUR, World};

/// A world in which alice may run this.
async fn with(channels: &str) -> World {
    let world = World::new().await;
    let channels = channels.split(", ").map(|right| right.parse().unwrap()).collect();
    let change = |grant: &mut crate::authority::Grant| grant.obligations.carriage.channels = channels;
    world.authority.grant_with("alice", "root", "web1", HOUR, change);
    world
}

fn refusals(world: &World) -> Vec<(String, String)> {
    let refused = world.authority.reports().into_iter().filter_map(|report| match report {
        SessionReport::ChannelRefused { asked, reason } => Some((asked, reason)),
        _ => None,
    });
    refused.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_copy_files_gets_no_shell_and_no_command() {
    let world = with("scp, subsystem:sftp").await;
    let alice = world.person("alice");
    let made = world.folder.path().join("made");
    for way in WAYS {
        let output = finish(&mut alice.ssh(way, "root", "web1", &["-T"])).await;
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(255), ""), "{}", shown(&output));
        let said = text(&output.stderr);
        assert!(said.contains("portcullis: shell is refused: the policy's path of req-"), "{said}");
        assert!(said.contains("lets a session run scp, subsystem:sftp\n"), "{said}");
        assert!(said.contains("portcullis: to copy files, use scp or sftp\n"), "{said}");
        let said = Terminal::run(&mut alice.ssh(way, "root", "web1", &["-t"])).await;
        assert!(said.contains("portcullis: shell is refused"), "{said}");
        for command in [
            "id",
            "scp -t x; touch MADE",
            "scp -t x;touch MADE",
            "scp -t $(touch MADE)",
            "scp -t `touch MADE`",
            "scp -t x\ntouch MADE",
            "scp -t x & touch MADE",
            "scp -S /usr/bin/touch -t MADE",
            "scp -oProxyCommand=touch -f MADE",
            "scp",
            " scp -t x",
            "/usr/bin/scp -t x",
            "env scp -t x",
            "rsync --server . MADE",
            "/usr/lib/openssh/sftp-server",
        ] {
            let command = command.replace("MADE", &made.display().to_string());
            let output = alice.run(way, "root@web1", &command).await;
            assert_eq!(output.status.code(), Some(255), "{command:?} {}", shown(&output));
            assert!(text(&output.stderr).contains(" is refused: the policy's path"), "{command:?} {}", shown(&output));
        }
        // In a terminal it is no protocol, but a command.
        let said = Terminal::run(alice.ssh(way, "root", "web1", &["-tt"]).arg("scp -t /tmp")).await;
        assert!(said.contains("exec scp -t /tmp is refused"), "{said}");
        let output = finish(alice.ssh(way, "root", "web1", &["-s"]).arg("netconf")).await;
        assert!(text(&output.stderr).contains("subsystem netconf is refused"), "{}", shown(&output));
    }
    assert!(!made.exists());
    let refusals = refusals(&world);
    assert!(refusals.iter().any(|(asked, _)| asked == "exec id"), "{refusals:?}");
    assert!(refusals.iter().all(|(_, reason)| reason.contains("lets a session run scp, subsystem:sftp")));
    assert!(!world.authority.reports().iter().any(|report| matches!(report, SessionReport::ChannelOpened { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_copying_has_its_own_right() {
    for (channels, new, old) in [("subsystem:sftp", true, false), ("scp", false, true), ("exec", false, true)] {
        let world = with(channels).await;
        let alice = world.person("alice");
        let config = alice.config("").display().to_string();
        let here = world.folder.path().join("here").display().to_string();
        std::fs::write(&here, "content").unwrap();
        for (mode, allowed, hint) in [("-s", new, "use scp -O"), ("-O", old, "leave out -O")] {
            let there = world.folder.path().join(format!("there{mode}"));
            let remote = format!("{}:{}", place(Way::Plus, "root", "web1"), there.display());
            let output = run("scp", ["-F", &config, mode, &here, &remote]).await;
            assert_eq!(output.status.success(), allowed, "{channels} {mode} {}", shown(&output));
            assert_eq!(there.exists(), allowed, "{channels} {mode}");
            if !allowed {
                assert!(text(&output.stderr).contains("is refused: the policy's path"), "{}", shown(&output));
                assert!(channels == "exec" || text(&output.stderr).contains(hint), "{}", shown(&output));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_exact_command_needs_a_path_that_runs_commands() {
    for (channels, runs) in [("shell", false), ("exec", true), ("scp, subsystem:sftp", false)] {
        let world = with(channels).await;
        world.authority.grant_with("bob", "root", "web1", HOUR, |grant| {
            grant.command = Some("echo ran".into());
            grant.obligations.carriage.channels = channels.split(", ").map(|right| right.parse().unwrap()).collect();
        });
        let output = world.person("bob").run(Way::Plus, "root@web1", "echo ran").await;
        assert_eq!(text(&output.stdout) == "ran\n", runs, "{channels}: {}", shown(&output));
    }
}
