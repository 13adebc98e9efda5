//! OpenSSH: `ssh`, `scp` in both its protocols, `sftp`; with its keys in files, and in an agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use portcullis_tests::{Background, Site, Way, run, wait_for};

use super::{Client, LIMIT, carries_everything, text};

#[test]
fn openssh() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &OpenSsh { site: &site, config: None })
}

/// The certificate is in an agent and in no file that ssh knows.
#[test]
fn openssh_with_an_agent() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let socket = site.path("agent");
    let mut agent = Background::start(
        "ssh-agent",
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket),
        &site.path("agent.log"),
    )?;
    wait_for("the agent", LIMIT, || {
        agent.check()?;
        Ok(socket.exists().then_some(()))
    })?;
    let key = site.alice.certified_key(portcullis_tests::PLACE);
    let added = run(Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket), LIMIT)?.ok()?;
    ensure!(added.stderr.contains("Certificate added"), "{added:?}");

    let written = fs::read_to_string(site.alice.folder().join("ssh_config"))?;
    let without_keys =
        written.lines().filter(|line| !line.contains("IdentityFile") && !line.contains("IdentitiesOnly"));
    let mut lines: Vec<_> = without_keys.map(str::to_owned).collect();
    lines.push(format!("Host *\n    IdentityFile none\n    IdentityAgent {}\n", socket.display()));
    let config = site.path("ssh_config.agent");
    fs::write(&config, lines.join("\n"))?;
    let ssh = OpenSsh { site: &site, config: Some(config) };
    for way in Way::BOTH {
        let ran = run(&mut ssh.run(way, "echo in; exit 3")?, LIMIT)?;
        ensure!(ran.text() == "in\n" && ran.status.code() == Some(3), "{way:?}: {ran:?}");
    }
    Ok(())
}

/// Stock OpenSSH with the configuration that `portcullis ssh-config --write` wrote, or with another.
pub(super) struct OpenSsh<'a> {
    pub(super) site: &'a Site,
    pub(super) config: Option<PathBuf>,
}

impl OpenSsh<'_> {
    pub(super) fn stock(&self, program: &str) -> Command {
        let mut command = self.site.alice.stock(program, &[]);
        if let Some(config) = &self.config {
            // ssh takes the last.
            command.arg("-F").arg(config);
        }
        command
    }

    fn copy(&self, transfer: &str, words: [String; 2]) -> Result<Command> {
        let mut command = self.stock("scp");
        command.args(match transfer {
            "scp" => &["-q"][..],
            "scp -O" => &["-q", "-O"],
            other => bail!("no {other}"),
        });
        command.args(words);
        Ok(command)
    }

    fn batch(&self, way: Way, line: &str) -> Result<Command> {
        let batch = self.site.path("sftp.batch");
        fs::write(&batch, format!("{line}\n"))?;
        let mut command = self.stock("sftp");
        command.arg("-q").arg("-b").arg(batch).arg(way.destination(self.site)?);
        Ok(command)
    }
}

impl Client for OpenSsh<'_> {
    fn run(&self, way: Way, command: &str) -> Result<Command> {
        let mut ssh = self.stock("ssh");
        ssh.args([&way.destination(self.site)?, command]);
        Ok(ssh)
    }

    fn transfers(&self) -> &'static [&'static str] {
        &["scp", "scp -O", "sftp"]
    }

    fn put(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        match transfer {
            "sftp" => self.batch(way, &format!("put {} {}", text(from), text(to))),
            _ => self.copy(transfer, [text(from), format!("{}:{}", way.destination(self.site)?, text(to))]),
        }
    }

    fn get(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        match transfer {
            "sftp" => self.batch(way, &format!("get {} {}", text(from), text(to))),
            _ => self.copy(transfer, [format!("{}:{}", way.destination(self.site)?, text(from)), text(to)]),
        }
    }
}
