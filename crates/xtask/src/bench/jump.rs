//! What OpenSSH has itself for the purpose: a second sshd as the jump host of `ssh -J jump web1`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::run::{capture, which};
use crate::site::{Background, Person, Stage, free_port};

const SOON: Duration = Duration::from_secs(15);
/// Where Debian's sshd drops its privileges.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// A running jump host. Dropping it ends it.
pub(crate) struct Jump {
    sshd: Background,
    address: SocketAddr,
    key: PathBuf,
}

impl Jump {
    /// Who logs in. It is root so that the processor time is known: what carries another user's connection is a child
    /// that its monitor does not wait for, so its time is added to nobody's.
    pub(crate) const LOGIN: &str = "root";

    /// Starts it for one person's plain key, and waits until it listens.
    pub(crate) fn start(stage: &Stage, person: &Person) -> Result<Self> {
        let folder = stage.folder("jump")?;
        let key = folder.join("host_key");
        capture(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "jump", "-f"]).arg(&key))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let config = folder.join("sshd_config");
        let text = format!(
            "ListenAddress {address}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n",
            key.display(),
            person.key().with_extension("pub").display(),
        );
        fs::write(&config, text)?;
        let mut sshd = Background::start(stage, "jump", &mut command(&config)?)?;
        stage.wait("the jump host to listen", SOON, || {
            sshd.check()?;
            Ok(TcpStream::connect(address).ok())
        })?;
        Ok(Self { sshd, address, key })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The public half of its host key, as one line.
    pub(crate) fn host_key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.key.with_extension("pub"))?.trim().to_owned())
    }

    /// The process id of the sshd that listens. The connections are its children.
    pub(crate) fn process(&self) -> u32 {
        self.sshd.id()
    }
}

/// sshd itself and no shell before it, so that its process id is the one that was started; it ends when this program does,
/// even if that is killed.
fn command(config: &Path) -> Result<Command> {
    let sshd = which("sshd").context("sshd is not installed")?;
    let mut command = if Path::new(PRIVILEGE_SEPARATION).is_dir() {
        Command::new("setpriv")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--", "sh", "-euc", MAKE, "jump", PRIVILEGE_SEPARATION, "setpriv"]);
        unshare
    };
    command.args(["--pdeathsig", "TERM", "--"]).arg(sshd).args(["-D", "-e", "-f"]).arg(config);
    Ok(command)
}

/// The folder, for this one process alone.
const MAKE: &str = r#"mount -t tmpfs tmpfs /run; mkdir -m 0755 "$1"; shift; exec "$@""#;
