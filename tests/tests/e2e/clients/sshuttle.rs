//! sshuttle: a network reached through one command's two ends. The real client, which needs a firewall to redirect what it
//! carries, has one in a network namespace of its own; the network behind the target is another namespace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Site, Way, run, text as field, tool, wait_for};

use super::{BOUND, LIMIT, text};
use crate::stock::{facts_where, ssh};

/// The network behind the target, and who is in it.
const NETWORK: &str = "10.77.0.0/24";
const BEHIND: &str = "10.77.0.1";

#[test]
fn sshuttle() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let behind = Behind::start(&site)?;
    let mut live = Vec::new();
    for (number, way) in (1..).zip(Way::BOTH) {
        let tunnel = start(&site, way, &behind)?;
        // Hundreds of short talks, bursts both ways at once, and a single byte.
        for talk in ["many", "large", "single"] {
            let talked = run(&mut behind.talk(&tunnel, talk), LIMIT)?.ok();
            talked.with_context(|| format!("{talk}, {way:?}:\n{}", tunnel.log()))?;
        }
        facts_where(&site, &grant, "session.opened", number, |_| true)?;
        live.push(tunnel);
    }
    site.bob.portcullis(&["revoke", &grant, "--reason", "enough"])?.ok()?;
    for mut tunnel in live {
        // It may miss the end of its ssh until somebody wants to go through.
        let status = wait_for("the end of sshuttle", BOUND, || {
            run(&mut behind.talk(&tunnel, "knock"), LIMIT)?;
            Ok(tunnel.end(Duration::from_millis(200)).ok())
        });
        let status = status.with_context(|| tunnel.log())?;
        ensure!(!status.success(), "it ended well:\n{}", tunnel.log());
    }
    // All that it carried was two commands, whose bytes are counted.
    let opened = facts_where(&site, &grant, "channel.opened", 2, |_| true)?;
    ensure!(opened.iter().all(|fact| fact.to_string().contains("assembler.py")), "{opened:#?}");
    for closed in facts_where(&site, &grant, "session.ended", 2, |_| true)? {
        ensure!(closed.to_string().contains("revoked"), "{closed}");
        field(&closed, "session")?;
    }
    Ok(())
}

/// The network behind the target.
struct Behind {
    process: Background,
    port: u16,
}

impl Behind {
    fn start(site: &Site) -> Result<Self> {
        let folder = site.path("behind");
        fs::create_dir(&folder)?;
        let up = format!("ip link set lo up && ip address add {BEHIND}/32 dev lo && exec \"$@\"");
        let mut server = namespace(&up);
        server.args(["python3", &script("greeter.py"), &text(&folder), BEHIND]);
        let mut process = Background::start("the network behind web1", &mut server, &site.path("behind.log"))?;
        let ready = wait_for("the network behind web1", LIMIT, || {
            process.check()?;
            Ok(fs::read_to_string(folder.join("ready")).ok())
        })?;
        let port = ready.split("==").nth(1).context("no port")?.parse()?;
        Ok(Self { process, port })
    }

    /// Somebody who is where the tunnel begins, and talks to who is in here.
    fn talk(&self, tunnel: &Background, shape: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", tunnel.id()));
        command.args(["--", "python3", &script("talks.py"), BEHIND, &self.port.to_string(), shape]);
        command
    }
}

/// sshuttle in a namespace without any network but what it makes. Its ssh goes back to where the proxy is, and the python
/// that it starts on the target goes to the network behind that.
fn start(site: &Site, way: Way, behind: &Behind) -> Result<Background> {
    let python = executable(site, "python-behind", &format!("{} python3", nsenter(behind.process.id())))?;
    let ssh = ssh(site, way, &[])?;
    let words: Vec<_> = ssh.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let (destination, options) = words.split_last().context("a destination")?;
    let here = executable(site, "ssh-here", &format!("{} ssh {}", nsenter(std::process::id()), options.join(" ")))?;
    // A route, and an address to come from, or nothing would be sent at all.
    let up = format!(
        "ip link set lo up && ip address add 10.78.0.1/32 dev lo && \
         ip route add {NETWORK} dev lo src 10.78.0.1 && exec \"$@\""
    );
    let mut sshuttle = namespace(&up);
    sshuttle.arg(tool("python/bin/sshuttle")?).args(["--method", "nft", "--disable-ipv6", "--verbose"]);
    sshuttle.arg("--python").arg(python).arg("--ssh-cmd").arg(here).args(["--remote", destination, NETWORK]);
    sshuttle.env("HOME", site.alice.home()).env_remove("SSH_AUTH_SOCK");
    let mut tunnel = Background::start("sshuttle", &mut sshuttle, &site.path(&format!("sshuttle-{way:?}.log")))?;
    wait_for("sshuttle", LIMIT, || {
        tunnel.check()?;
        Ok(tunnel.log().contains("Connected to server.").then_some(()))
    })
    .with_context(|| tunnel.log())?;
    Ok(tunnel)
}

/// A network namespace for whoever the arguments name, once this line has set it up.
fn namespace(up: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", up, "sh"]);
    command
}

fn nsenter(process: u32) -> String {
    format!("nsenter --net=/proc/{process}/ns/net --")
}

fn script(name: &str) -> String {
    format!("{}/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A program that runs this with its own arguments behind.
fn executable(site: &Site, name: &str, line: &str) -> Result<PathBuf> {
    let path = site.path(name);
    fs::write(&path, format!("#!/bin/sh\nexec {line} \"$@\"\n"))?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(path)
}
