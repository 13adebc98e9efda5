//! `web1`: a real sshd with a login `demo`, which trusts the CA key and nothing else.
//!
//! It runs in namespaces of its own, where `/etc/ssh` and the list of users are the stage's: so the very lines that
//! enrol a server are applied, and nothing of this machine is touched. Where namespaces are refused (as in an
//! unprivileged container), it falls back to a temporary user and a folder other than `/etc/ssh`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::background::Background;
use super::stage::{Stage, free_port};
use crate::run::{capture, which};

const UID: u32 = 59_911;
/// Logins that the server has.
pub(crate) const LOGIN: &str = "demo";

/// The server's files, before and while it runs.
pub(crate) struct Web1 {
    port: u16,
    folder: PathBuf,
    isolated: bool,
    sshd: Option<Background>,
}

impl Web1 {
    /// Makes its host key and an `sshd_config` that lets nobody in yet.
    pub(crate) fn build(stage: &Stage) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a real sshd that takes several logins runs as root\nhint: sudo -E env \"PATH=$PATH\" cargo xtask demo");
        }
        let folder = stage.folder("web1")?;
        let isolated = capture(Command::new("unshare").args(["--mount", "--uts", "--pid", "--fork", "true"])).is_ok();
        let web1 = Self { port: free_port()?, folder, isolated, sshd: None };
        for name in ["etc-ssh", "home", "run"] {
            fs::create_dir_all(web1.folder.join(name))?;
        }
        capture(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "web1", "-f"])
                .arg(web1.file("ssh_host_ed25519_key")),
        )?;
        web1.write_config()?;
        web1.write_users()?;
        Ok(web1)
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A file of its `/etc/ssh`, as it is reached from outside.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join("etc-ssh").join(name)
    }

    /// How the server itself names its `/etc/ssh`.
    pub(crate) fn etc_ssh(&self) -> String {
        if self.isolated { "/etc/ssh".to_owned() } else { self.folder.join("etc-ssh").display().to_string() }
    }

    /// The home folder of its login.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Adds lines to its `sshd_config`: sshd takes the first value of each option, so they cannot weaken what stands
    /// there.
    pub(crate) fn configure(&self, lines: &str) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.file("sshd_config"))?;
        Ok(writeln!(file, "{lines}")?)
    }

    /// Writes a file of its `/etc/ssh`.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self, stage: &Stage) -> Result<()> {
        let sshd = which("sshd").context("sshd is not installed")?;
        let mut sshd = Background::start(stage, "sshd", &mut self.command(&sshd))?;
        let address = self.address();
        stage.wait("sshd to listen", Duration::from_secs(15), || {
            sshd.check()?;
            Ok(TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok().map(drop))
        })?;
        self.sshd = Some(sshd);
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        self.sshd.as_ref().map(Background::tail).unwrap_or_default()
    }

    /// A shell that prepares the place, starts sshd, and takes everything down when its input closes: so also when this
    /// program is killed and can clean up no more.
    fn command(&self, sshd: &Path) -> Command {
        let script = if self.isolated { ISOLATED } else { PLAIN };
        let mut command = if self.isolated {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh"]);
            unshare
        } else {
            Command::new("sh")
        };
        command.args(["-euc", script, "web1"]);
        command.arg(&self.folder).arg(sshd).arg(UID.to_string());
        command
    }

    fn write_config(&self) -> Result<()> {
        let etc = self.etc_ssh();
        let strict = if self.isolated { "yes" } else { "no" };
        self.write(
            "sshd_config",
            &format!(
                "ListenAddress {}\nHostKey {etc}/ssh_host_ed25519_key\nPidFile none\nUsePAM no\nStrictModes {strict}\n\
                 AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\nMaxStartups 500\nMaxSessions 500\n\
                 Subsystem sftp internal-sftp\n",
                self.address()
            ),
        )
    }

    /// The machine's users, and one more. The password `*` fits nothing and is not a locked account.
    fn write_users(&self) -> Result<()> {
        let home = self.home();
        rustix::fs::chown(&home, Some(rustix::fs::Uid::from_raw(UID)), Some(rustix::fs::Gid::from_raw(UID)))?;
        let passwd = fs::read_to_string("/etc/passwd")?;
        let group = fs::read_to_string("/etc/group")?;
        let user = format!("{LOGIN}:*:{UID}:{UID}:Portcullis demo:{}:/bin/bash\n", home.display());
        fs::write(self.folder.join("passwd"), passwd + &user)?;
        fs::write(self.folder.join("group"), format!("{group}{LOGIN}:x:{UID}:\n"))?;
        fs::write(home.join(".bashrc"), "PS1='demo@web1:\\w\\$ '\n")?;
        fs::write(home.join(".bash_profile"), ". ~/.bashrc\n")?;
        Ok(())
    }
}

const ISOLATED: &str = r#"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount --bind "$1/etc-ssh" /etc/ssh
mount -t tmpfs tmpfs /run
mkdir -m 0755 /run/sshd
hostname web1 2>/dev/null || true
"$2" -D -e -f /etc/ssh/sshd_config </dev/null &
cat >/dev/null
"#;

const PLAIN: &str = r#"
getent passwd demo >/dev/null && { echo "this machine has a user named demo already" >&2; exit 1; }
made=; [ -d /run/sshd ] || { mkdir -m 0755 /run/sshd; made=1; }
useradd --no-create-home --no-user-group --gid nogroup --uid "$3" --home-dir "$1/home" --shell /bin/bash demo
usermod --password '*' demo
sshd=
clean() { [ -z "$sshd" ] || kill "$sshd" || true; userdel demo || true; [ -z "$made" ] || rmdir /run/sshd || true; }
trap clean EXIT
trap 'exit 1' TERM INT HUP
"$2" -D -e -f "$1/etc-ssh/sshd_config" </dev/null &
sshd=$!
cat >/dev/null
"#;
