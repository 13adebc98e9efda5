//! The whole, set up as the README says: a server that joins, people who log in, and Portcullis between them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::background::Background;
use super::person::Person;
use super::server::Server;
use super::stage::{Ran, Stage};
use super::web1::{LOGIN, Web1};

/// A running site with a server `web1`, and people who are logged in: alice is an engineer, bob is on call, carol runs
/// the place, dana reads recordings.
pub(crate) struct Site {
    // Fields are dropped in this order: processes first, their folder last.
    up: Background,
    pub(crate) web1: Web1,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) carol: Person,
    pub(crate) dana: Person,
    pub(crate) server: Server,
    pub(crate) stage: Stage,
}

/// How many sessions and calls one person may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// As `init` sets them.
    Usual,
    /// As many as a benchmark needs.
    Raised,
}

impl Site {
    /// Sets everything up, waits until it answers, and lets everyone log in.
    pub(crate) fn build(stage: Stage, binary: &Path, limits: Limits) -> Result<Self> {
        let person = |name| Person::new(&stage, binary, name);
        let (alice, bob, carol, dana) = (person("alice")?, person("bob")?, person("carol")?, person("dana")?);
        let mut web1 = Web1::build(&stage, &carol.public_key()?)?;
        web1.start(&stage)?;

        let server = Server::init(&stage, binary, "site", &carol)?;
        if limits == Limits::Raised {
            server.raise_limits()?;
        }
        let groups = [(&alice, "engineers"), (&bob, "approvers\", \"security"), (&dana, "security")];
        add_people(&server.file("directory.toml"), &[], &groups)?;
        let (up, _) = server.up(&stage)?;
        for person in [&alice, &bob, &carol, &dana] {
            log_in(&stage, &server, person)?;
        }
        Ok(Self { up, web1, alice, bob, carol, dana, server, stage })
    }

    /// Takes in one more person, with a group of their own and what the policy says of it; `portcullis up` is started
    /// again, so that it knows both.
    pub(crate) fn join(&mut self, binary: &Path, name: &'static str, group: &str, policy: &str) -> Result<Person> {
        let person = Person::new(&self.stage, binary, name)?;
        add_people(&self.server.file("directory.toml"), &[group], &[(&person, group)])?;
        append(&self.server.file("policy.cedar"), policy)?;
        self.restart()?;
        log_in(&self.stage, &self.server, &person)?;
        Ok(person)
    }

    /// Ends `portcullis up` and starts it again, so that it holds nothing of what was before. Returns its process id.
    pub(crate) fn restart(&mut self) -> Result<u32> {
        self.up.stop();
        (self.up, _) = self.server.up(&self.stage)?;
        Ok(self.up.id())
    }

    /// The process id of `portcullis up`.
    pub(crate) fn process(&self) -> u32 {
        self.up.id()
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
        let mut command = self.carol.portcullis(&["target", "add", "web1", "--login", LOGIN, "--label", "env=prod"]);
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

fn log_in(stage: &Stage, server: &Server, person: &Person) -> Result<()> {
    let mut command = person.portcullis(&["login", "--identity", person.name(), "--api", &server.api()]);
    command.arg("--root").arg(server.data().join("tls-root.pem")).arg("--key").arg(person.key());
    person.finish(stage, &mut command)?;
    Ok(())
}

/// Adds groups, and people with their keys and groups, to the directory that `init` wrote.
fn add_people(file: &Path, groups: &[&str], people: &[(&Person, &str)]) -> Result<()> {
    let mut text = String::new();
    for group in groups {
        text.push_str(&format!("\n[[group]]\nname = \"{group}\"\n"));
    }
    for (person, groups) in people {
        let (name, key) = (person.name(), person.public_key()?);
        text.push_str(&format!("\n[[identity]]\nname = \"{name}\"\nkeys = [\"{key}\"]\ngroups = [\"{groups}\"]\n"));
    }
    append(file, &text)
}

fn append(file: &Path, text: &str) -> Result<()> {
    let before = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::write(file, before + text).with_context(|| format!("cannot write {}", file.display()))
}
