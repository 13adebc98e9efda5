//! Forwards with every client that has them: each kind of its own, all on one connection, through both ways in. A server
//! that speaks first is at the end of each.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Layout, Site, Sshd, Way, wait_for};
use serde_json::{Value, json};

use super::dropbear::Dropbear;
use super::openssh::OpenSsh;
use super::putty::{Putty, host};
use super::scripted::Scripted;
use super::{LIMIT, noise, text};
use crate::ends::{EVERY_FORWARD, Greeter, converse, dial, dial_socket, dial_socks};
use crate::stock::{facts, facts_where};

/// What is said through each forward: more than a packet, less than a window.
const TALK: usize = 300_000;

#[test]
fn every_client_forwards_what_it_can() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let greeter = Greeter::start(site.path("greeter"))?;
    let openssh = OpenSsh { site: &site, config: None };
    let (putty, dropbear) = (Putty::new(&site)?, Dropbear::new(&site)?);
    let (asyncssh, paramiko) = (Scripted::asyncssh(&site), Scripted::paramiko(&site)?);
    let ssh2 = Scripted::ssh2(&site)?;
    let clients: [(&str, &dyn Forwarder); 6] = [
        ("OpenSSH", &openssh),
        ("PuTTY", &putty),
        ("asyncssh", &asyncssh),
        ("paramiko", &paramiko),
        ("dropbear", &dropbear),
        ("ssh2", &ssh2),
    ];
    for (number, (name, client)) in clients.into_iter().enumerate() {
        for way in Way::BOTH {
            let ends = Ends::new(&site, &greeter, &format!("{number}-{way:?}"))?;
            forwards(&site, client, way, &ends).with_context(|| format!("{name}, {way:?}"))?;
        }
    }
    told(&site, &grant, &greeter)
}

/// A kind of forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `-L`, to a port.
    Local,
    /// `-D`
    Dynamic,
    /// `-R`, from a port of the person's choice.
    Remote,
    /// `-R 0`, from a port of the target's choice.
    RemoteAny,
    /// `-L`, from a socket to a socket.
    LocalSocket,
    /// `-R`, likewise.
    RemoteSocket,
}

/// Where the forwards of one connection begin, and where all of them end.
struct Ends<'a> {
    greeter: &'a Greeter,
    local: u16,
    dynamic: u16,
    remote: u16,
    near: PathBuf,
    far: PathBuf,
}

impl<'a> Ends<'a> {
    fn new(site: &Site, greeter: &'a Greeter, name: &str) -> Result<Self> {
        let (local, dynamic, remote) = (Sshd::free_port()?, Sshd::free_port()?, Sshd::free_port()?);
        let socket = |side: &str| site.path(&format!("{side}-{name}"));
        Ok(Self { greeter, local, dynamic, remote, near: socket("near"), far: socket("far") })
    }

    /// To the greeter's port.
    fn there(&self) -> String {
        format!("127.0.0.1:{}", self.greeter.port)
    }
}

/// A client that can forward.
trait Forwarder {
    /// What it can.
    fn kinds(&self) -> &'static [Kind];

