//! The libraries: asyncssh and paramiko from PyPI, ssh2 from npm, each driven by a script in `tests/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use portcullis_tests::{PLACE, Site, Way, route, run, tool};
use serde_json::{Value, json};

use super::{Client, LIMIT, carries_everything, text};

#[test]
fn asyncssh() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::asyncssh(&site))
}

#[test]
fn paramiko() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::paramiko(&site)?)
}

/// It knows no certificates, so it logs in with a registered key while a grant is active.
#[test]
fn node_ssh2() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::ssh2(&site)?)
}

/// The host key of the proxy as a client sees that knows no certificates, without the comment.
pub(super) fn proxys_plain_key(site: &Site) -> Result<String> {
    let port = site.proxy_port().to_string();
    let scanned = run(Command::new("ssh-keyscan").args(["-t", "ed25519", "-p", &port, "127.0.0.1"]), LIMIT)?.ok()?;
    let line = scanned.text();
    let (_, key) = line.trim().split_once(' ').with_context(|| format!("no host key in {line:?}"))?;
    Ok(key.to_owned())
}

/// A client that one of the scripts drives.
pub(crate) struct Scripted<'a> {
    site: &'a Site,
    target: &'static str,
    script: &'static str,
    transfers: &'static [&'static str],
    /// What it needs besides host, port and user.
    more: Value,
}

impl<'a> Scripted<'a> {
    pub(crate) fn asyncssh(site: &'a Site) -> Self {
        Self::asyncssh_to(site, "web1")
    }

    pub(crate) fn asyncssh_to(site: &'a Site, target: &'static str) -> Self {
        let key = site.alice.certified_key(&format!("root@{target}"));
        let certificate = format!("{}-cert.pub", text(&key));
        let known_hosts = site.alice.folder().join("known_hosts");
        let more = json!({ "key": key, "certificate": certificate, "known_hosts": known_hosts });
        Self { site, target, script: "with_asyncssh.py", transfers: &["sftp", "scp"], more }
    }

    pub(crate) fn paramiko(site: &'a Site) -> Result<Self> {
        let known_hosts = site.path("known_hosts.plain");
        let key = proxys_plain_key(site)?;
        fs::write(&known_hosts, format!("[127.0.0.1]:{} {key}\nweb1 {key}\n", site.proxy_port()))?;
        let more = json!({ "key": site.alice.certified_key(PLACE), "known_hosts": known_hosts });
        Ok(Self { site, target: "web1", script: "with_paramiko.py", transfers: &["sftp"], more })
    }

    pub(crate) fn ssh2(site: &'a Site) -> Result<Self> {
        let line = proxys_plain_key(site)?;
        let (_, key) = line.split_once(' ').context("a key without its type")?;
        let more = json!({ "key": site.alice.key(), "host_key": key });
        Ok(Self { site, target: "web1", script: "with_ssh2.js", transfers: &["sftp"], more })
    }

    /// The same with another key, whose certificate stands beside it.
    pub(super) fn with_key(mut self, key: &Path) -> Result<Self> {
        let fields = self.more.as_object_mut().context("an object")?;
        fields.insert("key".to_owned(), json!(key));
        fields.insert("certificate".to_owned(), json!(format!("{}-cert.pub", text(key))));
        Ok(self)
    }

    /// The same with the key of alice's that the directory has, and no certificate.
    pub(crate) fn with_plain_key(mut self) -> Result<Self> {
        let fields = self.more.as_object_mut().context("an object")?;
        fields.insert("key".to_owned(), json!(self.site.alice.key()));
        Ok(self)
    }

    /// The same, offering an agent to the target.
    pub(super) fn with_agent(mut self, socket: &Path) -> Result<Self> {
        self.more.as_object_mut().context("an object")?.insert("agent".to_owned(), json!(socket));
        Ok(self)
    }

    /// What it drives.
    pub(super) fn name(&self) -> &'static str {
        self.script.trim_start_matches("with_").split('.').next().unwrap_or_default()
    }

    /// Calls the script for what this way leads to.
    pub(crate) fn call(&self, way: Way, words: &[&str]) -> Result<Command> {
        self.call_on(&way.route(self.site, self.target, &self.more)?, words)
    }

    /// Calls the script for `web1` itself, without the proxy.
    ///
    /// web1 is made to trust one CA more for that, which signs for a key of this test. So both are the same `sshd` with
    /// the same configuration, and whatever differs is the proxy's doing.
    pub(crate) fn direct(&self, words: &[&str]) -> Result<Command> {
        let address = self.site.web1.address();
        let (key, certificate) = direct_key(self.site)?;
        let known_hosts = self.site.path("known_hosts.direct");
        let host_key = fs::read_to_string(self.site.web1.folder().join("host_key.pub"))?;
        fs::write(&known_hosts, format!("[127.0.0.1]:{} {host_key}", address.port()))?;
        let more = json!({ "key": key, "certificate": certificate, "known_hosts": known_hosts });
        self.call_on(&route("127.0.0.1", address.port(), "root", &more)?, words)
    }

    fn call_on(&self, route: &Value, words: &[&str]) -> Result<Command> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(self.script);
        let (program, modules) = match self.script.ends_with(".js") {
            true => (PathBuf::from("node"), Some(tool("node/node_modules")?)),
            false => (tool("python/bin/python3")?, None),
        };
        let mut command = Command::new(program);
        command.env("HOME", self.site.alice.home()).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("SSH_AUTH_SOCK");
        command.env("LC_ALL", "C.UTF-8").arg(script).arg(route.to_string()).args(words);
        if let Some(modules) = modules {
            command.env("NODE_PATH", modules);
        }
        Ok(command)
    }
}

impl Client for Scripted<'_> {
    fn run(&self, way: Way, command: &str) -> Result<Command> {
        self.call(way, &["run", command])
    }

    fn transfers(&self) -> &'static [&'static str] {
        self.transfers
    }

    fn put(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        self.call(way, &[&format!("put-{transfer}"), &text(from), &text(to)])
    }

    fn get(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        self.call(way, &[&format!("get-{transfer}"), &text(from), &text(to)])
    }
}

/// A key, and a certificate for it that `web1` itself takes.
pub(crate) fn direct_key(site: &Site) -> Result<(PathBuf, PathBuf)> {
    let (ca, key) = (site.path("direct-ca"), site.path("direct-key"));
    let certificate = site.path("direct-key-cert.pub");
    if certificate.exists() {
        return Ok((key, certificate));
    }
    for file in [&ca, &key] {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file), LIMIT)?.ok()?;
    }
    let mut sign = Command::new("ssh-keygen");
    sign.arg("-q").arg("-s").arg(&ca).args(["-I", "direct", "-n", PLACE]).arg(key.with_extension("pub"));
    run(&mut sign, LIMIT)?.ok()?;
    let trusted = site.web1.folder().join("user_ca.pub");
    let cas = fs::read_to_string(&trusted)? + &fs::read_to_string(ca.with_extension("pub"))?;
    fs::write(trusted, cas)?;
    Ok((key, certificate))
}
