//! PuTTY: `plink`, `pscp` in both its protocols, `psftp`, with the certificate, and with the front CA as a host CA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use portcullis_tests::{PLACE, Site, Way, run};

use super::{Client, LIMIT, carries_everything, text};

#[test]
fn putty() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let putty = Putty::new(&site)?;
    carries_everything(&site, &grant, &putty)
}

pub(super) struct Putty<'a> {
    pub(super) site: &'a Site,
    /// The key as OpenSSH has it; its certificate stands beside it, and PuTTY's own form of it.
    key: PathBuf,
}

impl<'a> Putty<'a> {
    pub(super) fn new(site: &'a Site) -> Result<Self> {
        Self::with_key(site, &site.alice.certified_key(PLACE))
    }

    /// The key in PuTTY's own form, and its record of the front CA.
    pub(super) fn with_key(site: &'a Site, key: &Path) -> Result<Self> {
        let putty = Self { site, key: key.to_owned() };
        let mut puttygen = putty.dressed("puttygen");
        puttygen.arg(key).arg("-o").arg(putty.own_form());
        run(puttygen.args(["-O", "private"]), LIMIT)?.ok()?;
        let cas = site.alice.home().join(".putty").join("sshhostcas");
        fs::create_dir_all(&cas)?;
        let front = fs::read_to_string(site.data().join("keys").join("front-ca.pub"))?;
        let key = front.split(' ').nth(1).context("a key")?.trim();
        let port = site.proxy_port();
        let record = format!(
            "PublicKey={key}\nValidity=(127.0.0.1 && port:{port}) || web1\n\
             PermitRSASHA1=0\nPermitRSASHA256=1\nPermitRSASHA512=1\n"
        );
        fs::write(cas.join("portcullis"), record)?;
        Ok(putty)
    }

    fn own_form(&self) -> String {
        format!("{}.ppk", text(&self.key))
    }

    pub(super) fn dressed(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.site.alice.home()).env_remove("XDG_CONFIG_HOME").env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Any of the programs, with what it needs to go there; the host is left to say.
    pub(super) fn program(&self, program: &str, way: Way) -> Command {
        let mut command = self.dressed(program);
        command.arg("-batch").args(self.certified());
        let port = self.site.proxy_port().to_string();
        match way {
            Way::Plus => command.args(["-P", &port, "-l", "root+web1"]),
            Way::Jump => {
                let certified = self.certified().join(" ");
                let jump = format!("plink -batch {certified} -P {port} -l jump=alice -nc %host:%port 127.0.0.1");
                command.args(["-proxycmd", &jump, "-P", "22", "-l", "root"])
            }
        };
        command
    }

    fn certified(&self) -> [String; 4] {
        let certificate = format!("{}-cert.pub", text(&self.key));
        ["-i".to_owned(), self.own_form(), "-cert".to_owned(), certificate]
    }

    fn copy(&self, transfer: &str, way: Way, words: [String; 2]) -> Result<Command> {
        let mut command = self.program("pscp", way);
        command.args(match transfer {
            "pscp -sftp" => ["-q", "-sftp"],
            "pscp -scp" => ["-q", "-scp"],
            other => bail!("no {other}"),
        });
        command.args(words);
        Ok(command)
    }

    fn batch(&self, way: Way, line: &str) -> Result<Command> {
        let batch = self.site.path("psftp.batch");
        fs::write(&batch, format!("{line}\n"))?;
        let mut command = self.program("psftp", way);
        command.arg("-b").arg(batch).arg(host(way));
        Ok(command)
    }
}

impl Client for Putty<'_> {
    fn run(&self, way: Way, command: &str) -> Result<Command> {
        let mut plink = self.program("plink", way);
        plink.args(["-ssh", host(way), command]);
        Ok(plink)
    }

    fn transfers(&self) -> &'static [&'static str] {
        &["pscp -sftp", "pscp -scp", "psftp"]
    }

    fn put(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        match transfer {
            "psftp" => self.batch(way, &format!("put {} {}", text(from), text(to))),
            _ => self.copy(transfer, way, [text(from), format!("{}:{}", host(way), text(to))]),
        }
    }

    fn get(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        match transfer {
            "psftp" => self.batch(way, &format!("get {} {}", text(from), text(to))),
            _ => self.copy(transfer, way, [format!("{}:{}", host(way), text(from)), text(to)]),
        }
    }
}

pub(super) fn host(way: Way) -> &'static str {
    match way {
        Way::Plus => "127.0.0.1",
        Way::Jump => "web1",
    }
}
