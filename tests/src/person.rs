//! A person with a key, a home of their own, and stock OpenSSH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Finished, run};
use crate::site::Site;

/// The longest that any command of a person may take in a test.
const LIMIT: Duration = Duration::from_secs(60);

/// A person.
pub struct Person {
    name: String,
    home: PathBuf,
}

impl Person {
    /// Makes the home and an Ed25519 key.
    ///
    /// # Errors
    /// `ssh-keygen` fails.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let home = folder.join("people").join(name);
        fs::create_dir_all(home.join(".ssh"))?;
        let person = Self { name: name.to_owned(), home };
        run(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(person.key()),
            LIMIT,
        )?
        .ok()?;
        Ok(person)
    }

    /// Their name in the directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Their home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Their private key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.home.join(".ssh").join("id_ed25519")
    }

    /// Their public key, one line.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn public_key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.key().with_extension("pub"))?.trim().to_owned())
    }

    /// Logs in at the API.
    ///
    /// # Errors
    /// It is refused.
    pub fn login(&self, api: &str, root: &Path) -> Result<()> {
        let (key, root) = (self.key().display().to_string(), root.display().to_string());
        let words = ["login", "--api", api, "--root", &root, "--identity", &self.name, "--key", &key];
        self.portcullis(&words)?.ok().with_context(|| format!("{} cannot log in", self.name))?;
        Ok(())
    }

    /// Runs `portcullis` as this person.
    ///
    /// # Errors
    /// It cannot be started or does not end in time. A refusal is no error.
    pub fn portcullis(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments), LIMIT)
    }

    /// The same, read as JSON, when it succeeds.
    ///
    /// # Errors
    /// It fails, or does not print JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let finished = self.portcullis(&[arguments, &["--json"]].concat())?.ok()?;
        serde_json::from_slice(&finished.stdout).with_context(|| finished.text())
    }

    /// The command for `portcullis` as this person.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Site::binary());
        self.dress(&mut command);
        command.args(arguments);
        command
    }

    /// Where this person's own files of Portcullis are.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.home.join("portcullis")
    }

    /// The private key of the certificate for `root@web1`, as `portcullis request` left it; its certificate is the same
    /// with `-cert.pub`.
    #[must_use]
    pub fn certified_key(&self, place: &str) -> PathBuf {
        self.folder().join("certificates").join(place)
    }

    /// The command for a stock OpenSSH program with the configuration that `portcullis ssh-config --write` wrote.
    #[must_use]
    pub fn stock(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        self.dress(&mut command);
        command.arg("-F").arg(self.folder().join("ssh_config")).args(["-o", "BatchMode=yes"]).args(arguments);
        command
    }

    /// Runs stock `ssh`.
    ///
    /// # Errors
    /// It cannot be started or does not end in time. A refusal is no error.
    pub fn ssh(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.stock("ssh", arguments), LIMIT)
    }

    fn dress(&self, command: &mut Command) {
        command
            .env_remove("SSH_AUTH_SOCK")
            .env("HOME", &self.home)
            .env("PORTCULLIS_HOME", self.folder())
            .env("NO_COLOR", "1")
            .env("LC_ALL", "C.UTF-8");
    }
}
