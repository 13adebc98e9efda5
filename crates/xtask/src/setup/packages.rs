//! Debian packages: the real `ssh` and `sshd`, and what the tests drive.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{run, say, which};

/// A package, and how to see that it is there.
pub(crate) struct Package {
    name: &'static str,
    present: Present,
}

enum Present {
    Program(&'static str),
    File(&'static str),
    /// A module of `python3`: Debian ships parts of Python's own library apart.
    Module(&'static str),
}

const SSH: Package = Package { name: "openssh-client", present: Present::Program("ssh") };
const SSHD: Package = Package { name: "openssh-server", present: Present::Program("sshd") };

/// A real client and a real server.
pub(crate) const FOR_DEMO: [Package; 2] = [SSH, SSHD];

/// Besides: OpenSSH's own regress scripts, players that did not come from here, and every client that people come with.
pub(crate) const FOR_TESTS: [Package; 15] = [
    SSH,
    SSHD,
    Package { name: "openssh-tests", present: Present::File("/usr/lib/openssh/regress") },
    Package { name: "asciinema", present: Present::Program("asciinema") },
    Package { name: "nodejs", present: Present::Program("node") },
    Package { name: "npm", present: Present::Program("npm") },
    Package { name: "dropbear-bin", present: Present::Program("dropbear") },
    Package { name: "putty-tools", present: Present::Program("plink") },
    Package { name: "rsync", present: Present::Program("rsync") },
    Package { name: "git", present: Present::Program("git") },
    Package { name: "sshfs", present: Present::Program("sshfs") },
    // sshuttle redirects by nft, and gets a network of its own by ip.
    Package { name: "nftables", present: Present::Program("nft") },
    Package { name: "iproute2", present: Present::Program("ip") },
    Package { name: "python3", present: Present::Program("python3") },
    Package { name: "python3-venv", present: Present::Module("ensurepip") },
];

impl Package {
    fn is_present(&self) -> bool {
        match self.present {
            Present::Program(program) => which(program).is_some(),
            Present::File(file) => Path::new(file).exists(),
            Present::Module(module) => {
                let import = Command::new("python3").args(["-c", &format!("import {module}")]).output();
                import.is_ok_and(|output| output.status.success())
            }
        }
    }
}

/// Where Debian's sshd drops its privileges. Its service makes it, and on a machine where none runs nobody does: then
/// even `sshd -t` refuses every configuration.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Makes what Debian's sshd asks for besides its package.
pub(crate) fn privilege_separation() -> Result<()> {
    if Path::new(PRIVILEGE_SEPARATION).is_dir() || !Path::new("/etc/debian_version").exists() {
        return Ok(());
    }
    let make = ["--directory", "--mode=0755", PRIVILEGE_SEPARATION];
    let Some(root) = privilege() else {
        bail!("sshd needs {PRIVILEGE_SEPARATION}\nhint: run `sudo install {}`, then this again", make.join(" "));
    };
    say("setup", format_args!("sshd: making {PRIVILEGE_SEPARATION}"));
    run(privileged(&root, "install").args(make))
}

/// What sshfs mounts through. A container has it only if it was given it.
const FUSE: &str = "/dev/fuse";

/// Says what to do where nothing can be mounted: a test that drives sshfs is not left out.
pub(crate) fn fuse() -> Result<()> {
    if !Path::new(FUSE).exists() {
        bail!(
            "sshfs needs {FUSE}\nhint: run `sudo modprobe fuse`, or give the container `--device {FUSE} --cap-add SYS_ADMIN`"
        );
    }
    Ok(())
}

/// Says what to do where a test may not give dropbear a home of its own: that takes a mount that nobody else sees.
pub(crate) fn mounts() -> Result<()> {
    let mounted = Command::new("unshare").args(["--mount", "true"]).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        bail!(
            "`unshare --mount` is not allowed here, and the tests with dropbear's server need it\nhint: run them as root, \
             in a container with `--cap-add SYS_ADMIN`"
        );
    }
    Ok(())
}

/// Where `ssh -w` and its like make their ends.
const TUN: &str = "/dev/net/tun";

/// Says what to do where no network can be made: tests that drive sshuttle and `ssh -w` are not left out.
pub(crate) fn network() -> Result<()> {
    if !Path::new(TUN).exists() {
        bail!("ssh -w needs {TUN}\nhint: run `sudo modprobe tun`, or give the container `--device {TUN}`");
    }
    let firewall = "add table ip own; add chain ip own out { type nat hook output priority -100; }";
    let own = Command::new("unshare").args(["--net", "nft", firewall]).output()?;
    if !own.status.success() {
        let said = String::from_utf8_lossy(&own.stderr).trim().to_owned();
        bail!(
            "sshuttle needs a network namespace with a firewall of its own: {said}\nhint: run `sudo modprobe nf_tables`, or \
             give the container `--cap-add SYS_ADMIN --cap-add NET_ADMIN`; the tests run as root"
        );
    }
    Ok(())
}

/// Installs those that are missing, or says the exact command that would.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().filter(|package| !package.is_present()).map(|p| p.name).collect();
    if missing.is_empty() {
        say("setup", "packages: all there");
        return Ok(());
    }
    let by_hand = format!("sudo apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if which("apt-get").is_none() {
        bail!(
            "missing: {}\nhint: this system has no apt-get; on Debian the command is `{by_hand}`",
            missing.join(", ")
        );
    }
    let Some(root) = privilege() else {
        bail!("missing: {}\nhint: run `{by_hand}`, then this again", missing.join(", "));
    };
    say("setup", format_args!("packages: installing {}", missing.join(", ")));
    run(apt(&root).args(["update", "--quiet"]))?;
    run(apt(&root).args(["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    let still: Vec<&str> = packages.iter().filter(|package| !package.is_present()).map(|p| p.name).collect();
    if !still.is_empty() {
        bail!("installed, and yet not found: {}\nhint: `{by_hand}` and look at what it says", still.join(", "));
    }
    Ok(())
}

fn apt(privilege: &[&str]) -> Command {
    let mut command = privileged(privilege, "apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn privileged(privilege: &[&str], program: &'static str) -> Command {
    let mut words = privilege.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

/// The words before a command that needs root; `None` if there is no way to become root without a question.
pub(crate) fn privilege() -> Option<Vec<&'static str>> {
    if rustix::process::geteuid().is_root() {
        return Some(Vec::new());
    }
    let quiet = Command::new("sudo").args(["--non-interactive", "true"]).output();
    quiet.is_ok_and(|output| output.status.success()).then(|| vec!["sudo", "--non-interactive"])
}