    /// Forwards all of that, and stays. Of a port that the target chose it says "Allocated port …".
    fn forward(&self, way: Way, ends: &Ends<'_>) -> Result<Command>;
}

/// Through each of them at once.
fn forwards(site: &Site, client: &dyn Forwarder, way: Way, ends: &Ends<'_>) -> Result<()> {
    let log = site.path(&format!("forwards-{}.log", ends.local));
    let mut live = Background::start("the client", &mut client.forward(way, ends)?, &log)?;
    let bytes = noise(TALK);
    let talk = |kind: &Kind, live: &mut Background| match kind {
        Kind::Local => converse(dial(ends.local)?, &bytes),
        Kind::Dynamic => converse(dial_socks(ends.dynamic, "localhost", ends.greeter.port)?, &bytes),
        Kind::Remote => converse(dial(ends.remote)?, &bytes),
        Kind::RemoteAny => converse(dial(allocated(live)?)?, &bytes),
        Kind::LocalSocket => converse(dial_socket(&ends.near)?, &bytes),
        Kind::RemoteSocket => converse(dial_socket(&ends.far)?, &bytes),
    };
    for kind in client.kinds() {
        talk(kind, &mut live).with_context(|| format!("{kind:?}:\n{}", live.log()))?;
    }
    live.check()
}

/// The port that the target chose, once the client says so.
fn allocated(live: &mut Background) -> Result<u16> {
    wait_for("the port", LIMIT, || {
        live.check()?;
        let log = live.log();
        let port =
            log.split_once("Allocated port ").and_then(|(_, rest)| rest.split_once(|c: char| !c.is_ascii_digit()));
        Ok(port.and_then(|(port, _)| port.parse().ok()))
    })
}

/// The ledger has each of them, with its bytes.
fn told(site: &Site, grant: &str, greeter: &Greeter) -> Result<()> {
    // Each client was ended, and its listeners with it.
    facts_where(site, grant, "session.ended", 12, |_| true)?;
    let (opened, closed) = (facts(site, grant, "channel.opened")?, facts(site, grant, "channel.closed")?);
    // The client of one direction is the server of the other.
    let (said, heard) = (TALK as u64, (6 + TALK + format!("bye {TALK}\n").len()) as u64);
    for (part, count, truth) in [
        (format!("\"to\":\"127.0.0.1:{}\"", greeter.port), 12, (said, heard)),
        (format!("\"to\":\"localhost:{}\"", greeter.port), 6, (said, heard)),
        (format!("\"to\":\"{}\"", text(&greeter.socket)), 6, (said, heard)),
        ("\"forwarded\":{\"at\":\"localhost:".to_owned(), 14, (heard, said)),
        (format!("\"forwarded\":{{\"at\":\"{}", text(&site.path("far"))), 6, (heard, said)),
    ] {
        let of_this_kind: Vec<_> = opened.iter().filter(|fact| fact.to_string().contains(&part)).collect();
        ensure!(of_this_kind.len() == count, "{part}: {} and not {count}: {opened:#?}", of_this_kind.len());
        for fact in of_this_kind {
            let same = |closed: &&Value| ["session", "channel"].iter().all(|name| closed.get(name) == fact.get(name));
            let end = closed.iter().find(same).with_context(|| format!("it never ended: {fact}"))?;
            let number = |name: &str| end.get(name).and_then(Value::as_u64).with_context(|| format!("{end}"));
            ensure!((number("bytes-in")?, number("bytes-out")?) == truth, "{fact}: {end}, and not {truth:?}");
        }
    }
    let refused = facts(site, grant, "channel.refused")?;
    ensure!(refused.is_empty(), "{refused:#?}");
    Ok(())
}

impl Forwarder for OpenSsh<'_> {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Local, Kind::Dynamic, Kind::Remote, Kind::RemoteAny, Kind::LocalSocket, Kind::RemoteSocket]
    }

    fn forward(&self, way: Way, ends: &Ends<'_>) -> Result<Command> {
        let (there, socket) = (ends.there(), text(&ends.greeter.socket));
        let mut ssh = self.stock("ssh");
        ssh.args(["-N", "-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=INFO"]);
        ssh.args(["-L", &format!("127.0.0.1:{}:{there}", ends.local), "-D", &format!("127.0.0.1:{}", ends.dynamic)]);
        ssh.args(["-R", &format!("{}:{there}", ends.remote), "-R", &format!("0:{there}")]);
        ssh.args(["-L", &format!("{}:{socket}", text(&ends.near)), "-R", &format!("{}:{socket}", text(&ends.far))]);
        ssh.arg(way.destination(self.site)?);
        Ok(ssh)
    }
}

impl Forwarder for Putty<'_> {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Local, Kind::Dynamic, Kind::Remote]
    }

    fn forward(&self, way: Way, ends: &Ends<'_>) -> Result<Command> {
        let mut plink = self.program("plink", way);
        plink.args(["-N", "-L", &format!("127.0.0.1:{}:{}", ends.local, ends.there())]);
        plink.args(["-D", &format!("127.0.0.1:{}", ends.dynamic)]);
        plink.args(["-R", &format!("{}:{}", ends.remote, ends.there()), host(way)]);
        Ok(plink)
    }
}

impl Forwarder for Dropbear<'_> {
    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Local, Kind::Remote]
    }

    fn forward(&self, way: Way, ends: &Ends<'_>) -> Result<Command> {
        let local = format!("127.0.0.1:{}:{}", ends.local, ends.there());
        let remote = format!("{}:{}", ends.remote, ends.there());
        Ok(self.going(way, &["-N", "-L", &local, "-R", &remote]))
    }
}

impl Forwarder for Scripted<'_> {
    fn kinds(&self) -> &'static [Kind] {
        match self.name() {
            "asyncssh" => &[Kind::Local, Kind::Dynamic, Kind::RemoteAny, Kind::LocalSocket, Kind::RemoteSocket],
            "paramiko" => &[Kind::Local, Kind::RemoteAny],
            _ => &[Kind::Local, Kind::RemoteAny, Kind::LocalSocket, Kind::RemoteSocket],
        }
    }

    fn forward(&self, way: Way, ends: &Ends<'_>) -> Result<Command> {
        let Ends { greeter, local, dynamic, near, far, .. } = ends;
        let ends = json!({
            "port": greeter.port, "socket": greeter.socket,
            "local": local, "dynamic": dynamic, "near": near, "far": far,
        });
        self.call(way, &["forward", &ends.to_string()])
    }
}
