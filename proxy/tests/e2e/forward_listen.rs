//! What the target passes on to the person: `-R`, the agent, X11.

use std::path::Path;
use std::process::Stdio;

use model::{CertificateExtension, ClosedBy, Forward};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::authority::Grant;
use crate::client::{WAYS, Way, finish, place, run, shown, text, until};
use crate::forward::{background, converse, end_of, forwards, greeter, refused};
use crate::sshd::{Proof, Sshd, write};
use crate::world::{HOUR, World};

/// Lets the target of a grant listen there.
fn listens(grant: &mut Grant, ends: &[&str]) {
    grant.obligations.carriage.permit_listen.extend(ends.iter().map(|end| end.parse().unwrap()));
    grant.obligations.extensions.insert(CertificateExtension::PortForwarding);
}

/// A master connection, to which forwards are added and from which they are taken.
struct Master {
    config: std::path::PathBuf,
    socket: String,
    place: String,
    child: Child,
}

impl Master {
    async fn start(world: &World, way: Way) -> Self {
        let alice = world.person("alice");
        let config = alice.config("");
        let socket = world.folder.path().join(format!("master-{way:?}")).display().to_string();
        let place = place(way, "root", "web1");
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&config).args(["-M", "-N", "-S", &socket, &place]);
        let child = ssh.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        until("the master listens", || Path::new(&socket).exists()).await;
        Self { config, socket, place, child }
    }

    /// `ssh -O`; what it said.
    async fn order(&self, order: &str, forward: &[&str]) -> (bool, String) {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.config).args(["-S", &self.socket, "-O", order]).args(forward).arg(&self.place);
        let output = finish(ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())).await;
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_targets_choice_is_told_used_and_given_back() {
    for way in WAYS {
        let world = World::new().await;
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| listens(grant, &["localhost:*"]));
        let here = greeter().await;
        let mut master = Master::start(&world, way).await;
        let (granted, said) = master.order("forward", &["-R", &format!("0:127.0.0.1:{here}")]).await;
        assert!(granted, "{said}");
        let port: u16 = said.trim().parse().unwrap_or_else(|_| panic!("{way:?}: {said:?}"));
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let from = stream.local_addr().unwrap().to_string();
        converse(&mut stream, "ping\n").await;
        drop(stream);
        let at = format!("localhost:{port}");
        let closed = end_of(&world, 1).await;
        assert_eq!((closed.bytes_in, closed.bytes_out), (17, 5), "{way:?}");
        let expected = [Forward::Listener { at: at.clone() }, Forward::Forwarded { at: at.clone(), from: Some(from) }];
        assert_eq!(forwards(&world), [(0, expected[0].clone()), (1, expected[1].clone())], "{way:?}");
        let (granted, said) = master.order("cancel", &["-R", &format!("0:127.0.0.1:{here}")]).await;
        assert!(granted, "{said}");
        assert_eq!(end_of(&world, 0).await.closed_by, Some(ClosedBy::Person), "{way:?}");
        until("nobody listens there", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
        // Anywhere else nobody listens.
        let (granted, _) = master.order("forward", &["-R", &format!("*:0:127.0.0.1:{here}")]).await;
        assert!(!granted);
        refused(&world, "a listener on *:0", "@permit_listen").await;
        // What is still there goes with the session.
        let (granted, said) = master.order("forward", &["-R", &format!("0:127.0.0.1:{here}")]).await;
        assert!(granted, "{said}");
        master.child.kill().await.unwrap();
        assert_eq!(end_of(&world, 2).await.closed_by, Some(ClosedBy::Session), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_on_the_target_leads_to_the_person() {
    for way in WAYS {
        let world = World::new().await;
        let path = world.folder.path().join("back.sock").display().to_string();
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| listens(grant, &[&path]));
        let here = greeter().await;
        let alice = world.person("alice");
        let mut ssh = background(&alice, way, &["-R", &format!("{path}:127.0.0.1:{here}")]);
        until("the target listens", || Path::new(&path).exists()).await;
        converse(&mut UnixStream::connect(&path).await.unwrap(), "ping\n").await;
        end_of(&world, 1).await;
        let expected = [Forward::Listener { at: path.clone() }, Forward::Forwarded { at: path.clone(), from: None }];
        assert_eq!(forwards(&world), [(0, expected[0].clone()), (1, expected[1].clone())], "{way:?}");
        ssh.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_listen_nowhere_is_told_in_the_terminal() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut ssh = alice.ssh(Way::Plus, "root", "web1", &["-tt", "-o", "LogLevel=INFO", "-R", "8080:127.0.0.1:1"]);
    let output = finish(ssh.arg("echo in")).await;
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("portcullis: a listener on localhost:8080 is refused") && said.contains("in\r\n"), "{said}");
    assert!(said.contains("remote port forwarding failed for listen port 8080"), "{said}");
}

/// An agent of the person's with one key in it; its socket, and what it says of the key.
async fn agent(world: &World) -> (Child, String, String) {
    let socket = world.folder.path().join("agent.sock").display().to_string();
    let child = Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the agent listens", || Path::new(&socket).exists()).await;
    let key = world.folder.path().join("agent-key").display().to_string();
    let made = run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &key]).await;
    assert!(made.status.success(), "{}", shown(&made));
    let with_agent = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument).env("SSH_AUTH_SOCK", &socket).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let added = finish(&mut with_agent("ssh-add", &key)).await;
    assert!(added.status.success(), "{}", shown(&added));
    let listed = finish(&mut with_agent("ssh-add", "-l")).await;
    (child, socket, text(&listed.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_answers_the_target_where_the_path_has_it() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let (_agent, socket, listed) = agent(&world).await;
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let own = format!("IdentityAgent={socket}");
        let ask = ["-A", "-o", own.as_str()];
        let words = "echo [${SSH_AUTH_SOCK:+agent}]; ssh-add -l; ssh-add -l >/dev/null";
        let output = finish(alice.ssh(way, "root", "web1", &ask).arg(words)).await;
        assert!(text(&output.stdout).starts_with("[]\n"), "the default is no: {}", shown(&output));
        refused(&world, "agent forwarding", "permit-agent-forwarding").await;
        world.authority.end_grant(&grant.id, model::GrantEnd::Expired, "alice");

        let has = |grant: &mut Grant| {
            grant.obligations.extensions.insert(CertificateExtension::AgentForwarding);
        };
        world.authority.grant_with("alice", "root", "web1", HOUR, has);
        let output = finish(alice.ssh(way, "root", "web1", &ask).arg(words)).await;
        assert_eq!(text(&output.stdout), format!("[agent]\n{listed}"), "{way:?} {}", shown(&output));
        until("two questions are in the ledger", || forwards(&world).len() == 2).await;
        assert!(forwards(&world).iter().all(|(_, forward)| *forward == Forward::Agent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_the_target_comes_up_on_the_persons_screen() {
    let world = World::new().await;
    // No X server and no xauth: the cookie is put into a file, from which the program on the target takes it.
    let folder = world.folder.path();
    let (xauth, cookie) = (folder.join("xauth"), folder.join("cookie"));
    write(&xauth, &format!("#!/bin/sh\ncat >> {}\n", cookie.display()), 0o755);
    let more = format!("X11Forwarding yes\nXAuthLocation {}\n", xauth.display());
    let sshd = Sshd::start(folder, &world.authority, Proof::Certificate("web1"), "web1", &more).await;
    world.authority.add_target("web1", &[format!("127.0.0.1:{}", sshd.port)], &[]);
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
        grant.obligations.extensions.insert(CertificateExtension::X11Forwarding);
    });
    let screen = loop {
        // A display is a port from 6000 on.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if listener.local_addr().unwrap().port() > 6000 {
            break listener;
        }
    };
    let display = format!("127.0.0.1:{}.0", screen.local_addr().unwrap().port() - 6000);
    let showing = tokio::spawn(async move {
        loop {
            let (mut stream, _) = screen.accept().await.unwrap();
            let mut asked = [0; 48];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!((asked[0], &asked[12..30]), (b'l', &b"MIT-MAGIC-COOKIE-1"[..]));
            stream.write_all(b"drawn\n").await.unwrap();
        }
    });
    // The beginning of the X protocol, with the cookie that the target was given.
    let program = folder.join("program");
    let text_of_it = format!(
        "cookie=$(sed -n 's/.*MIT-MAGIC-COOKIE-1 //p' {} | tail -n 1)\n\
         display=${{DISPLAY##*:}}\n\
         exec 3<>/dev/tcp/127.0.0.1/$((6000 + ${{display%%.*}}))\n\
         printf 'l\\0\\013\\0\\0\\0\\022\\0\\020\\0\\0\\0MIT-MAGIC-COOKIE-1\\0\\0' >&3\n\
         printf \"$(echo $cookie | sed 's/../\\\\x&/g')\" >&3\n\
         head -n 1 <&3\n",
        cookie.display()
    );
    write(&program, &text_of_it, 0o644);
    let words = format!("bash {}", program.display());
    let alice = world.person("alice");
    for way in WAYS {
        let mut ssh = alice.ssh(way, "root", "web1", &["-X", "-o", "ForwardX11Trusted=yes"]);
        let output = finish(ssh.env("DISPLAY", &display).arg(&words)).await;
        assert_eq!(text(&output.stdout), "drawn\n", "{way:?} {}", shown(&output));
    }
    assert_eq!(forwards(&world).len(), 2);
    assert!(forwards(&world).iter().all(|(_, forward)| matches!(forward, Forward::X11 { .. })));
    assert!(!showing.is_finished(), "every question was one of X");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_costs_nobody_their_connection() {
    let world = World::new().await;
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| listens(grant, &["localhost:*"]));
    let alice = world.person("alice");
    let config = alice.config("ServerAliveInterval 3\n  ServerAliveCountMax 2");
    let socket = world.folder.path().join("master").display().to_string();
    let place = place(Way::Plus, "root", "web1");
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&config).args(["-M", "-S", &socket, &place, "echo $PPID; exec cat"]);
    let mut master = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(master.stdout.take().unwrap()));
    let server = lines.next_line().await.unwrap().unwrap();
    until("the master listens", || Path::new(&socket).exists()).await;
    // The target's side of this connection stops in its tracks.
    let frozen = Frozen::new(&server);

    let begin = std::time::Instant::now();
    let order = |forward: &'static str| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&config).args(["-S", &socket, "-O", "forward", "-R", forward, &place]);
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        tokio::spawn(async move { finish(&mut ssh).await })
    };
    let orders = [order("0:127.0.0.1:1"), order("0:127.0.0.1:2"), order("0:127.0.0.1:3")];
    for refused in orders {
        let refused = refused.await.unwrap();
        assert!(!refused.status.success(), "{}", shown(&refused));
    }
    assert!(begin.elapsed().as_secs() < 9, "they wait for each other: {:?}", begin.elapsed());
    refused(&world, "a listener on localhost:0", "did not answer").await;
    assert!(master.try_wait().unwrap().is_none(), "she was thrown out");

    // What comes about too late is taken back, and the next is served.
    drop(frozen);
    let granted = order("0:127.0.0.1:4").await.unwrap();
    assert!(granted.status.success(), "{}", shown(&granted));
    assert_eq!(forwards(&world).len(), 1, "one listener is hers");
    master.kill().await.unwrap();
}

/// A process that is stopped until this goes.
struct Frozen(String);

impl Frozen {
    fn new(process: &str) -> Self {
        signal("-STOP", process);
        Self(process.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(which: &str, process: &str) {
    let sent = std::process::Command::new("kill").args([which, process]).status().unwrap();
    assert!(sent.success(), "{which} {process}");
}
