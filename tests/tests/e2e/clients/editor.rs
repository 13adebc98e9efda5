//! A remote session of the kind that VS Code's Remote-SSH has: one connection, on which a shell is fed a script that starts
//! a server there and stays, and through which the editor then reaches that server, by its port and by its socket.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use portcullis_tests::{Layout, Site, Sshd, Way, run, text as field};
use serde_json::Value;

use super::{noise, text};
use crate::ends::{EVERY_FORWARD, converse, dial, dial_socket, dial_socks};
use crate::stock::{LIMIT, facts, facts_where, socket, ssh};

/// What one connection carries. Each talk is of another length.
const TALKS: usize = 12;

#[test]
fn a_remote_editors_session() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let mut editors = Vec::new();
    for (ways, way) in (1..).zip(Way::BOTH) {
        // Each way has two sessions, the second of which stays.
        let sessions = 2 * ways - 1;
        let mut first = Editor::start(&site, way)?;
        ensure!(first.started, "{way:?}: its server ran already");
        first.works(&site, way).with_context(|| format!("{way:?}"))?;
        let session = facts_where(&site, &grant, "session.opened", sessions, |_| true)?.pop().context("a session")?;
        ensure!(field(&session, "identity")? == "alice" && field(&session, "login")? == "root", "{session}");
        told(&site, &grant, &field(&session, "session")?, &first).with_context(|| format!("{way:?}"))?;
        // The lid is closed. The server stays, and the next connection finds it.
        let (port, session) = (first.port, field(&session, "session")?);
        drop(first);
        facts_where(&site, &grant, "session.ended", ways, |_| true)?;
        let lost = facts(&site, &grant, "channel.closed")?;
        ensure!(lost.iter().any(|closed| field(closed, "session").is_ok_and(|of| of == session)), "{lost:?}");
        let mut again = Editor::start(&site, way)?;
        ensure!(!again.started && again.port == port, "{way:?}: another server, on {} and not {port}", again.port);
        again.works(&site, way).with_context(|| format!("again, {way:?}"))?;
        editors.push(again);
    }
    // The end of the grant is the end of all that goes through, also of what is in the middle of a talk.
    let mut open = Vec::new();
    for editor in &editors {
        let mut stream = dial_socks(editor.proxy, "localhost", editor.port)?;
        stream.read_exact(&mut [0; 6])?;
        open.push(stream);
    }
    site.bob.portcullis(&["revoke", &grant, "--reason", "enough"])?.ok()?;
    for (editor, mut stream) in editors.iter_mut().zip(open) {
        let mut rest = Vec::new();
        // A reset says the same as an end.
        let _ = stream.read_to_end(&mut rest);
        ensure!(rest.is_empty(), "{} bytes more", rest.len());
        ensure!(!editor.process.wait()?.success(), "its ssh ended well");
    }
    let ended = facts_where(&site, &grant, "session.ended", 4, |_| true)?;
    ensure!(ended.iter().filter(|fact| fact.to_string().contains("revoked")).count() == 2, "{ended:#?}");
    Ok(())
}

/// An editor that is connected. It hangs up when it is dropped, without a word.
struct Editor {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Whether this connection started the server.
    started: bool,
    /// Its own end of the dynamic forward.
    proxy: u16,
    /// The server's port and socket.
    port: u16,
    socket: String,
}

