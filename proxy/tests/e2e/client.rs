//! Stock OpenSSH, as a person would run it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::world::Person;

/// A command that says nothing and lasts as long as its session: it leaves nothing behind on the target.
pub const LINGER: &str = "exec tail -f /dev/null --pid=$PPID";

/// The two ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plus,
    Jump,
}

pub const WAYS: [Way; 2] = [Way::Plus, Way::Jump];

impl Person {
    /// Writes the settings of this person's ssh, and returns their place.
    pub fn config(&self, more: &str) -> PathBuf {
        let path = self.folder.join(format!("config-{}", crate::authority::random_bits()));
        let common = format!(
            "  IdentityFile {key}\n  CertificateFile {key}-cert.pub\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {at}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
             {more}\n  LogLevel ERROR\n",
            key = self.key.display(),
            at = self.folder.display(),
        );
        let port = self.port;
        let text = format!(
            "Host proxy\n  HostName 127.0.0.1\n  HostKeyAlias proxy.test\n  Port {port}\n{common}\
             Host !proxy *\n  ProxyJump proxy\n{common}"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `ssh login@target`, one way or the other.
    pub fn ssh(&self, way: Way, login: &str, target: &str, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.config("")).args(options);
        command.arg(place(way, login, target));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a command and waits for it.
    pub async fn run(&self, way: Way, place: &str, words: &str) -> Output {
        let (login, target) = place.split_once('@').unwrap();
        finish(self.ssh(way, login, target, &[]).arg(words)).await
    }

    /// Runs a command with this on its standard input.
    pub async fn feed(&self, way: Way, place: &str, words: &str, input: &[u8]) -> Output {
        let (login, target) = place.split_once('@').unwrap();
        let mut child = self.ssh(way, login, target, &[]).arg(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = tokio::spawn(async move {
            stdin.write_all(&input).await.unwrap();
        });
        let output = wait(child).await;
        writing.await.unwrap();
        output
    }
}

pub fn place(way: Way, login: &str, target: &str) -> String {
    match way {
        Way::Plus => format!("{login}+{target}@proxy"),
        Way::Jump => format!("{login}@{target}"),
    }
}

/// Spawns and waits.
pub async fn finish(command: &mut Command) -> Output {
    wait(command.spawn().unwrap()).await
}

/// Waits, within reason.
pub async fn wait(child: Child) -> Output {
    tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("it ends").unwrap()
}

/// Runs a program with arguments and waits for it.
pub async fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    finish(&mut command).await
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program said and how it ended, for a failed assertion.
pub fn shown(output: &Output) -> String {
    format!("{:?}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "never: {what}");
}
