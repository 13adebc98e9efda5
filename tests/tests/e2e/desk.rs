//! Nothing installed: a registered key and stock ssh, from the question to the session, and the approver's side of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Finished, Layout, Person, Site, Sshd, run, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// The words of a stock ssh that offers one plain key and nothing else.
pub(crate) fn words(site: &Site, person: &Person, options: &[&str], place: &str) -> Vec<String> {
    let (port, key) = (site.proxy_port().to_string(), person.key().display().to_string());
    let fixed = ["ssh", "-F", "none", "-p", &port, "-i", &key];
    let settings = [
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
    ];
    let settings = settings.iter().flat_map(|setting| ["-o", setting]);
    let place = format!("{place}@127.0.0.1");
    let mut words: Vec<String> = fixed.into_iter().chain(settings).map(str::to_owned).collect();
    words.extend(options.iter().map(|option| (*option).to_owned()));
    words.push(place);
    words
}

/// Runs a command at the proxy, or through it.
fn ssh(site: &Site, person: &Person, place: &str, command: &[&str]) -> Result<Finished> {
    let words = words(site, person, &["-T"], place);
    let (program, arguments) = words.split_first().context("a program")?;
    run(Command::new(program).args(arguments).args(command).stdin(Stdio::null()), SOON)
}

/// An ssh in a real terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub(crate) fn start(site: &Site, person: &Person, place: &str) -> Result<Self> {
        Self::with_options(site, person, &[], place)
    }

    fn with_options(site: &Site, person: &Person, options: &[&str], place: &str) -> Result<Self> {
        let words = words(site, person, &[&["-t"], options].concat(), place);
        Self::spawn(&mut Command::new("script"), &words.join(" "))
    }

    /// Another command, in a terminal that knows control sequences, with its own surroundings.
    pub(crate) fn with(command: &Command) -> Result<Self> {
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        // `script` gives the line to a shell.
        let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let words: Vec<_> = words.into_iter().map(quoted).collect();
        let mut script = Command::new("script");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        Self::spawn(script.env("TERM", "xterm"), &words.join(" "))
    }

    fn spawn(script: &mut Command, line: &str) -> Result<Self> {
        let mut child = script
            .args(["-qfec", line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (keyboard, mut screen) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let read = buffer.get(..read).unwrap_or_default();
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(read);
            }
        });
        Ok(Self { child, keyboard, shown })
    }

    pub(crate) fn said(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    pub(crate) fn shows(&self, text: &str) -> Result<()> {
        wait_for(text, SOON, || Ok(self.said().contains(text).then_some(()))).with_context(|| self.said())
    }

    pub(crate) fn types(&mut self, text: &str) -> Result<()> {
        self.keyboard.write_all(text.as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    pub(crate) fn ends(&mut self) -> Result<i32> {
        let ended = wait_for("the end", SOON, || Ok(self.child.try_wait()?)).with_context(|| self.said())?;
        Ok(ended.code().unwrap_or(-1))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn pending(site: &Site) -> Result<String> {
    wait_for("a pending request", SOON, || {
        let listed = ssh(site, &site.bob, "bob", &["requests", "--json"])?.ok()?;
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).with_context(|| listed.text())?;
        Ok(listed.get(0).and_then(|request| request.get("id")?.as_str().map(str::to_owned)))
    })
}

#[test]
fn asked_approved_and_used_with_nothing_but_ssh() -> Result<()> {
    let site = Site::with(Layout::Apart, None)?;
    // Without a terminal there is advice, and both ways to ask.
    let refused = ssh(&site, &site.alice, "root+web1", &["true"])?;
    ensure!(refused.status.code() == Some(255), "{refused:?}");
    ensure!(
        refused.stderr.contains("portcullis request root@web1") && refused.stderr.contains("ssh -t"),
        "{refused:?}"
    );

    // With one, alice is asked right there, and waits.
    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    alice.shows("why?")?;
    alice.types("the disk \u{1b}[Ais fulll\u{7f}\r")?;
    alice.shows("for how long? [")?;
    alice.types("20m\r")?;
    alice.shows("waiting for approval (ctrl-c to give up)")?;
    ensure!(alice.said().contains("approvers"), "{}", alice.said());
    ensure!(alice.said().contains("who can approve: bob\r\n"), "{}", alice.said());

    // bob has nothing installed either.
    let id = pending(&site)?;
    let shown = ssh(&site, &site.bob, "bob", &["requests", &id])?.ok()?;
    ensure!(shown.text().contains("the disk is full") && shown.text().contains("20m"), "{shown:?}");
    let own = ssh(&site, &site.alice, "alice", &["approve", &id])?;
    ensure!(own.status.code() == Some(1) && own.stderr.contains("cannot review it"), "she approves her own: {own:?}");
    let short = id.get(..id.len() - 3).context("an id")?;
    let nobodys = ssh(&site, &site.bob, "bob", &["approve", "req-zzzzz"])?;
    ensure!(nobodys.status.code() == Some(4) && nobodys.stderr.contains("begins with req-zzzzz"), "{nobodys:?}");
    let approved = ssh(&site, &site.bob, "bob", &["approve", short, "--for", "10m", "--comment", "go", "on"])?.ok()?;
    ensure!(approved.text().contains("approved"), "{approved:?}");

    // The same connection goes on, with the same terminal.
    alice.shows("is approved by bob for 10m (you asked for 20m)")?;
    alice.shows("m left), recorded")?;
    alice.types("echo $((6*7)) in $(tty)\r")?;
    alice.shows("42 in /dev/pts/")?;
    alice.types("exit 3\r")?;
    ensure!(alice.ends()? == 3, "{}", alice.said());

    // While the grant lasts a plain command works, and then she gives it back.
    let ran = ssh(&site, &site.alice, "root+web1", &["echo again"])?.ok()?;
    ensure!(ran.text() == "again\n", "{ran:?}");
    let grants = ssh(&site, &site.alice, "alice", &["grants"])?.ok()?;
    ensure!(grants.text().contains(&id) && grants.text().contains("root@web1"), "{grants:?}");
    // More time, in the same way.
    let more = ssh(&site, &site.alice, "alice", &["extend", short, "5m", "--reason", "not", "done", "yet"])?.ok()?;
    ensure!(more.text().contains(&format!("extends  {id}")) && more.text().contains("not done yet"), "{more:?}");
    let asked = more.text().split(':').next().unwrap_or_default().to_owned();
    ssh(&site, &site.bob, "bob", &["approve", &asked])?.ok()?;
    site.record(&id, "grant.extended")?;
    ssh(&site, &site.alice, "alice", &["release", short])?.ok()?;
    ensure!(!ssh(&site, &site.alice, "root+web1", &["true"])?.status.success(), "she is in again");

    // bob takes back what he gave, and she is out.
    let again = ["request", "root@web1", "--for", "20m", "--reason", "once", "more"];
    let again = ssh(&site, &site.alice, "alice", &again)?.ok()?.text();
    let again = again.split(':').next().unwrap_or_default();
    ssh(&site, &site.bob, "bob", &["approve", again])?.ok()?;
    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    alice.shows("m left), recorded")?;
    let open = ssh(&site, &site.bob, "bob", &["grants", "--all"])?.ok()?.text();
    ensure!(open.contains(again) && open.contains("alice  root@web1") && open.contains("1 session live"), "{open}");
    let revoked = ssh(&site, &site.alice, "alice", &["revoke", again, "--reason", "mine"])?;
    ensure!(revoked.status.code() == Some(1), "{revoked:?}");
    let short = again.get(..again.len() - 3).context("an id")?;
    let revoked = ssh(&site, &site.bob, "bob", &["revoke", short, "--reason", "that", "is", "enough"])?.ok()?;
    ensure!(revoked.text().contains("is revoked: none of its sessions is live"), "{revoked:?}");
    alice.shows("was revoked by bob: that is enough")?;
    ensure!(alice.ends()? != 0, "{}", alice.said());

    // Every fact of it says through which proxy it came.
    for kind in ["request.filed", "request.reviewed", "grant.ended"] {
        let record = site.record(&id, kind)?.to_string();
        ensure!(record.contains("through") && record.contains("proxy"), "{kind}: {record}");
    }
    let opened = site.record(&id, "session.opened")?.to_string();
    ensure!(opened.contains("SHA256:") && !opened.contains("certificate"), "{opened}");
    Ok(())
}

#[test]
fn denied_given_up_and_hung_up() -> Result<()> {
    let site = Site::start()?;
    let ask = |alice: &mut Terminal| -> Result<String> {
        alice.shows("why?")?;
        alice.types("a look\r")?;
        alice.shows("for how long?")?;
        alice.types("\r")?;
        alice.shows("waiting for approval")?;
        pending(&site)
    };
    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    let id = ask(&mut alice)?;
    ssh(&site, &site.bob, "bob", &["deny", &id, "--reason", "not", "on", "a", "Friday"])?.ok()?;
    alice.shows("is denied by bob: not on a Friday")?;
    ensure!(alice.ends()? != 0, "{}", alice.said());

    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    let id = ask(&mut alice)?;
    alice.types("\u{3}")?;
    alice.shows("is cancelled")?;
    site.record(&id, "request.cancelled")?;
    ensure!(alice.ends()? != 0, "{}", alice.said());

    let mut alice = Terminal::start(&site, &site.alice, "root+web1")?;
    let id = ask(&mut alice)?;
    drop(alice);
    let cancelled = site.record(&id, "request.cancelled")?.to_string();
    ensure!(cancelled.contains("through"), "{cancelled}");
    Ok(())
}

#[test]
fn the_menu_shows_what_is_theirs_and_no_word_of_others_acts_upon_a_terminal() -> Result<()> {
    let site = Site::start()?;
    // Through the API anybody may give any words as a reason; the CA refuses control characters, so this is what passes.
    let evil = "look \u{202e}here\u{9b}31m";
    let asked = site.alice.portcullis(&["request", "root@web1", "--for", "30m", "--reason", evil, "--no-wait"])?;
    if !asked.status.success() {
        site.alice.portcullis(&["request", "root@web1", "--for", "30m", "--reason", "look", "--no-wait"])?.ok()?;
    }
    let mut bob = Terminal::start(&site, &site.bob, "bob")?;
    bob.shows("waits for you:")?;
    bob.shows("portcullis> ")?;
    bob.types("?\r")?;
    bob.shows("approve ID [--for 20m]")?;
    bob.types("requests\rapprove nonsense\rwhoami\rquit\r")?;
    bob.shows("no request that you may see begins with nonsense")?;
    ensure!(bob.ends()? == 0, "{}", bob.said());
    let said = bob.said();
    ensure!(said.contains("alice") && !said.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{said:?}");
    Ok(())
}

/// Who cannot answer here is not invited to.
#[test]
fn where_the_proxy_passes_no_answers_on_the_desk_says_so() -> Result<()> {
    let site = Site::start()?;
    let ask = ["request", "root@web1", "--for", "30m", "--reason", "look", "--no-wait"];
    site.alice.portcullis(&ask)?.ok()?;
    let told = "to answer somebody else's: portcullis approve ID";
    let here = ssh(&site, &site.bob, "bob", &["requests"])?.ok()?.text();
    ensure!(here.contains("waits for you:") && !here.contains(told), "{here}");
    let file = site.folder().join("directory.toml");
    let directory = std::fs::read_to_string(&file)?;
    std::fs::write(&file, directory.replace("desk = \"review\"", "desk = \"ask\""))?;
    wait_for("the directory", SOON, || {
        let listed = ssh(&site, &site.bob, "bob", &["requests"])?.ok()?.text();
        Ok((listed.contains("alice") && listed.contains(told)).then_some(()))
    })?;
    let help = ssh(&site, &site.bob, "bob", &["help"])?.ok()?.text();
    ensure!(help.contains(told) && !help.contains("deny ID") && help.contains("release ID"), "{help}");
    let own = ssh(&site, &site.alice, "alice", &["requests"])?.ok()?.text();
    ensure!(own.contains("you asked for:") && !own.contains(told), "{own}");
    Ok(())
}

#[test]
fn who_is_not_known_locked_or_gone_does_nothing() -> Result<()> {
    let site = Site::start()?;
    // A key of nobody's.
    let mallory = Person::new(&site.path(""), "mallory")?;
    let refused = ssh(&site, &mallory, "mallory", &["requests"])?;
    ensure!(refused.status.code() == Some(255) && refused.text().is_empty(), "{refused:?}");
    // Exit codes.
    ensure!(ssh(&site, &site.bob, "bob", &["help"])?.status.success(), "help");
    ensure!(ssh(&site, &site.bob, "bob", &["rm", "-rf", "/"])?.status.code() == Some(2), "usage");
    ensure!(ssh(&site, &site.bob, "bob", &["approve", "req-000000000001"])?.status.code() == Some(4), "not found");
    // What is no business of ssh's: revoking, locking, the ledger.
    ensure!(ssh(&site, &site.dana, "dana", &["lock", "identity:alice"])?.status.code() == Some(2), "lock");
    let targets = ssh(&site, &site.alice, "alice", &["targets"])?.ok()?;
    ensure!(targets.text().contains("root@web1"), "{targets:?}");
    // A policy that wants no approvals over ssh.
    let file = site.folder().join("policy.cedar");
    let policy = std::fs::read_to_string(&file)?;
    let forbid = "\n@id(\"not-over-ssh\")\nforbid (principal, action == Action::\"review\", resource) when { context.way == \"ssh\" };\n";
    std::fs::write(&file, format!("{policy}{forbid}"))?;
    let id = wait_for("the policy", SOON, || {
        let asked = ["request", "root@web1", "--for", "30m", "--reason", "a", "look"];
        let asked = ssh(&site, &site.alice, "alice", &asked)?.ok()?.text();
        let id = asked.split(':').next().unwrap_or_default().to_owned();
        Ok((!ssh(&site, &site.bob, "bob", &["approve", &id])?.status.success()).then_some(id))
    })?;
    // The API goes on.
    site.bob.portcullis(&["approve", &id])?.ok()?;
    // A lock refuses the next, with its reason, and cuts what is there.
    site.carol.portcullis(&["lock", "identity:alice", "--reason", "laptop stolen"])?.ok()?;
    let refused = ssh(&site, &site.alice, "alice", &["grants"])?;
    ensure!(refused.status.code() == Some(255), "{refused:?}");
    Ok(())
}

/// What somebody wants besides is theirs once the grant is there, however long that takes.
#[test]
fn forwards_that_were_asked_for_at_the_door_come_with_the_grant() -> Result<()> {
    let policy = r#"
        @id("asks") @approvals("1") @permit_open("127.0.0.1:1024-65535") @permit_listen("localhost:*")
        permit (principal, action == Action::"request", resource);
        @id("reviews")
        permit (principal in Group::"approvers", action == Action::"review", resource);
        @id("connects")
        permit (principal, action == Action::"connect", resource);
        @id("administers")
        permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
    "#;
    let site = Site::with(Layout::Apart, Some(policy))?;
    let (here, there) = (Sshd::free_port()?, Sshd::free_port()?);
    let web1 = site.web1.address().port();
    let (to, back) = (format!("{here}:127.0.0.1:{web1}"), format!("{there}:127.0.0.1:{web1}"));
    // A client that takes a silent proxy for dead.
    let anxious = ["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3", "-o", "ExitOnForwardFailure=yes"];
    let forwards = ["-L", &to, "-R", &back];
    let begin = Instant::now();
    let mut alice = Terminal::with_options(&site, &site.alice, &[&anxious[..], &forwards].concat(), "root+web1")?;
    alice.shows("why?")?;
    alice.types("a look\r")?;
    alice.shows("for how long?")?;
    alice.types("\r")?;
    alice.shows("waiting for approval")?;
    let id = pending(&site)?;
    // Somebody connects before there is a grant, and waits.
    let mut early = TcpStream::connect(("127.0.0.1", here))?;
    wait_for("the client's patience to be over", SOON, || Ok((begin.elapsed().as_secs() > 12).then_some(())))?;
    ssh(&site, &site.bob, "bob", &["approve", &id])?.ok()?;
    alice.shows("is approved by bob")?;
    alice.shows("m left), recorded")?;

    let greeted = |stream: &mut TcpStream| -> Result<()> {
        let mut greeting = [0; 8];
        stream.set_read_timeout(Some(SOON))?;
        stream.read_exact(&mut greeting)?;
        ensure!(&greeting == b"SSH-2.0-", "{greeting:?}");
        Ok(())
    };
    greeted(&mut early)?;
    let mut listens = wait_for("the listener", SOON, || Ok(TcpStream::connect(("127.0.0.1", there)).ok()))?;
    greeted(&mut listens)?;
    drop((early, listens));
    alice.types("exit\r")?;
    ensure!(alice.ends()? == 0, "{}", alice.said());

    // Who gets no grant gets no forward either, and their client is told so.
    site.alice.portcullis(&["release", &id])?.ok()?;
    let mut alice = Terminal::with_options(&site, &site.alice, &["-R", &back], "root+web1")?;
    alice.shows("why?")?;
    ensure!(TcpStream::connect(("127.0.0.1", there)).is_err(), "somebody listens");
    alice.types("\u{3}")?;
    ensure!(alice.ends()? != 0, "{}", alice.said());
    ensure!(TcpStream::connect(("127.0.0.1", there)).is_err(), "somebody listens");
    Ok(())
}
