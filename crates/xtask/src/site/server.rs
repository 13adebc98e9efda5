//! `portcullis up` with a folder of its own, made by `portcullis init`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::background::Background;
use super::person::Person;
use super::stage::{Stage, free_port};

const SOON: Duration = Duration::from_secs(120);
const PASSPHRASE: &str = "only for this run";

/// A site's folder, and how to run what is in it.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    api: u16,
    proxy: u16,
}

impl Server {
    /// Makes the folder, on free ports of the loopback.
    pub(crate) fn init(stage: &Stage, binary: &Path, name: &str, admin: &Person) -> Result<Self> {
        let (api, proxy) = (free_port()?, free_port()?);
        let server = Self { binary: binary.to_owned(), folder: stage.path(name), api, proxy };
        let mut init = server.command(&["init"]);
        init.arg(&server.folder).args(["--admin", admin.name(), "--admin-key"]).arg(admin.key().with_extension("pub"));
        init.args(["--listen", &format!("127.0.0.1:{api}"), "--proxy-listen", &format!("127.0.0.1:{proxy}")]);
        init.args(["--source-address", "127.0.0.1"]);
        let ran = stage.finish(&mut init, b"", SOON)?;
        if !ran.status.success() {
            bail!("portcullis init failed ({})\n{}", ran.status, ran.text());
        }
        Ok(server)
    }

    /// Starts it and waits until everything answers; says how long that took.
    pub(crate) fn up(&self, stage: &Stage) -> Result<(Background, Duration)> {
        let ready = self.folder.join("ready");
        // One that was killed could not take its file away, and the next would seem to be up at once.
        let _ = fs::remove_file(&ready);
        let mut command = self.command(&["up", "--ready-file"]);
        command.arg(&ready).arg("--config").arg(self.file("portcullis.toml"));
        let start = Instant::now();
        let mut up = Background::start(stage, "portcullis", &mut command)?;
        stage.wait("portcullis up", SOON, || {
            up.check()?;
            Ok(ready.exists().then_some(()))
        })?;
        Ok((up, start.elapsed()))
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> String {
        format!("https://127.0.0.1:{}", self.api)
    }

    /// Where the proxy listens.
    pub(crate) fn proxy(&self) -> String {
        format!("127.0.0.1:{}", self.proxy)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A file of its configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Throws away what can be rebuilt from the segments.
    pub(crate) fn forget_index(&self) -> Result<()> {
        let index = self.data().join("index");
        fs::remove_dir_all(&index).with_context(|| format!("cannot remove {}", index.display()))
    }

    /// Makes room for hundreds of sessions of one person, and for many calls, from one address.
    pub(crate) fn raise_limits(&self) -> Result<()> {
        let file = self.file("portcullis.toml");
        let mut text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let limits = ["sessions-per-identity", "max-sessions-per-person", "max-waiting", "max-waiting-per-address"];
        let calls = ["calls-per-address", "calls-per-identity"];
        for key in limits.into_iter().chain(calls) {
            let (commented, set) = (format!("# {key} = "), format!("{key} = 100000 # "));
            ensure!(text.contains(&commented), "{} has no line «{commented}»", file.display());
            text = text.replace(&commented, &set);
        }
        text = text.replace("# [ca.limits]", "[ca.limits]");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).env("PORTCULLIS_PASSPHRASE", PASSPHRASE).env("NO_COLOR", "1");
        command
    }
}
