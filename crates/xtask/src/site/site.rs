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

const SOON: Duration = Duration::from_secs(60);
const FOLDER: &str = "site";
const PASSPHRASE: &str = "only for this demo";

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
    binary: PathBuf,
    proxy: u16,
    pub(crate) stage: Stage,
}

impl Site {
    /// Sets everything up, waits until it answers, and lets everyone log in.
    pub(crate) fn build(stage: Stage, binary: &Path) -> Result<Self> {
        let person = |name| Person::new(&stage, binary, name);
        let (alice, bob, carol, dana) = (person("alice")?, person("bob")?, person("carol")?, person("dana")?);
        let mut web1 = Web1::build(&stage, &carol.public_key()?)?;
        web1.start(&stage)?;

        let (api, proxy) = (free_port()?, free_port()?);
        let folder = stage.path(FOLDER);
        let mut init = server(binary, &["init"]);
        init.arg(&folder).args(["--admin", carol.name(), "--admin-key"]).arg(carol.key().with_extension("pub"));
        init.args(["--listen", &format!("127.0.0.1:{api}"), "--proxy-listen", &format!("127.0.0.1:{proxy}")]);
        init.args(["--source-address", "127.0.0.1"]);
        let ran = stage.finish(&mut init, b"", SOON)?;
        if !ran.status.success() {
            bail!("portcullis init failed ({})\n{}", ran.status, ran.text());
        }
        let groups = [(&alice, "engineers"), (&bob, "approvers\", \"security"), (&dana, "security")];
        add_people(&folder.join("directory.toml"), &groups)?;

        let ready = stage.path("ready");
        let mut command = server(binary, &["up", "--ready-file"]);
        command.arg(&ready).arg("--config").arg(folder.join("portcullis.toml"));
        let mut up = Background::start(&stage, "portcullis", &mut command)?;
        stage.wait("portcullis up", SOON, || {
            up.check()?;
            Ok(ready.exists().then_some(()))
        })?;
        let site = Self { up, web1, alice, bob, carol, dana, binary: binary.to_owned(), proxy, stage };
        for person in [&site.alice, &site.bob, &site.carol, &site.dana] {
            site.log_in(person, api)?;
        }
        Ok(site)
    }

    fn log_in(&self, person: &Person, api: u16) -> Result<()> {
        let mut command = person.portcullis(&["login", "--identity", person.name()]);
        command.args(["--api", &format!("https://127.0.0.1:{api}"), "--root"]);
        command.arg(self.data().join("tls-root.pem")).arg("--key").arg(person.key());
        person.finish(&self.stage, &mut command).map(drop)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.stage.path(FOLDER).join("data")
    }

    /// The proxy's port.
    pub(crate) fn proxy(&self) -> u16 {
        self.proxy
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

fn server(binary: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(words).env("PORTCULLIS_PASSPHRASE", PASSPHRASE).env("NO_COLOR", "1");
    command
}

/// Adds people with their keys and groups to the directory that `init` wrote.
fn add_people(file: &Path, people: &[(&Person, &str)]) -> Result<()> {
    let mut text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    for group in ["engineers", "approvers", "security"] {
        text.push_str(&format!("\n[[group]]\nname = \"{group}\"\n"));
    }
    for (person, groups) in people {
        let (name, key) = (person.name(), person.public_key()?);
        text.push_str(&format!("\n[[identity]]\nname = \"{name}\"\nkeys = [\"{key}\"]\ngroups = [\"{groups}\"]\n"));
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
