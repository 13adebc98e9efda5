//! Someone at their own machine: their key, their own configuration, stock ssh.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::stage::{Ran, Stage};
use crate::run::{capture, shown};

const LIMIT: Duration = Duration::from_secs(60);

/// A person of the demo.
#[derive(Clone)]
pub(crate) struct Person {
    name: &'static str,
    home: PathBuf,
    binary: PathBuf,
}

impl Person {
    /// Makes their folder and their SSH key.
    pub(crate) fn new(stage: &Stage, binary: &Path, name: &'static str) -> Result<Self> {
        let home = stage.folder(name)?;
        let person = Self { name, home, binary: binary.to_owned() };
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(person.key());
        capture(&mut keygen)?;
        Ok(person)
    }

    /// Their name in the directory.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Their configuration, which `PORTCULLIS_HOME` names.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Their private key file.
    pub(crate) fn key(&self) -> PathBuf {
        self.home.join("id_ed25519")
    }

    /// Their public key as one line.
    pub(crate) fn public_key(&self) -> Result<String> {
        let file = self.key().with_extension("pub");
        Ok(std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?.trim().to_owned())
    }

    /// `portcullis …` as they would type it. No agent: what happens here must not depend on whose shell this is.
    pub(crate) fn portcullis(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words);
        self.surround(&mut command);
        command
    }

    /// Runs `portcullis …`; a failure is an error with what it said.
    pub(crate) fn run(&self, stage: &Stage, words: &[&str]) -> Result<Ran> {
        self.finish(stage, &mut self.portcullis(words))
    }

    /// Runs `portcullis … --json` and reads what it prints.
    pub(crate) fn json(&self, stage: &Stage, words: &[&str]) -> Result<Value> {
        let ran = self.finish(stage, self.portcullis(words).arg("--json"))?;
        serde_json::from_slice(&ran.stdout)
            .with_context(|| format!("portcullis {} did not print JSON", words.join(" ")))
    }

    /// Stock `ssh`, `scp` or `sftp` with the configuration that `portcullis ssh-config --write` wrote.
    pub(crate) fn ssh(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-F").arg(self.home.join("ssh_config")).args(words);
        self.surround(&mut command);
        command
    }

    /// Runs a command of theirs; a failure is an error with what it said.
    pub(crate) fn finish(&self, stage: &Stage, command: &mut Command) -> Result<Ran> {
        let ran = stage.finish(command, b"", LIMIT)?;
        if !ran.status.success() {
            bail!("{}: `{}` failed ({})\n{}", self.name, shown(command), ran.status, ran.text());
        }
        Ok(ran)
    }

    fn surround(&self, command: &mut Command) {
        command
            .env("PORTCULLIS_HOME", &self.home)
            .env("NO_COLOR", "1")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("DISPLAY");
    }
}
