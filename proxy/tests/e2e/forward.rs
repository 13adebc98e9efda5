//! Connections of the person's through the target: `-L`, `-D`, `-W`.

use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use api::wire::SessionReport;
use model::{CertificateExtension, ChannelEnd, ChannelKind, ClosedBy, Forward, RecordingMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::process::Child;
use tokio::time::timeout;

use crate::authority::Grant;
use crate::client::{WAYS, Way, finish, shown, text, until, wait};
use crate::world::{HOUR, Person, World};

pub const SOON: Duration = Duration::from_secs(30);

/// Lets a grant connect to these ends from its target.
pub fn opens(grant: &mut Grant, ends: &[&str]) {
    grant.obligations.carriage.permit_open.extend(ends.iter().map(|end| end.parse().unwrap()));
    grant.obligations.extensions.insert(CertificateExtension::PortForwarding);
}

/// A server that speaks first, echoes what it is sent, and says how much that was.
pub async fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, write) = stream.into_split();
            tokio::spawn(greet(read, write));
        }
    });
    port
}

async fn greet(mut read: impl AsyncReadExt + Unpin, mut write: impl AsyncWriteExt + Unpin) {
    write.write_all(b"hello\n").await.unwrap();
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    while let Ok(taken @ 1..) = read.read(&mut buffer).await {
        count += taken;
        if write.write_all(&buffer[..taken]).await.is_err() {
            return;
        }
    }
    let _ = write.write_all(format!("bye {count}\n").as_bytes()).await;
    let _ = write.shutdown().await;
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    // None of those that the kernel gives to outgoing connections, of which one would take it in between.
    let start = 4_000 + u16::try_from(std::process::id() % 4_000).unwrap();
    std::iter::repeat_with(|| start + CALLS.fetch_add(1, Ordering::Relaxed))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// `ssh -N` with these options, in the background.
pub fn background(person: &Person, way: Way, options: &[&str]) -> Child {
    let mut ssh = person.ssh(way, "root", "web1", &["-N", "-o", "ExitOnForwardFailure=yes"]);
    ssh.args(options).spawn().unwrap()
}

/// Connects as soon as somebody listens.
pub async fn connect(port: u16) -> TcpStream {
    let connecting = async {
        loop {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(SOON, connecting).await.expect("somebody listens")
}

/// Greets, sends, ends its own direction, and reads to the end.
pub async fn converse(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), word: &str) {
    let talk = async {
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello\n", "the server's first bytes arrive before ours");
        stream.write_all(word.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, format!("{word}bye {}\n", word.len()), "what comes behind our end arrives too");
    };
    timeout(SOON, talk).await.expect("it answers");
}

/// The forwards that the ledger has, in order.
pub fn forwards(world: &World) -> Vec<(u32, Forward)> {
    let opened = |report: SessionReport| match report {
        SessionReport::ChannelOpened { channel, channel_kind: ChannelKind::Forward(forward), .. } => {
            Some((channel, forward))
        }
        _ => None,
    };
    world.authority.reports().into_iter().filter_map(opened).collect()
}

/// How a channel ended.
pub async fn end_of(world: &World, number: u32) -> ChannelEnd {
    let closed = |report: &SessionReport| match report {
        SessionReport::ChannelClosed { channel, end } if *channel == number => Some(end.clone()),
        _ => None,
    };
    world.authority.wait_for("the end of a forward", closed).await
}

/// What was refused, with the reasons.
pub fn refusals(world: &World) -> Vec<(String, String)> {
    let refused = |report: SessionReport| match report {
        SessionReport::ChannelRefused { asked, reason } => Some((asked, reason)),
        _ => None,
    };
    world.authority.reports().into_iter().filter_map(refused).collect()
}

/// A refusal, once the ledger has it.
pub async fn refused(world: &World, what: &str, why: &str) {
    let there = || refusals(world).iter().any(|(asked, reason)| asked.contains(what) && reason.contains(why));
    until(&format!("{what} is refused: {why}"), there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_without_any_session_channel() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let there = greeter().await;
        let end = format!("127.0.0.1:{there}");
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &[&end]));
        let here = free_port();
        let mut ssh = background(&alice, way, &["-L", &format!("127.0.0.1:{here}:{end}")]);
        let mut stream = connect(here).await;
        let from = stream.local_addr().unwrap().to_string();
        converse(&mut stream, "ping\n").await;
        drop(stream);
        let closed = end_of(&world, 0).await;
        assert_eq!(forwards(&world), [(0, Forward::Direct { to: end.clone(), from: Some(from) })], "{way:?}");
        // The greeting, the echo and the farewell.
        assert_eq!((closed.bytes_in, closed.bytes_out), (5, 6 + 5 + 6), "{way:?}");
        assert!(matches!(closed.closed_by, Some(ClosedBy::Person | ClosedBy::Target)), "{way:?}: {closed:?}");
        assert!(world.recordings().is_empty(), "nothing is recorded");
        ssh.kill().await.unwrap();
        world.authority.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_and_a_jump_further_on_go_through() {
    let world = World::new().await;
    let alice = world.person("alice");
    let there = greeter().await;
    let ends = [format!("localhost:{there}"), format!("127.0.0.1:{}", world.sshd.port)];
    let ends = [ends[0].as_str(), ends[1].as_str()];
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &ends));
    for way in WAYS {
        let mut child = alice.ssh(way, "root", "web1", &["-W", ends[0]]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"ping\n").await.unwrap();
        drop(stdin);
        let output = wait(child).await;
        assert_eq!(text(&output.stdout), "hello\nping\nbye 5\n", "{way:?} {}", shown(&output));
        // What `ssh -J web1 elsewhere` does: an SSH server behind the target answers.
        let mut ssh = alice.ssh(way, "root", "web1", &["-W", ends[1]]);
        let mut child = ssh.stdin(Stdio::piped()).spawn().unwrap();
        let mut banner = vec![0; 15];
        timeout(SOON, child.stdout.as_mut().unwrap().read_exact(&mut banner)).await.unwrap().unwrap();
        assert_eq!(text(&banner), "SSH-2.0-OpenSSH", "{way:?}");
    }
}

