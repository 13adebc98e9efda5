//! A second factor: an authenticator is set up, and its codes open what policy wants one for, with stock `ssh` too.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use identity::TotpSecret;
use model::Timestamp;
use portcullis_tests::{Finished, Layout, Site, Way, run, wait_for};
use store::{Clock as _, SystemClock};

use crate::clients::Scripted;
use crate::desk::{Terminal, words};

const SOON: Duration = Duration::from_secs(90);

/// Engineers get everything at once with a one-time code, and nothing without.
const POLICY: &str = r#"
@id("with-a-code")
@approvals("0")
@factor("totp")
permit (principal in Group::"engineers", action == Action::"request", resource);
@id("connect") permit (principal, action == Action::"connect", resource);
@id("security") permit (principal in Group::"security", action == Action::"lock", resource);
@id("admins") permit (principal in Group::"admins", action == Action::"administer", resource);
"#;

/// An authenticator app.
struct App {
    secret: TotpSecret,
    last: u64,
}

impl App {
    /// A code that was not used yet; waits for one where need be.
    fn code(&mut self) -> Result<String> {
        let step = wait_for("the next code", SOON, || {
            let now = SystemClock.now().seconds();
            // The one before is good until this one ends: when there is time left.
            let first = if now % 30 < 15 { now / 30 - 1 } else { now / 30 };
            let step = first.max(self.last + 1);
            Ok((step <= now / 30 + 1).then_some(step))
        })?;
        self.last = step;
        Ok(self.secret.code(Timestamp::from_seconds(step * 30))?)
    }
}

/// alice sets it up, in a terminal.
fn enrol(site: &Site) -> Result<App> {
    let mut terminal = Terminal::with(&site.alice.command(&["factor", "add"]))?;
    terminal.shows("the code that it shows now:")?;
    let said = terminal.said();
    ensure!(said.contains('█') && said.contains("otpauth://totp/"), "{said}");
    let secret = said.split("type the secret: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let secret = secret.and_then(TotpSecret::from_base32).with_context(|| said.clone())?;
    let mut app = App { secret, last: 0 };
    terminal.types("12 34\r")?;
    terminal.shows("this is no one-time code of yours now")?;
    terminal.types(&format!("{}\r", app.code()?))?;
    terminal.shows("counts from now on")?;
    ensure!(terminal.ends()? == 0, "{}", terminal.said());
    Ok(app)
}

/// A stock program of alice's that types this code whenever it is asked.
fn typing(site: &Site, program: &str, code: &str, before: &[&str], behind: &[&str]) -> Result<Finished> {
    let script = site.path("askpass");
    fs::write(&script, format!("#!/bin/sh\necho {code}\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    let mut line = words(site, &site.alice, before, "root+web1");
    let place = line.pop().context("a place")?;
    let mut command = Command::new(program);
    let port = if program == "scp" { "-P" } else { "-p" };
    command.args(line.iter().skip(1).map(|word| if word == "-p" { port } else { word.as_str() }));
    command.args(behind.iter().map(|word| word.replace("PLACE", &place)));
    command.env("SSH_ASKPASS", script).env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null());
    run(&mut command, SOON)
}

#[test]
fn a_code_at_the_door_in_the_terminal_and_at_the_command_line() -> Result<()> {
    let site = Site::with(Layout::Apart, Some(POLICY))?;
    let ask = ["request", "root@web1", "--for", "30m", "--reason", "a look", "--no-wait"];
    let refused = site.alice.portcullis(&ask)?;
    ensure!(refused.status.code() == Some(1) && refused.stderr.contains("portcullis login --code"), "{refused:?}");
    // Who has no authenticator is asked for nothing that it makes.
    let place = ["request", "root@web1", "--reason", "look"];
    for command in [&place[..], &["login", "--code"]] {
        let mut alice = Terminal::with(&site.alice.command(command))?;
        alice.shows("to set an authenticator up: portcullis factor add")?;
        ensure!(alice.ends()? == 1 && !alice.said().contains("authentication code"), "{}", alice.said());
    }
    let mut app = enrol(&site)?;

    // Nothing but ssh: the code behind the key, then why and for how long, then the session.
    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    alice.shows("authentication code:")?;
    let code = app.code()?;
    alice.types(&format!("{code}\r"))?;
    alice.shows("why?")?;
    ensure!(!alice.said().contains(&code), "it was shown: {}", alice.said());
    alice.types("the disk is full\r")?;
    alice.shows("for how long? [")?;
    alice.types("\r")?;
    alice.shows("m left), recorded")?;
    alice.types("echo $((6*7)) in $(tty)\r")?;
    alice.shows("42 in /dev/pts/")?;
    alice.types("exit 3\r")?;
    ensure!(alice.ends()? == 3, "{}", alice.said());

    // The grant takes one for each connection by plain key, and none twice.
    let replayed = typing(&site, "ssh", &code, &["-T"], &["PLACE", "true"])?;
    ensure!(replayed.status.code() == Some(255) && replayed.stderr.contains("Permission denied"), "{replayed:?}");
    let (from, to) = (site.path("from"), site.path("to"));
    fs::write(&from, "precious")?;
    let (from, there) = (from.display().to_string(), format!("PLACE:{}", to.display()));
    typing(&site, "scp", &app.code()?, &[], &[&from, &there])?.ok()?;
    ensure!(fs::read_to_string(&to)? == "precious", "another file arrived");
    // paramiko asks for the log-in service once more before its second method, and for the code on its own terminal.
    let paramiko = Scripted::paramiko(&site)?.with_plain_key()?;
    let mut paramiko = Terminal::with(&paramiko.call(Way::Plus, &["run", "echo $((6*7))"])?)?;
    paramiko.shows("authentication code:")?;
    paramiko.types(&format!("{}\r", app.code()?))?;
    paramiko.shows("42")?;
    ensure!(paramiko.ends()? == 0, "{}", paramiko.said());

    // At the command line, for a quarter of an hour; until the authenticator goes.
    let mut login = site.alice.command(&["login", "--code"]);
    let mut login = login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut login.stdin.take().context("stdin")?, format!("{}\n", app.code()?).as_bytes())?;
    let said = login.wait_with_output()?;
    ensure!(said.status.success(), "{said:?}");
    site.alice.portcullis(&ask)?.ok()?;
    let removed = ["factor", "remove", "--identity", "alice", "--reason", "lost her phone"];
    site.carol.portcullis(&removed)?.ok()?;
    ensure!(!site.alice.portcullis(&ask)?.status.success(), "what the code made more of is still so");
    for (kind, sentence) in [
        ("factor.added", "adds the authenticator fac-"),
        ("factor.refused", "it is refused: this one-time code, or a later one, was used already"),
        ("factor.used", "gives a one-time code of fac-"),
        ("factor.removed", ": lost her phone"),
    ] {
        let told = site.dana.portcullis(&["ledger", "show", "--kind", kind])?.ok()?.text();
        ensure!(told.contains(sentence), "{kind}: {told}");
    }
    ensure!(fs::read_dir(site.data().join("factors"))?.next().is_none(), "its secret is still there");
    Ok(())
}
