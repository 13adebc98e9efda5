//! A real dropbear, which knows no certificates: it lets in whoever holds a key of its `authorized_keys`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Background, run};
use crate::sshd::Sshd;

const LIMIT: Duration = Duration::from_secs(20);

/// A running dropbear. Where it runs `/root` is a folder of the test's own: it finds `authorized_keys` in the home of who
/// logs in and nowhere else, and those of this machine are not for tests.
pub struct Dropbear {
    process: Background,
    address: SocketAddr,
    folder: PathBuf,
}

impl Dropbear {
    /// Starts it with a new host key, for root, with nobody in its `authorized_keys`.
    ///
    /// # Errors
    /// It is missing, may not mount, or does not come up.
    pub fn start(folder: &Path) -> Result<Self> {
        let home = folder.join("home");
        fs::create_dir_all(home.join(".ssh"))?;
        for private in [&home, &home.join(".ssh")] {
            fs::set_permissions(private, fs::Permissions::from_mode(0o700))?;
        }
        let host_key = folder.join("host_key");
        let mut make = Command::new("dropbearkey");
        let made = run(make.args(["-t", "ed25519", "-f"]).arg(&host_key), LIMIT)?.ok()?.text();
        let public = made.lines().find(|line| line.starts_with("ssh-ed25519 ")).context("dropbearkey shows no key")?;
        fs::write(host_key.with_extension("pub"), format!("{public}\n"))?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, Sshd::free_port()?));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /root && shift && exec \"$@\"", "sh"]).arg(home);
        command.args(["/usr/sbin/dropbear", "-F", "-E", "-s", "-m", "-p", &address.to_string(), "-r"]).arg(&host_key);
        command.arg("-P").arg(folder.join("pid"));
        let mut process = Background::start("dropbear", &mut command, &folder.join("log"))?;
        process.listens(address, LIMIT)?;
        Ok(Self { process, address, folder: folder.to_owned() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its public host key.
    #[must_use]
    pub fn host_key(&self) -> PathBuf {
        self.folder.join("host_key.pub")
    }

    /// Lets root in with this line, and with nothing else.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn authorize(&self, line: &str) -> Result<()> {
        let keys = self.folder.join("home").join(".ssh").join("authorized_keys");
        fs::write(&keys, format!("{line}\n"))?;
        Ok(fs::set_permissions(keys, fs::Permissions::from_mode(0o600))?)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
