//! `web1`: a real sshd with a login `demo`, which trusts the CA key and nothing else.
//!
//! It runs in namespaces of its own, where `/etc/ssh` and the list of users are the stage's: so the very lines that
//! enrol a server are applied, and nothing of this machine is touched. Where namespaces are refused (as in an
//! unprivileged container), it falls back to a temporary user and a folder other than `/etc/ssh`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
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
    /// Makes its host key and an `sshd_config` that lets one key in, as root: so a server is before it is enrolled.
    pub(crate) fn build(stage: &Stage, operator: &str) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a real sshd with several logins runs as root\nhint: run cargo xtask demo as root");
        }
        let folder = stage.folder("web1")?;
        let isolated = capture(Command::new("unshare").args(["--mount", "--uts", "--pid", "--fork", "true"])).is_ok();
        let web1 = Self { port: free_port()?, folder, isolated, sshd: None };
        for name in ["etc-ssh/sshd_config.d", "home"] {
            fs::create_dir_all(web1.folder.join(name))?;
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "web1", "-f"]).arg(web1.file("ssh_host_ed25519_key"));
        capture(&mut keygen)?;
        fs::write(web1.file("operator_keys"), format!("{operator}\n"))?;
        web1.write_config(&format!("{}/operator_keys", web1.etc_ssh()))?;
        web1.write_users()?;
        Ok(web1)
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// How the server itself names its `/etc/ssh`.
    pub(crate) fn etc_ssh(&self) -> String {
        if self.isolated { "/etc/ssh".to_owned() } else { self.folder.join("etc-ssh").display().to_string() }
    }

    /// The command that reloads its sshd, as it is typed on the server.
    pub(crate) fn reload_command(&self) -> String {
        format!("kill -HUP $(cat {}/sshd.pid)", self.etc_ssh())
    }

    /// The public half of its host key, as one line.
    pub(crate) fn host_key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file("ssh_host_ed25519_key.pub"))?.trim().to_owned())
    }

    /// What its enrolment put into its configuration.
    pub(crate) fn enrolled_lines(&self) -> Result<String> {
        fs::read_to_string(self.file("sshd_config.d/00-portcullis.conf")).context("web1 is not enrolled")
    }

    /// The home folder of its login.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self, stage: &Stage) -> Result<()> {
        let sshd = which("sshd").context("sshd is not installed")?;
        self.sshd = Some(Background::start(stage, "sshd", &mut self.command(&sshd))?);
        self.wait_listening(stage, 1)
    }

    /// Takes the operator's key away: from now on the CA key is the only way in.
    pub(crate) fn trust_only_the_ca(&mut self, stage: &Stage) -> Result<()> {
        self.reconfigure(stage, "none")
    }

    /// Lets a plain key in besides: what a benchmark compares with is ssh without Portcullis.
    pub(crate) fn let_in(&mut self, stage: &Stage, key: &str) -> Result<()> {
        fs::write(self.file("plain_keys"), format!("{key}\n"))?;
        self.reconfigure(stage, &format!("{}/plain_keys", self.etc_ssh()))
    }

    fn reconfigure(&mut self, stage: &Stage, authorized_keys: &str) -> Result<()> {
        let before = self.times_listening();
        self.write_config(authorized_keys)?;
        self.sshd.as_mut().context("sshd is not running")?.tell("reload")?;
        self.wait_listening(stage, before + 1)
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        self.sshd.as_ref().map(Background::tail).unwrap_or_default()
    }

    fn wait_listening(&mut self, stage: &Stage, times: usize) -> Result<()> {
        let listening = stage.wait("sshd to listen", Duration::from_secs(15), || {
            if let Some(sshd) = &mut self.sshd {
                sshd.check()?;
            }
            Ok((self.times_listening() >= times).then_some(()))
        });
        listening.with_context(|| self.log())
    }

    fn times_listening(&self) -> usize {
        let log = self.sshd.as_ref().and_then(|sshd| fs::read_to_string(sshd.log()).ok());
        log.map(|log| log.matches("Server listening on").count()).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("etc-ssh").join(name)
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

    fn write_config(&self, authorized_keys: &str) -> Result<()> {
        let etc = self.etc_ssh();
        let strict = if self.isolated { "yes" } else { "no" };
        let text = format!(
            "Include {etc}/sshd_config.d/*.conf\n\
             ListenAddress {}\nHostKey {etc}/ssh_host_ed25519_key\nPidFile {etc}/sshd.pid\n\
             AuthorizedKeysFile {authorized_keys}\nPermitRootLogin prohibit-password\nStrictModes {strict}\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             PrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\nMaxStartups 500\nMaxSessions 500\n\
             Subsystem sftp internal-sftp\n",
            self.address()
        );
        Ok(fs::write(self.file("sshd_config"), text)?)
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
while read -r word; do kill -HUP "$!"; done
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
while read -r word; do kill -HUP "$sshd"; done
"#;