impl Editor {
    fn start(site: &Site, way: Way) -> Result<Self> {
        let proxy = Sshd::free_port()?;
        // Whoever was killed left it, and a new master wants a place of its own.
        let _ = fs::remove_file(site.path(&format!("mux-{way:?}")));
        let dynamic = format!("-D127.0.0.1:{proxy}");
        let mut ssh = ssh(site, way, &["-T", "-M", &socket(site, way), &dynamic, "-oExitOnForwardFailure=yes", "sh"])?;
        let mut process = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = process.stdin.take().context("its input")?;
        let output = BufReader::new(process.stdout.take().context("its output")?);
        let folder = site.path(&format!("editor-{way:?}"));
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
        let script = fs::read_to_string(format!("{scripts}/editor.sh"))?;
        writeln!(input, "FOLDER={}\nPROGRAM={scripts}/greeter.py\n{script}", text(&folder))?;
        let mut editor = Self { process, input, output, started: false, proxy, port: 0, socket: String::new() };
        let mut line = editor.line()?;
        editor.started = line == "started";
        if editor.started {
            line = editor.line()?;
        }
        ensure!(line == "Linux begins", "it says {line:?}");
        let line = editor.line()?;
        let marked = line.strip_prefix("listeningOn==").and_then(|rest| rest.strip_suffix("==")?.split_once("=="));
        let (port, socket) = marked.with_context(|| format!("it says {line:?}"))?;
        (editor.port, editor.socket) = (port.parse()?, socket.to_owned());
        ensure!(editor.line()? == "ends");
        Ok(editor)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Several talks at once, each way that an editor has to its server, while the shell goes on to answer.
    fn works(&mut self, site: &Site, way: Way) -> Result<()> {
        let (here, near) = (Sshd::free_port()?, site.path(&format!("near-{}", self.proxy)));
        // What it learns of later is forwarded on the same connection.
        for forward in [format!("-L127.0.0.1:{here}:{}", self.socket), format!("-L{}:{}", text(&near), self.socket)] {
            let mut order = ssh(site, way, &[&socket(site, way), "-Oforward", &forward])?;
            run(&mut order, LIMIT)?.ok().context(forward)?;
        }
        let (proxy, port) = (self.proxy, self.port);
        let talk = |number| {
            let bytes = noise(length(number));
            match number % 4 {
                0 => converse(dial_socks(proxy, "localhost", port)?, &bytes),
                1 => converse(dial_socks(proxy, "127.0.0.1", port)?, &bytes),
                2 => converse(dial(here)?, &bytes),
                _ => converse(dial_socket(&near)?, &bytes),
            }
        };
        thread::scope(|scope| {
            let talks: Vec<_> = (0..TALKS)
                .map(|number| {
                    scope.spawn({
                        let talk = &talk;
                        move || talk(number)
                    })
                })
                .collect();
            for beat in 0..100 {
                writeln!(self.input, "beat {beat}")?;
                let line = self.line()?;
                ensure!(line == format!("beat {beat}"), "it says {line:?}");
            }
            for (number, talk) in talks.into_iter().enumerate() {
                talk.join().map_err(|_| anyhow!("a panic"))?.with_context(|| format!("talk {number}"))?;
            }
            Ok(())
        })
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn length(number: usize) -> usize {
    number * 300_007
}

/// Who opened what, and how many bytes went each way.
fn told(site: &Site, grant: &str, session: &str, editor: &Editor) -> Result<()> {
    let of = |fact: &Value| field(fact, "session").is_ok_and(|of| of == session);
    let opened = facts_where(site, grant, "channel.opened", 1 + TALKS, of)?;
    ensure!(opened.iter().filter(|fact| fact.to_string().contains("\"exec\":{\"command\":\"sh\"}")).count() == 1);
    let closed = facts_where(site, grant, "channel.closed", TALKS, of)?;
    let number = |fact: &Value, name: &str| fact.get(name).and_then(Value::as_u64).with_context(|| format!("{fact}"));
    let mut lengths = Vec::new();
    for fact in &closed {
        let (channel, up, down) = (number(fact, "channel")?, number(fact, "bytes-in")?, number(fact, "bytes-out")?);
        ensure!(down == up + 6 + format!("bye {up}\n").len() as u64, "{fact}");
        ensure!(matches!(field(fact, "closed-by")?.as_str(), "person" | "target"), "{fact}");
        let opening = opened.iter().find(|fact| number(fact, "channel").is_ok_and(|of| of == channel));
        let opening = opening.with_context(|| format!("nothing opened {fact}"))?.to_string();
        let talk = (0..TALKS).find(|talk| length(*talk) as u64 == up).with_context(|| format!("nobody sent {fact}"))?;
        let to = match talk % 4 {
            0 => format!("\"to\":\"localhost:{}\"", editor.port),
            1 => format!("\"to\":\"127.0.0.1:{}\"", editor.port),
            _ => format!("\"to\":\"{}\"", editor.socket),
        };
        ensure!(opening.contains(&to), "{opening} is not {to}");
        lengths.push(talk);
    }
    lengths.sort_unstable();
    ensure!(lengths == (0..TALKS).collect::<Vec<_>>(), "{lengths:?}");
    Ok(())
}
