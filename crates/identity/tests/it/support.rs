use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::Timestamp;
use portcullis_identity::{Directory, Nonce, Statement, Subject};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{PrivateKey, PublicKey};
use tempfile::TempDir;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(crate) const SERVER: &str = "ca.example.org";

/// The software security key of Debian's package openssh-tests.
pub(crate) const SK_DUMMY: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

pub(crate) fn alice() -> Subject {
    Subject::Identity("alice".parse().unwrap())
}

pub(crate) fn statement() -> Statement {
    Statement::login(SERVER, &alice(), &Nonce::from_random([7; 32]))
}

pub(crate) fn private(seed: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[seed; 32])), "a comment").unwrap()
}

pub(crate) fn public(seed: u8) -> PublicKey {
    private(seed).public_key().clone()
}

pub(crate) fn line(seed: u8) -> String {
    public(seed).to_openssh().unwrap()
}

/// A directory where alice has key 1, bob key 2 and the proxy key 9.
pub(crate) fn directory() -> Directory {
    let text = format!(
        "[[identity]]\nname = \"alice\"\nkeys = [\"{}\"]\n[[identity]]\nname = \"bob\"\nkeys = [\"{}\"]\n[[proxy]]\nname = \"proxy1\"\nkeys = [\"{}\"]\n",
        line(1),
        line(2),
        line(9)
    );
    Directory::parse(&text, "directory.toml").unwrap()
}

/// A folder with keys made by ssh-keygen.
pub(crate) struct Keys {
    pub(crate) dir: TempDir,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes a key with the given arguments of ssh-keygen.
    pub(crate) fn make(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-f"]).arg(&path).args(arguments);
        run(&mut command);
        path
    }

    /// Signs with `ssh-keygen -Y sign`.
    pub(crate) fn sign(&self, key: &Path, namespace: &str, text: &str) -> String {
        let message = self.dir.path().join("message");
        std::fs::write(&message, text).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(key).arg(&message).env("SSH_SK_PROVIDER", SK_DUMMY);
        run(&mut command);
        let signature = self.dir.path().join("message.sig");
        let text = std::fs::read_to_string(&signature).unwrap();
        std::fs::remove_file(signature).unwrap();
        text
    }
}

/// A real ssh-agent in the foreground, ended on drop.
pub(crate) struct AgentProcess {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl AgentProcess {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let mut child = Command::new("ssh-agent")
            .args(["-D", "-P", "/usr/lib/openssh/*", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent of the package openssh-client");
        let deadline = Instant::now() + Duration::from_secs(10);
        // The file is there before anyone listens, and until then whoever connects is refused.
        while UnixStream::connect(&socket).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "ssh-agent ended by itself");
            assert!(Instant::now() < deadline, "ssh-agent does not listen on its socket");
            std::thread::yield_now();
        }
        Self { child, socket }
    }

    pub(crate) fn add(&self, key: &Path) {
        let mut command = Command::new("ssh-add");
        run(command.arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).env("SSH_SK_PROVIDER", SK_DUMMY));
    }

    /// What ssh-add says of it.
    pub(crate) fn list(&self) -> String {
        let output = Command::new("ssh-add").arg("-L").env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("a program of the package openssh-client");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails, and says what to do, when the software security key is not there.
pub(crate) fn need_security_key() {
    assert!(
        Path::new(SK_DUMMY).exists(),
        "{SK_DUMMY} is not there: run cargo xtask setup (or apt-get install openssh-tests)"
    );
}
