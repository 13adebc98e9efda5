//! A target that keeps to no rule, before it has proved who it is and behind that.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Sshd, tool, wait_for};

use super::{LIMIT, Siege, harmless, script};

/// What is offered where the proxy must give up long before: 64 MiB.
const ALL: usize = 64 << 20;

/// A site whose `web2` is asyncssh's server with manners of its own, and alice with a grant for it.
pub(super) struct Hostile {
    pub(super) siege: Siege,
    /// The grant for `root@web2`.
    pub(super) grant: String,
    _server: Background,
}

impl Hostile {
    pub(super) fn start() -> Result<Self> {
        let siege = Siege::start()?;
        let (folder, port) = (siege.site.path("web2"), Sshd::free_port()?);
        let host_key = Sshd::host_key(&folder)?;
        std::fs::write(folder.join("host_key-cert.pub"), siege.site.add_target("web2", port, &host_key)?)?;
        let mut server = Command::new(tool("python/bin/python3")?);
        server.arg(script("target.py")).arg(port.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
        server.arg(folder.join("host_key")).arg(siege.site.data().join("keys").join("user-ca.pub")).arg("root@web2");
        let mut server = Background::start("a hostile target", &mut server, &folder.join("log"))?;
        wait_for("the target", LIMIT, || {
            server.check()?;
            Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
        })?;
        let grant = siege.site.grant_for("root@web2", "30m")?;
        Ok(Self { siege, grant, _server: server })
    }
}

#[test]
fn garbage_before_the_log_in_is_a_failure_that_is_told() -> Result<()> {
    let siege = Siege::start()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let host_key = Sshd::host_key(&siege.site.path("web2"))?;
    siege.site.add_target("web2", listener.local_addr()?.port(), &host_key)?;
    let grant = siege.site.grant_for("root@web2", "30m")?;
    let version = |rest: &[u8]| [b"SSH-2.0-abuse\r\n".as_slice(), rest].concat();
    let cases = [
        ("nothing", Vec::new()),
        ("a line without an end", vec![b'x'; ALL]),
        ("lines without an end", b"\x1b[2Jhello\r\n".repeat(ALL / 11)),
        ("a version that draws", b"SSH-2.0-\x1b[2J\x07\r\n".to_vec()),
        ("noise", version(&crate::clients::noise(1 << 20))),
        ("a length of 4 GiB", version(&vec![0xff; ALL])),
        ("a key exchange without its end", version(&[0, 0, 4, 0, 4, 20, 1, 2, 3])),
        ("a farewell that draws", {
            let words = b"\x1b[2J\x1b]0;x\x07";
            let mut said = vec![0, 0, 0, 31, 4, 1, 0, 0, 0, 2, 0, 0, 0, 11];
            said.extend(words);
            said.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            version(&said)
        }),
    ];
    let (next, said) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        while let Ok(bytes) = said.recv() {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.write_all(&bytes);
        }
    });
    let count = cases.len();
    for (what, bytes) in cases {
        next.send(bytes)?;
        let ran = siege.site.alice.ssh(&["root@web2", "echo in"])?;
        ensure!(ran.status.code() == Some(255) && ran.text().is_empty(), "{what}: {ran:?}");
        ensure!(ran.stderr.contains("web2"), "{what}: {ran:?}");
        harmless(&ran.stderr).with_context(|| what.to_owned())?;
    }
    siege.every_end_is_a_fact(&grant, count)?;
    ensure!(!siege.site.log().contains("\x1b[2J"), "an escape sequence is in the log");
    siege.stands()
}

#[test]
fn garbage_behind_the_log_in_ends_its_session_and_nothing_else() -> Result<()> {
    let hostile = Hostile::start()?;
    let site = &hostile.siege.site;
    // What cannot be read ends the connection; what may be passed over is, or ends it too.
    let cases: [(&str, &[i32]); 11] = [
        ("noise", &[255]),
        ("oversized", &[255]),
        ("beyond_its_packet", &[255]),
        ("without_its_end", &[255]),
        ("a_status_without_a_number", &[255]),
        ("beyond_the_window", &[255]),
        ("a_window_beyond_all_bounds", &[7, 255]),
        ("for_no_channel", &[7, 255]),
        ("that_nobody_knows", &[7, 255]),
        ("openings", &[255]),
        ("requests", &[255]),
    ];
    for (what, wanted) in cases {
        // Nobody reads what it prints for a while, so what is more than its window has nowhere to go.
        let mut command = site.alice.stock("ssh", &["root@web2", what]);
        let mut ssh = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut printed = ssh.stdout.take().context("its output")?;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(5));
            let _ = std::io::copy(&mut printed, &mut std::io::sink());
        });
        let ended = wait_for(what, Duration::from_secs(60), || Ok(ssh.try_wait()?));
        let _ = ssh.kill();
        let _ = ssh.wait();
        let code = ended.with_context(|| site.log())?.code();
        ensure!(code.is_some_and(|code| wanted.contains(&code)), "{what}: {code:?}\n{}", site.log());
    }
    hostile.siege.every_end_is_a_fact(&hostile.grant, cases.len())?;
    hostile.siege.stands()
}

#[test]
fn a_host_that_changes_its_key_mid_way_is_left() -> Result<()> {
    let hostile = Hostile::start()?;
    let ran = hostile.siege.site.alice.ssh(&["root@web2", "another_key"])?;
    ensure!(ran.status.code() == Some(255) && !ran.text().contains("BEHIND"), "{ran:?}");
    hostile.siege.every_end_is_a_fact(&hostile.grant, 1)?;
    hostile.siege.stands()
}
