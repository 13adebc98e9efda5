//! The ways from a person to web1, and stock ssh along each.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::jump::Jump;
use crate::site::{Person, Site, Stage};

/// A way to web1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Without Portcullis, with a plain key.
    Direct,
    /// Without Portcullis, through a second sshd: `ssh -J jump web1`
    ProxyJump,
    /// `ssh demo+web1@proxy`
    Login(Recording),
    /// `ssh -J proxy demo@web1`
    Jump(Recording),
}

/// What the policy path of the grant says about recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// `@recording("strict")`
    Strict,
    /// `@recording("off")`
    Off,
}

/// The ciphers that are compared: the two that clients choose on a machine with AES instructions, and OpenSSH's default.
pub(crate) const CIPHERS: [(&str, &str); 3] = [
    ("aes128-gcm", "aes128-gcm@openssh.com"),
    ("aes256-gcm", "aes256-gcm@openssh.com"),
    ("chacha20", "chacha20-poly1305@openssh.com"),
];

/// The one of them that is taken where the cipher does not matter.
pub(crate) const USUAL_CIPHER: &str = "aes128-gcm";

impl Way {
    /// All that are compared, in the order of the table.
    pub(crate) const ALL: [Self; 6] = [
        Self::Direct,
        Self::ProxyJump,
        Self::Login(Recording::Strict),
        Self::Login(Recording::Off),
        Self::Jump(Recording::Strict),
        Self::Jump(Recording::Off),
    ];

    /// `ssh` this way, with one cipher on every connection of it; options and command follow.
    pub(crate) fn ssh(self, site: &Site, cipher: &str) -> Command {
        let (recording, words): (_, &[&str]) = match self {
            Self::Direct => (Recording::Strict, &["direct"]),
            Self::ProxyJump => (Recording::Strict, &["-J", "jump", "direct"]),
            Self::Login(recording) => (recording, &["-l", "demo+web1", "portcullis-proxy1"]),
            Self::Jump(recording) => (recording, &["demo@web1"]),
        };
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(file(&site.stage, cipher, recording)).args(words).env_remove("SSH_AUTH_SOCK");
        ssh
    }
}

/// As in the table. What is not said to be unrecorded is recorded.
impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Direct => "direct",
            Self::ProxyJump => "ProxyJump",
            Self::Login(Recording::Strict) => "login+target",
            Self::Login(Recording::Off) => "login+target unrecorded",
            Self::Jump(Recording::Strict) => "-J",
            Self::Jump(Recording::Off) => "-J unrecorded",
        })
    }
}

/// To and fro, run by run: so none always comes after the same other one, which may have left something to be done.
pub(crate) fn in_turn<T>(ways: impl DoubleEndedIterator<Item = T>, run: usize) -> Vec<T> {
    if run.is_multiple_of(2) { ways.collect() } else { ways.rev().collect() }
}

/// Writes the configuration of ssh for someone whose sessions are recorded in that way, for each cipher.
pub(crate) fn configure(site: &Site, jump: &Jump, person: &Person, recording: Recording) -> Result<()> {
    // What people trust is what proxies show; a server's own key they must be told.
    let known = site.stage.path("known_hosts.plain");
    fs::write(&known, format!("web1 {}\njump {}\n", site.web1.host_key()?, jump.host_key()?))?;
    let (home, key, known) = (person.home().display(), site.alice.key(), known.display().to_string());
    let plain = |host: &str, alias: &str, address: SocketAddr, user: &str| {
        format!(
            "Host {host}\n    HostName {}\n    Port {}\n    User {user}\n    HostKeyAlias {alias}\n    \
             IdentitiesOnly yes\n    IdentityFile {}\n    UserKnownHostsFile {known}\n    StrictHostKeyChecking yes\n",
            address.ip(),
            address.port(),
            key.display(),
        )
    };
    let direct = plain("direct", "web1", site.web1.address(), "demo");
    let jump = plain("jump", "jump", jump.address(), Jump::LOGIN);
    for (name, cipher) in CIPHERS {
        // Since 9.5 ssh sends keystrokes on a beat of 20 ms, which would be all that is measured of them.
        let text = format!(
            "IgnoreUnknown ObscureKeystrokeTiming\nObscureKeystrokeTiming no\nCiphers {cipher}\n\
             Include {home}/ssh_config\n{direct}{jump}"
        );
        fs::write(file(&site.stage, name, recording), text)?;
    }
    Ok(())
}

fn file(stage: &Stage, cipher: &str, recording: Recording) -> PathBuf {
    stage.path(&match recording {
        Recording::Strict => format!("ssh_config.{cipher}"),
        Recording::Off => format!("ssh_config.{cipher}.unrecorded"),
    })
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn every_second_run_goes_backwards() {
        let order = |run| in_turn([1, 2, 3].into_iter(), run);
        assert_eq!([order(0), order(1), order(2)], [[1, 2, 3], [3, 2, 1], [1, 2, 3]]);
    }
}
