//! Where it is measured: a site with raised limits, one grant of alice, and the ways from her to web1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::site::json::id;
use crate::site::{Limits, Site, Stage};

/// The site, which is built when the first benchmark asks for it.
pub(crate) struct Field {
    binaries: PathBuf,
    stage: Option<Stage>,
    site: Option<Site>,
}

/// A way from alice to web1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Without Portcullis, with a plain key.
    Direct,
    /// `ssh demo+web1@proxy`
    Login,
    /// `ssh -J proxy demo@web1`
    Jump,
}

/// The ciphers that are compared: what most clients choose on a machine with AES instructions, and OpenSSH's default.
pub(crate) const CIPHERS: [(&str, &str); 2] =
    [("aes128-gcm", "aes128-gcm@openssh.com"), ("chacha20", "chacha20-poly1305@openssh.com")];

impl Field {
    /// A field with nothing on it yet.
    pub(crate) fn new(binaries: PathBuf, stage: Stage) -> Self {
        Self { binaries, stage: Some(stage), site: None }
    }

    /// Where the binaries are.
    pub(crate) fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// The site, with web1 enrolled, alice's plain key let in for comparison, and her ssh configured.
    pub(crate) fn site(&mut self) -> Result<&Site> {
        Ok(self.site_mut()?)
    }

    /// As [`site`](Self::site), to be changed.
    pub(crate) fn site_mut(&mut self) -> Result<&mut Site> {
        if self.site.is_none() {
            let stage = self.stage.take().context("the site could not be built before")?;
            let mut site = Site::build(stage, &self.binaries.join("portcullis"), Limits::Raised)?;
            site.enrol()?;
            let key = site.alice.public_key()?;
            site.web1.let_in(&site.stage, &key)?;
            site.alice.run(&site.stage, &["ssh-config", "--write"])?;
            grant(&site)?;
            for (name, cipher) in CIPHERS {
                configure(&site, name, cipher)?;
            }
            self.site = Some(site);
        }
        self.site.as_mut().context("there is no site")
    }
}

impl Way {
    /// Both ways through the proxy.
    pub(crate) const PROXIED: [Self; 2] = [Self::Login, Self::Jump];

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Login => "login+target",
            Self::Jump => "-J",
        }
    }

    /// `ssh` this way, with one cipher on every connection of it.
    pub(crate) fn ssh(self, site: &Site, cipher: &str, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(site.stage.path(&format!("ssh_config.{cipher}"))).arg("-T");
        match self {
            Self::Direct => ssh.arg("direct"),
            Self::Login => ssh.args(["-l", "demo+web1", "portcullis-proxy1"]),
            Self::Jump => ssh.arg("demo@web1"),
        };
        ssh.arg(command).env_remove("SSH_AUTH_SOCK");
        ssh
    }
}

/// Gives alice a grant for a place such as demo@web1; returns its id.
pub(crate) fn grant_for(site: &Site, place: &str) -> Result<String> {
    let Site { alice, bob, stage, .. } = site;
    let filed = alice.json(stage, &["request", place, "--for", "4h", "--reason", "bench", "--no-wait"])?;
    let grant = id(&filed).context("the request has no id")?;
    bob.run(stage, &["approve", &grant])?;
    Ok(grant)
}

/// Gives alice a grant for demo@web1 and its certificate; returns its id.
pub(crate) fn grant(site: &Site) -> Result<String> {
    let Site { alice, stage, .. } = site;
    let grant = grant_for(site, "demo@web1")?;
    alice.run(stage, &["cert", &grant])?;
    Ok(grant)
}

fn configure(site: &Site, name: &str, cipher: &str) -> Result<()> {
    let address = site.web1.address();
    let alice = site.alice.home().display();
    // What alice trusts is what proxies show; a server's own key she must be told.
    let known = site.stage.path("known_hosts.direct");
    fs::write(&known, format!("web1 {}\n", site.web1.host_key()?))?;
    let text = format!(
        "Ciphers {cipher}\nInclude {alice}/ssh_config\n\
         Host direct\n    HostName {}\n    Port {}\n    User demo\n    HostKeyAlias web1\n    IdentitiesOnly yes\n    \
         IdentityFile {}\n    UserKnownHostsFile {}\n    StrictHostKeyChecking yes\n",
        address.ip(),
        address.port(),
        site.alice.key().display(),
        known.display()
    );
    Ok(fs::write(site.stage.path(&format!("ssh_config.{name}")), text)?)
}
