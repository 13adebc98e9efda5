//! What a session channel may run.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ChannelKind;

/// The longest name of a subsystem, in bytes. SSH knows no limit; `sftp` and `netconf` are what there is.
const SUBSYSTEM: usize = 64;

/// One thing that a session channel may run (RFC 4254, section 6.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ChannelRight {
    /// `shell`: a login shell.
    Shell,
    /// `exec`: any command.
    Exec,
    /// `scp`: the commands of the old scp protocol and no other.
    Scp,
    /// `subsystem`: any subsystem.
    AnySubsystem,
    /// `subsystem:NAME`: one subsystem, as `subsystem:sftp`.
    Subsystem(String),
}

/// A text that names no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that a channel runs: known are shell, exec, scp, subsystem and subsystem:NAME")]
pub struct ChannelRightError(String);

impl ChannelRight {
    /// What is written in a policy when nothing is: everything.
    #[must_use]
    pub fn usual() -> BTreeSet<Self> {
        BTreeSet::from([Self::Shell, Self::Exec, Self::AnySubsystem])
    }

    /// Whether it covers what a channel asks for. A command of the old scp is covered by `exec` here; whoever can read
    /// such commands asks for [`Scp`](Self::Scp) besides.
    #[must_use]
    pub fn covers(&self, kind: &ChannelKind) -> bool {
        match (self, kind) {
            (Self::Shell, ChannelKind::Shell)
            | (Self::Exec, ChannelKind::Exec { .. })
            | (Self::AnySubsystem, ChannelKind::Subsystem { .. }) => true,
            (Self::Subsystem(allowed), ChannelKind::Subsystem { name }) => allowed == name,
            (Self::Shell | Self::Exec | Self::Scp | Self::AnySubsystem | Self::Subsystem(_), _) => false,
        }
    }

    pub(super) const fn breadth(&self) -> usize {
        match self {
            Self::Shell | Self::Exec => 100,
            Self::AnySubsystem => 10,
            Self::Scp | Self::Subsystem(_) => 1,
        }
    }
}

impl fmt::Display for ChannelRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell => f.write_str("shell"),
            Self::Exec => f.write_str("exec"),
            Self::Scp => f.write_str("scp"),
            Self::AnySubsystem => f.write_str("subsystem"),
            Self::Subsystem(name) => write!(f, "subsystem:{name}"),
        }
    }
}

impl FromStr for ChannelRight {
    type Err = ChannelRightError;

    fn from_str(text: &str) -> Result<Self, ChannelRightError> {
        let name = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | ':' | '*' | '"');
        match text {
            "shell" => Ok(Self::Shell),
            "exec" => Ok(Self::Exec),
            "scp" => Ok(Self::Scp),
            "subsystem" => Ok(Self::AnySubsystem),
            other => match other.strip_prefix("subsystem:") {
                Some(named) if !named.is_empty() && named.len() <= SUBSYSTEM && named.chars().all(name) => {
                    Ok(Self::Subsystem(named.to_owned()))
                }
                Some(_) | None => Err(ChannelRightError(other.chars().take(128).collect())),
            },
        }
    }
}

impl TryFrom<String> for ChannelRight {
    type Error = ChannelRightError;

    fn try_from(text: String) -> Result<Self, ChannelRightError> {
        text.parse()
    }
}

impl From<ChannelRight> for String {
    fn from(right: ChannelRight) -> Self {
        right.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_reads_as_it_is_written() {
        for text in ["shell", "exec", "scp", "subsystem", "subsystem:sftp", "subsystem:sftp@example.org"] {
            assert_eq!(text.parse::<ChannelRight>().unwrap().to_string(), text);
        }
        for text in ["", "Shell", "sftp", "subsystem:", "subsystem:*", "subsystem:a,b", "subsystem: a", "exec:ls"] {
            assert!(text.parse::<ChannelRight>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn where_files_are_limited_a_subsystem_that_nobody_reads_must_be_named() {
        let (sftp, other) = ["sftp", "netconf"].map(|name| ChannelKind::Subsystem { name: name.to_owned() }).into();
        let mut carriage = crate::Carriage { channels: ["subsystem".parse().unwrap()].into(), ..Default::default() };
        assert!(carriage.runs(&sftp) && carriage.runs(&other));
        carriage.download.clear();
        assert!(carriage.runs(&sftp) && !carriage.runs(&other) && !carriage.runs(&ChannelKind::Shell));
        carriage.channels.insert("subsystem:netconf".parse().unwrap());
        assert!(carriage.runs(&other));
    }

    #[test]
    fn a_right_covers_its_own_kind() {
        let shell = ChannelKind::Shell;
        let exec = ChannelKind::Exec { command: "id".to_owned() };
        let sftp = ChannelKind::Subsystem { name: "sftp".to_owned() };
        let other = ChannelKind::Subsystem { name: "netconf".to_owned() };
        let covered = |text: &str| {
            let right: ChannelRight = text.parse().unwrap();
            [&shell, &exec, &sftp, &other].map(|kind| right.covers(kind))
        };
        assert_eq!(covered("shell"), [true, false, false, false]);
        assert_eq!(covered("exec"), [false, true, false, false]);
        assert_eq!(covered("scp"), [false, false, false, false]);
        assert_eq!(covered("subsystem"), [false, false, true, true]);
        assert_eq!(covered("subsystem:sftp"), [false, false, true, false]);
    }
}
