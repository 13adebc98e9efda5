//! What passes through a channel, compared with what passes without the proxy: each test here is something that bit
//! somebody in this field.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Finished, Site, Sshd, Way, run, tool, wait_for};

use crate::clients::{Scripted, direct_key, noise, redirected, same};
use crate::stock::{LIMIT, Master, site, ssh};

/// A shell line in which `"$@"` is ssh to web1.
fn shell(site: &Site, way: Way, line: &str) -> Result<Finished> {
    let ssh = ssh(site, way, &[])?;
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(ssh.get_program()).args(ssh.get_args());
    shell.env("HOME", site.alice.home()).env("DIR", site.path(""));
    run(&mut shell, LIMIT)
}

#[test]
fn each_direction_ends_by_itself() -> Result<()> {
    let (site, _) = site()?;
    fs::write(site.path("g"), noise(8 << 20))?;
    for way in Way::BOTH {
        for (what, line) in [
            ("stdin ends first", "\"$@\" \"cat > $DIR/f\" < $DIR/g && cmp $DIR/f $DIR/g"),
            ("what comes after the end of stdin", "\"$@\" 'sha256sum' < $DIR/g | cmp - $DIR/sum"),
            ("stdout into a pipe", "\"$@\" \"cat $DIR/g\" | cmp - $DIR/g"),
            ("stdout ends first", "\"$@\" \"exec >&- 2>&-; cat > $DIR/f\" < $DIR/g && cmp $DIR/f $DIR/g"),
            ("through both", "\"$@\" cat < $DIR/g | cmp - $DIR/g"),
            ("nobody reads on", "\"$@\" yes | head -n 1 | grep -qx y"),
            ("no stdin at all", "\"$@\" 'cat; echo in' <&- | grep -qx in"),
            ("stdin is never read", "\"$@\" 'echo in' < $DIR/g | grep -qx in"),
            ("no output at all", "test -z \"$(\"$@\" true)\""),
        ] {
            let _ = fs::remove_file(site.path("f"));
            fs::write(
                site.path("sum"),
                run(Command::new("sh").args(["-c", "sha256sum < $0"]).arg(site.path("g")), LIMIT)?.stdout,
            )?;
            shell(&site, way, line)?.ok().with_context(|| format!("{what}, {way:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_two_streams_stay_apart_and_whole() -> Result<()> {
    let (site, _) = site()?;
    let both = "(yes e | head -c 4000000 >&2) & yes o | head -c 4000000; wait";
    for way in Way::BOTH {
        let ran = run(&mut ssh(&site, way, &[both])?, LIMIT)?.ok()?;
        ensure!(ran.stdout == b"o\n".repeat(2_000_000), "{way:?}: {} bytes", ran.stdout.len());
        ensure!(ran.stderr == "e\n".repeat(2_000_000), "{way:?}: {} bytes", ran.stderr.len());
    }
    Ok(())
}

/// A client may close a channel as soon as both directions have ended (RFC 4254, section 5.3, has no order for the exit
/// status): OpenSSH does behind a ControlMaster, and PuTTY always.
#[test]
fn an_exit_status_that_comes_behind_the_output_arrives() -> Result<()> {
    let (site, _) = site()?;
    fs::write(site.path("g"), noise(8 << 20))?;
    for way in Way::BOTH {
        let master = Master::start(&site, way)?;
        for (line, truth) in [
            ("exec >&- 2>&-; sleep 0.3; exit 7".to_owned(), 7),
            ("exec >&- 2>&-; sleep 0.3; kill -9 $$".to_owned(), 255),
            (format!("exec >&- 2>&-; cat > {}; sleep 0.3; exit 7", site.path("f").display()), 7),
        ] {
            let ran = run(&mut redirected(&master.muxed(&[&line])?, &site.path("g"), Path::new("/dev/null")), LIMIT)?;
            ensure!(ran.status.code() == Some(truth), "{way:?}, {line}: {ran:?}");
        }
        same(&site.path("g"), &site.path("f"))?;
        fs::remove_file(site.path("f"))?;
    }
    Ok(())
}

/// Somebody may wait for the end of the output before they go on.
#[test]
fn the_end_of_the_output_comes_to_who_waits_for_it() -> Result<()> {
    let (site, _) = site()?;
    for way in Way::BOTH {
        let mut command = ssh(&site, way, &["exec >&- 2>&-; read line; test \"$line\" = on"])?;
        let mut command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut nothing = Vec::new();
        command.stdout.take().context("its output")?.read_to_end(&mut nothing)?;
        command.stdin.take().context("its input")?.write_all(b"on\n")?;
        ensure!(command.wait()?.success(), "{way:?}");
    }
    Ok(())
}

/// OpenSSH, asyncssh and dropbear show it each in their own way; asyncssh tells which signal it was.
#[test]
fn a_command_that_dies_of_a_signal_says_so() -> Result<()> {
    let (site, _) = site()?;
    let asyncssh = Scripted::asyncssh(&site);
    for name in ["KILL", "TERM", "SEGV"] {
        let command = format!("kill -{name} $$");
        let truth = run(&mut asyncssh.direct(&["run", &command])?, LIMIT)?;
        ensure!(truth.text().contains(&format!("exit-signal ('{name}'")), "{truth:?}");
        for way in Way::BOTH {
            let ran = run(&mut asyncssh.call(way, &["run", &command])?, LIMIT)?;
            ensure!(ran.text() == truth.text(), "{way:?}: {ran:?}, and directly {truth:?}");
            let ran = run(&mut ssh(&site, way, &[&command])?, LIMIT)?;
            ensure!(ran.status.code() == Some(255), "{way:?}: {ran:?}");
        }
    }
    Ok(())
}

#[test]
fn a_terminal_has_every_mode_that_was_asked_for() -> Result<()> {
    same_as_directly(&["modes"])
}

#[test]
fn a_window_that_changes_changes_there() -> Result<()> {
    same_as_directly(&["resize"])
}

/// To a server of another make: sshd takes signals from nobody who is root.
#[test]
fn signals_and_a_break_arrive() -> Result<()> {
    let site = Site::start()?;
    let (folder, port) = (site.path("web2"), Sshd::free_port()?);
    let host_key = Sshd::host_key(&folder)?;
    fs::write(folder.join("host_key-cert.pub"), site.add_target("web2", port, &host_key)?)?;
    let mut server = Command::new(tool("python/bin/python3")?);
    server.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/server.py")).arg(port.to_string());
    server.arg(folder.join("host_key")).arg(site.data().join("keys").join("user-ca.pub")).arg("root@web2");
    let mut server = Background::start("asyncssh's server", &mut server, &folder.join("log"))?;
    wait_for("asyncssh's server", LIMIT, || {
        server.check()?;
        Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
    })?;
    site.grant_for("root@web2", "30m")?;
    let asyncssh = Scripted::asyncssh_to(&site, "web2");
    let names = ["INT", "TERM", "HUP", "QUIT", "ALRM", "PIPE", "USR1", "USR2", "KILL", "ABRT", "SEGV", "FPE", "ILL"];
    let heard: String = names.iter().map(|name| format!("signal {name}\n")).collect();
    for way in Way::BOTH {
        let ran = run(&mut asyncssh.call(way, &[&["sides"], &names[..]].concat())?, LIMIT)?.ok()?;
        // A terminal ends its lines in its own way.
        ensure!(ran.text().replace('\r', "") == format!("listen\n{heard}break 500\n").repeat(2), "{way:?}: {ran:?}");
        // Channels of kinds that no client serves are refused, once each, and the session goes on.
        let ran = run(&mut asyncssh.call(way, &["run", "nonsense"])?, LIMIT)?;
        ensure!(ran.text() == "nonsense\nrefused 3\nrefused 1\n", "{way:?}: {ran:?}\n{}", server.log());
        ensure!(ran.status.code() == Some(3), "{way:?}: {ran:?}");
    }
    Ok(())
}

/// Through the proxy asyncssh sees, on both ways, what it sees without.
fn same_as_directly(words: &[&str]) -> Result<()> {
    let (site, _) = site()?;
    let asyncssh = Scripted::asyncssh(&site);
    let truth = run(&mut asyncssh.direct(words)?, LIMIT)?.ok().context("directly")?;
    for way in Way::BOTH {
        let ran = run(&mut asyncssh.call(way, words)?, LIMIT)?.ok().with_context(|| format!("{way:?}"))?;
        ensure!(ran.text() == truth.text(), "{way:?}:\n{}\nand directly:\n{}", ran.text(), truth.text());
    }
    Ok(())
}

#[test]
fn a_large_environment_arrives_whole() -> Result<()> {
    let (site, _) = site()?;
    let variables: Vec<_> =
        (0..60).map(|number| (format!("LC_T{number:02}"), "äb c".repeat(number * 60 + 1))).collect();
    let truth: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    for way in Way::BOTH {
        let mut command = ssh(&site, way, &["-oSendEnv=LC_T*", "env | grep ^LC_T | LC_ALL=C sort"])?;
        let ran = run(command.envs(variables.clone()), LIMIT)?.ok()?;
        ensure!(ran.text() == truth, "{way:?}: {} bytes of {}", ran.stdout.len(), truth.len());
    }
    Ok(())
}

#[test]
fn one_connection_has_many_channels_and_one_that_stalls_holds_up_no_other() -> Result<()> {
    for way in Way::BOTH {
        let (site, grant) = site()?;
        let mut master = Master::start(&site, way)?;
        // A reader that takes nothing more than the first byte.
        let mut stalled = master.muxed(&["cat /dev/zero"])?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut zeros = stalled.stdout.take().context("its output")?;
        zeros.read_exact(&mut [0])?;
        std::thread::scope(|scope| {
            let commands: Vec<_> = (0..8)
                .map(|number| {
                    let master = &master;
                    scope.spawn(move || {
                        let command = format!("yes {number} | head -c 1000000; exit {number}");
                        run(&mut master.muxed(&[&command])?, LIMIT)
                    })
                })
                .collect();
            for (number, command) in commands.into_iter().enumerate() {
                let ran = command.join().expect("no panic")?;
                ensure!(ran.status.code() == i32::try_from(number).ok(), "{way:?}: {ran:?}");
                let truth = format!("{number}\n").repeat(500_000);
                ensure!(ran.text() == truth, "{way:?}, {number}: {} bytes", ran.stdout.len());
            }
            Ok(())
        })?;
        let opened = site.dana.json(&["ledger", "show", "--request", &grant, "--kind", "session.opened"])?;
        ensure!(opened.as_array().map(Vec::len) == Some(1), "{way:?}: {opened}");
        site.bob.portcullis(&["revoke", &grant, "--reason", "enough"])?.ok()?;
        master.process.end(LIMIT).with_context(|| format!("{way:?}"))?;
        drop(zeros);
        ensure!(!stalled.wait()?.success(), "{way:?}: the stalled one ended well");
    }
    Ok(())
}

#[test]
fn a_batch_of_sftp_does_all_that_sftp_can() -> Result<()> {
    let (site, _) = site()?;
    fs::write(site.path("g"), noise(100_000))?;
    let batch = "\
-mkdir there
cd there
put g one
!cmp g there/one
rename one two words
chmod 600 \"two words\"
ln -s \"two words\" link
ls -l
df
get \"two words\" back
mkdir deep
put -R tree deep
rm link
rm \"two words\"
";
    fs::create_dir_all(site.path("tree/a"))?;
    fs::write(site.path("tree/a/b"), b"leaf")?;
    let batch = batch.replace("rename one two words", "rename one \"two words\"");
    fs::write(site.path("batch"), format!("cd {}\n{batch}", site.path("").display()))?;
    for way in Way::BOTH {
        let sftp = |file: &str| -> Result<Finished> {
            let mut command = site.alice.stock("sftp", &["-b"]);
            run(command.arg(site.path(file)).arg(way.destination(&site)?).current_dir(site.path("")), LIMIT)
        };
        sftp("batch")?.ok().with_context(|| format!("{way:?}"))?;
        same(&site.path("g"), &site.path("back"))?;
        ensure!(fs::read(site.path("there/deep/tree/a/b"))? == b"leaf", "{way:?}");
        ensure!(fs::read_dir(site.path("there"))?.count() == 1, "{way:?}");
        // A batch ends at the first thing that fails, and says which.
        fs::write(site.path("bad"), "rm /no/such/file\nput g never\n")?;
        let failed = sftp("bad")?;
        ensure!(failed.status.code() == Some(1) && failed.stderr.contains("/no/such/file"), "{way:?}: {failed:?}");
        fs::remove_dir_all(site.path("there"))?;
        fs::remove_file(site.path("back"))?;
    }
    Ok(())
}

/// What sshuttle and its like do: a protocol of their own, back and forth, through a command's two ends.
#[test]
fn a_command_is_a_tunnel() -> Result<()> {
    let (site, _) = site()?;
    let noise = noise(1 << 20);
    for way in Way::BOTH {
        let mut tunnel = ssh(&site, way, &["cat"])?;
        let mut tunnel = tunnel.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut up = tunnel.stdin.take().context("its input")?;
        let mut down = tunnel.stdout.take().context("its output")?;
        // Each answer is waited for, so a byte that is kept back anywhere stops everything.
        for (round, length) in (0..2000_usize).zip([1, 7, 512, 4096, 40_000].into_iter().cycle()) {
            let start = round * 331;
            let said = noise.get(start..start + length).context("enough noise")?;
            up.write_all(said)?;
            let mut heard = vec![0; length];
            down.read_exact(&mut heard)?;
            ensure!(heard == said, "{way:?}, round {round}");
        }
        drop(up);
        ensure!(down.read(&mut [0])? == 0 && tunnel.wait()?.success(), "{way:?}: it does not end well");
    }
    Ok(())
}

/// A whole ssh connection to another sshd, inside of a command.
#[test]
fn ssh_runs_inside_of_a_command() -> Result<()> {
    let (site, _) = site()?;
    let (key, certificate) = direct_key(&site)?;
    let config = site.web1.folder().join("sshd_config");
    fs::write(site.path("g"), noise(8 << 20))?;
    for way in Way::BOTH {
        let outer = format!(
            "ssh -F {} -o BatchMode=yes {} '/usr/sbin/sshd -i -f {}'",
            site.alice.folder().join("ssh_config").display(),
            way.destination(&site)?,
            config.display()
        );
        let mut inner = Command::new("sh");
        inner.args(["-c", "\"$@\" cat < \"$0\" | cmp - \"$0\""]).arg(site.path("g"));
        inner.args(["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        inner.args(["-o", "UserKnownHostsFile=/dev/null", "-o", &format!("ProxyCommand={outer}"), "-i"]);
        inner.arg(&key).arg("-o").arg(format!("CertificateFile={}", certificate.display())).arg("root@inside");
        inner.env("HOME", site.alice.home()).env_remove("SSH_AUTH_SOCK");
        run(&mut inner, LIMIT)?.ok().with_context(|| format!("{way:?}"))?;
    }
    Ok(())
}

/// Unknown kinds of channels, unknown requests of the connection and of a channel.
#[test]
fn what_nobody_serves_is_refused_and_the_connection_goes_on() -> Result<()> {
    let (site, _) = site()?;
    let paramiko = Scripted::paramiko(&site)?;
    for way in Way::BOTH {
        let ran = run(&mut paramiko.call(way, &["nonsense"])?, LIMIT)?;
        ensure!(ran.text() == "in\n" && ran.status.code() == Some(3), "{way:?}: {ran:?}");
    }
    Ok(())
}
