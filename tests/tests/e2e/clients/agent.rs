//! What the target asks of the person's own machine: their agent, and their screen.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Layout, Site, Sshd, Way, run, wait_for};

use super::dropbear::Dropbear;
use super::openssh::OpenSsh;
use super::putty::{Putty, host};
use super::scripted::Scripted;
use super::{Client as _, LIMIT, text};
use crate::ends::EVERY_FORWARD;
use crate::stock::facts_where;

#[test]
fn the_agent_of_each_client_answers_the_target() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let agent = Agent::start(&site)?;
    let listed = run(agent.at(&mut Command::new("ssh-add")).arg("-l"), LIMIT)?.ok()?.text();
    let openssh = OpenSsh { site: &site, config: None };
    let (putty, dropbear) = (Putty::new(&site)?, Dropbear::new(&site)?);
    let asyncssh = Scripted::asyncssh(&site).with_agent(&agent.socket)?;
    let paramiko = Scripted::paramiko(&site)?.with_agent(&agent.socket)?;
    let ssh2 = Scripted::ssh2(&site)?.with_agent(&agent.socket)?;
    let ask = "ssh-add -l";
    for way in Way::BOTH {
        let mut stock = openssh.stock("ssh");
        stock.args(["-A", &way.destination(&site)?, ask]);
        let mut plink = putty.program("plink", way);
        plink.args(["-A", host(way), ask]);
        let mut dbclient = dropbear.going(way, &["-A"]);
        dbclient.arg(ask);
        for (name, mut command) in [
            ("OpenSSH", stock),
            ("PuTTY", plink),
            ("dropbear", dbclient),
            ("asyncssh", asyncssh.run(way, ask)?),
            ("paramiko", paramiko.run(way, ask)?),
            ("ssh2", ssh2.run(way, ask)?),
        ] {
            let ran = run(agent.at(&mut command), LIMIT)?;
            ensure!(ran.text() == listed, "{name}, {way:?}: {ran:?}");
        }
    }
    facts_where(&site, &grant, "channel.opened", 12, |fact| fact.to_string().contains("\"forward\":\"agent\""))?;
    Ok(())
}

/// An agent with one key in it, which opens nothing.
struct Agent {
    _process: Background,
    socket: PathBuf,
}

impl Agent {
    fn start(site: &Site) -> Result<Self> {
        let (socket, key) = (site.path("agent"), site.path("agents-key"));
        let mut start = Command::new("ssh-agent");
        let mut process = Background::start("ssh-agent", start.arg("-D").arg("-a").arg(&socket), &site.path("log"))?;
        let agent = wait_for("the agent", LIMIT, || {
            process.check()?;
            Ok(socket.exists().then_some(()))
        });
        agent?;
        let agent = Self { _process: process, socket };
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), LIMIT)?.ok()?;
        run(agent.at(&mut Command::new("ssh-add")).arg(&key), LIMIT)?.ok()?;
        Ok(agent)
    }

    fn at<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("SSH_AUTH_SOCK", &self.socket)
    }
}

#[test]
fn a_window_of_the_target_comes_up_on_the_screen_of_each_client() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let cookie = site.path("cookie");
    // sshd gives the cookie to xauth, and the program that draws takes it from there.
    let xauth = site.web1.folder().join("xauth");
    fs::write(&xauth, format!("#!/bin/sh\ncat >> {}\n", text(&cookie)))?;
    fs::set_permissions(&xauth, fs::Permissions::from_mode(0o755))?;
    let display = screen()?;
    let draw = format!("python3 {}/clients/draw.py {}", env!("CARGO_MANIFEST_DIR"), text(&cookie));
    let (openssh, putty) = (OpenSsh { site: &site, config: None }, Putty::new(&site)?);
    for way in Way::BOTH {
        let mut stock = openssh.stock("ssh");
        stock.args(["-X", "-o", "ForwardX11Trusted=yes", &way.destination(&site)?, &draw]);
        let mut plink = putty.program("plink", way);
        plink.args(["-X", host(way), &draw]);
        for (name, mut command) in [("OpenSSH", stock), ("PuTTY", plink)] {
            let ran = run(command.env("DISPLAY", &display), LIMIT)?;
            ensure!(ran.text() == "drawn\n", "{name}, {way:?}: {ran:?}");
        }
    }
    facts_where(&site, &grant, "channel.opened", 4, |fact| fact.to_string().contains("\"forward\":{\"x11\""))?;
    Ok(())
}

/// A screen of the person's, and its name. It answers whoever begins as X begins (X11R6, "Connection Setup").
fn screen() -> Result<String> {
    let port = Sshd::free_port()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(show(stream))));
    // A display is a port from 6000 on.
    Ok(format!("127.0.0.1:{}.0", port.checked_sub(6000).context("the port is too low")?))
}

fn show(mut stream: TcpStream) -> Result<()> {
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let [order, _, _, _, _, _, name, _, data, ..] = head;
    ensure!(order == b'l', "no X");
    let padded = |length: u8| usize::from(length.next_multiple_of(4));
    stream.read_exact(&mut vec![0; padded(name) + padded(data)])?;
    Ok(stream.write_all(b"drawn\n")?)
}
