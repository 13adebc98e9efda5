//! A real `sshd` that trusts the CA key and nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Background, run, wait_for};

/// A running `sshd` in a folder of its own.
pub struct Sshd {
    process: Background,
    address: SocketAddr,
    folder: PathBuf,
}

impl Sshd {
    /// Makes a host key; the public half is what the host CA certifies.
    ///
    /// # Errors
    /// `ssh-keygen` fails.
    pub fn host_key(folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let key = folder.join("host_key");
        run(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key),
            Duration::from_secs(20),
        )?
        .ok()?;
        Ok(key.with_extension("pub"))
    }

    /// A port that is free now.
    ///
    /// # Errors
    /// The loopback has none.
    pub fn free_port() -> Result<u16> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
    }

    /// Starts it for one login, which accepts the one principal `login@target`.
    ///
    /// # Errors
    /// `sshd` is missing or does not come up.
    pub fn start(
        folder: &Path,
        port: u16,
        target: &str,
        login: &str,
        user_ca: &str,
        host_certificate: Option<&str>,
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let file = |name: &str| folder.join(name);
        fs::write(file("user_ca.pub"), format!("{}\n", user_ca.trim()))?;
        fs::create_dir_all(file("principals"))?;
        fs::write(file("principals").join(login), format!("{login}@{target}\n"))?;
        let mut config = format!(
            "ListenAddress {address}\nHostKey {dir}/host_key\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n\
             PrintLastLog no\nLogLevel VERBOSE\nMaxStartups 500\nMaxSessions 500\nSubsystem sftp internal-sftp\n\
             AcceptEnv LANG LC_*\nTrustedUserCAKeys {dir}/user_ca.pub\nAuthorizedPrincipalsFile {dir}/principals/%u\n",
            dir = folder.display()
        );
        if let Some(certificate) = host_certificate {
            fs::write(file("host_key-cert.pub"), format!("{}\n", certificate.trim()))?;
            config.push_str(&format!("HostCertificate {}/host_key-cert.pub\n", folder.display()));
        }
        fs::write(file("sshd_config"), config)?;
        // Debian's sshd wants this folder, and only packages' start scripts make it.
        fs::create_dir_all("/run/sshd").context("sshd needs /run/sshd, which only root can make")?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(file("sshd_config"));
        let mut process = Background::start("sshd", &mut command, &file("log"))?;
        wait_for("sshd to listen", Duration::from_secs(20), || {
            process.check()?;
            Ok(TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok().map(drop))
        })?;
        Ok(Self { process, address, folder: folder.to_owned() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