/// A connection through a SOCKS5 proxy (RFC 1928) to a named host; `false` when it refuses.
async fn socks(port: u16, host: &str, to: u16) -> Option<TcpStream> {
    let mut stream = connect(port).await;
    let talk = async {
        stream.write_all(&[5, 1, 0]).await.unwrap();
        let mut method = [0; 2];
        stream.read_exact(&mut method).await.unwrap();
        assert_eq!(method, [5, 0]);
        let mut ask = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
        ask.extend_from_slice(host.as_bytes());
        ask.extend_from_slice(&to.to_be_bytes());
        stream.write_all(&ask).await.unwrap();
        let mut reply = [0; 10];
        // OpenSSH says yes before it has asked, and hangs up if it was told no.
        stream.read_exact(&mut reply).await.is_ok() && reply[1] == 0
    };
    timeout(SOON, talk).await.unwrap().then_some(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_forward_is_judged_by_each_destination() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let (there, other) = (greeter().await, greeter().await);
        let end = format!("localhost:{there}");
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &[&end]));
        let here = free_port();
        let _ssh = background(&alice, way, &["-D", &format!("127.0.0.1:{here}")]);
        converse(&mut socks(here, "localhost", there).await.unwrap(), "one").await;
        // Not the same name, not the same port: the target would resolve the name, and we do not.
        for (host, port) in [("127.0.0.1", there), ("localhost", other)] {
            if let Some(mut stream) = socks(here, host, port).await {
                let mut nothing = Vec::new();
                let _ = timeout(SOON, stream.read_to_end(&mut nothing)).await.expect("it hangs up");
                assert_eq!(nothing, b"", "{way:?} {host}:{port}");
            }
            refused(&world, &format!("a connection to {host}:{port}"), "@permit_open").await;
        }
        converse(&mut socks(here, "localhost", there).await.unwrap(), "two").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_the_target_is_forwarded() {
    let world = World::new().await;
    let alice = world.person("alice");
    let path = world.folder.path().join("app.sock").display().to_string();
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, write) = stream.into_split();
            tokio::spawn(greet(read, write));
        }
    });
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &[&path]));
    for way in WAYS {
        let here = free_port();
        let _ssh = background(&alice, way, &["-L", &format!("127.0.0.1:{here}:{path}")]);
        converse(&mut connect(here).await, "ping").await;
    }
    assert_eq!(forwards(&world).len(), 2);
    assert_eq!(forwards(&world)[0].1, Forward::Direct { to: path, from: None });
    let here = free_port();
    let _ssh = background(&alice, Way::Plus, &["-L", &format!("127.0.0.1:{here}:/run/docker.sock")]);
    let mut nothing = Vec::new();
    let _ = timeout(SOON, connect(here).await.read_to_end(&mut nothing)).await.expect("it hangs up");
    assert_eq!(nothing, b"");
    refused(&world, "a connection to /run/docker.sock", "@permit_open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why_and_so_does_a_target_that_cannot_connect() {
    let world = World::new().await;
    let alice = world.person("alice");
    let dead = free_port();
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &[&format!("127.0.0.1:{dead}")]));
    for way in WAYS {
        let loud = |to: &str| vec!["-o".to_owned(), "LogLevel=INFO".to_owned(), "-W".to_owned(), to.to_owned()];
        let output = finish(alice.ssh(way, "root", "web1", &[]).args(loud("127.0.0.1:22"))).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(255), "{said}");
        assert!(
            said.contains("administratively prohibited: portcullis: a connection to 127.0.0.1:22 is ref"),
            "{said}"
        );
        assert!(said.contains("@permit_open") && said.contains("portcullis policy explain root@web1"), "{said}");
        let output = finish(alice.ssh(way, "root", "web1", &[]).args(loud(&format!("127.0.0.1:{dead}")))).await;
        let said = text(&output.stderr);
        assert!(said.contains("connect failed: portcullis: web1 says: Connection refused"), "{said}");
    }
    refused(&world, &format!("a connection to 127.0.0.1:{dead}"), "web1 says: Connection refused").await;
    refused(&world, "a connection to 127.0.0.1:22", "@permit_open").await;
    assert_eq!(forwards(&world), [], "nothing came about");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_round_a_recorder_or_beside_one_exact_command() {
    for (change, why) in [
        (
            (|grant| grant.obligations.recording = RecordingMode::Only) as fn(&mut Grant),
            "only what is recorded may pass",
        ),
        (|grant| grant.command = Some("true".into()), "allows one exact command: true"),
    ] {
        let world = World::new().await;
        let alice = world.person("alice");
        let there = greeter().await;
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
            opens(grant, &["*:*"]);
            grant.obligations.carriage.permit_listen.insert("*:*".parse().unwrap());
            grant.obligations.extensions.insert(CertificateExtension::AgentForwarding);
            grant.obligations.extensions.insert(CertificateExtension::X11Forwarding);
            change(grant);
        });
        for way in WAYS {
            let mut ssh = alice.ssh(way, "root", "web1", &["-o", "LogLevel=INFO"]);
            let output = finish(ssh.args(["-W", &format!("127.0.0.1:{there}")])).await;
            assert!(text(&output.stderr).contains(why), "{}", shown(&output));
            let failing = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
            let output = finish(alice.ssh(way, "root", "web1", &failing).arg("true")).await;
            assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
        }
        refused(&world, "a listener on localhost:0", why).await;
        assert_eq!(forwards(&world), []);
    }
}
