//! A real `sshd` that trusts the CA key and nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Background, run};

/// Where free ports are looked for.
const PORTS: Range<u16> = 12_000..32_000;
/// The longest that any step may take: large keys take their time on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);

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
        Self::host_key_of(folder, &["-t", "ed25519"])
    }

    /// The same, of the type that these options of `ssh-keygen` name.
    ///
    /// # Errors
    /// `ssh-keygen` fails.
    pub fn host_key_of(folder: &Path, options: &[&str]) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let key = folder.join("host_key");
        run(Command::new("ssh-keygen").args(["-q", "-N", ""]).args(options).arg("-f").arg(&key), LIMIT)?.ok()?;
        Ok(key.with_extension("pub"))
    }

    /// A port that is free now, and that no other caller in this process gets. It is none of those that the kernel gives
    /// to outgoing connections (from 32,768), of which tests make thousands: one of them would take it before its server
    /// does.
    ///
    /// # Errors
    /// There is none.
    pub fn free_port() -> Result<u16> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        (0..PORTS.len())
            .find_map(|_| {
                // Processes that run side by side begin at different places.
                let place = std::process::id().wrapping_mul(97).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
                let port = PORTS.start + u16::try_from(place % u32::from(PORTS.end - PORTS.start)).ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
            })
            .context("no port is free")
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
        Self::start_with(folder, port, target, login, user_ca, host_certificate, "")
    }

    /// The same with more lines of configuration, which stand in front: `sshd` takes the first of each kind.
    ///
    /// # Errors
    /// `sshd` is missing or does not come up.
    pub fn start_with(
        folder: &Path,
        port: u16,
        target: &str,
        login: &str,
        user_ca: &str,
        host_certificate: Option<&str>,
        more: &str,
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let file = |name: &str| folder.join(name);
        fs::write(file("user_ca.pub"), format!("{}\n", user_ca.trim()))?;
        fs::create_dir_all(file("principals"))?;
        fs::write(file("principals").join(login), format!("{login}@{target}\n"))?;
        // bash reads root's own .bashrc for a command over ssh, unless it is told that it is not the outermost shell. What
        // stands there is no part of any test, and may take long.
        let mut config = format!(
            "{more}\nListenAddress {address}\nHostKey {dir}/host_key\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n\
             PrintLastLog no\nLogLevel VERBOSE\nMaxStartups 500\nMaxSessions 500\nSubsystem sftp internal-sftp\n\
             AcceptEnv LANG LC_*\nSetEnv SHLVL=1\nX11Forwarding yes\nXAuthLocation {dir}/xauth\nTrustedUserCAKeys {dir}/user_ca.pub\nAuthorizedPrincipalsFile {dir}/principals/%u\n",
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
        process.listens(address, LIMIT)?;
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

    /// Has it read its configuration again, its host certificates among it.
    ///
    /// # Errors
    /// It is gone.
    pub fn reload(&self) -> Result<()> {
        self.process.signal(rustix::process::Signal::HUP)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
