//! Channels of a session (RFC 4254, section 5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a channel carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A login shell.
    Shell,
    /// One command. Bytes that are not UTF-8 are shown as U+FFFD.
    Exec {
        /// The command.
        command: String,
    },
    /// A subsystem, such as `sftp`.
    Subsystem {
        /// Its name.
        name: String,
    },
    /// A forward. What passes in it is counted and not recorded.
    Forward(Forward),
}

/// What a forward connects. Its ends are written as [`Peer`](crate::Peer) shows them; names are resolved by the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// A connection of the person's through the target: `-L`, `-D`, `-W` (RFC 4254, section 7.2; OpenSSH's PROTOCOL,
    /// section 2.4).
    Direct {
        /// Where it leads.
        to: String,
        /// Where it comes from, as the client says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// The target listens for the person: `-R` (RFC 4254, section 7.1). It has a number like a channel's, and no bytes
    /// of its own.
    Listener {
        /// Where.
        at: String,
    },
    /// A connection to such a listener, which the target passes on to the person.
    Forwarded {
        /// Where the target listens.
        at: String,
        /// Where it comes from, as the target says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// The target asks the person's agent.
    Agent,
    /// A window of the target on the person's screen (RFC 4254, section 6.3.2).
    X11 {
        /// Where it comes from, as the target says.
        from: String,
    },
}

impl ChannelKind {
    /// The same with each text of foreign making changed.
    #[must_use]
    pub fn map_texts(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Shell => Self::Shell,
            Self::Exec { command } => Self::Exec { command: change(command) },
            Self::Subsystem { name } => Self::Subsystem { name: change(name) },
            Self::Forward(forward) => Self::Forward(match forward {
                Forward::Direct { to, from } => Forward::Direct { to: change(to), from: from.map(change) },
                Forward::Listener { at } => Forward::Listener { at: change(at) },
                Forward::Forwarded { at, from } => Forward::Forwarded { at: change(at), from: from.map(change) },
                Forward::Agent => Forward::Agent,
                Forward::X11 { from } => Forward::X11 { from: change(from) },
            }),
        }
    }
}

impl fmt::Display for Forward {
    /// In words, as people read it: "a connection to db1:5432".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { to, .. } => write!(f, "a connection to {to}"),
            Self::Listener { at } => write!(f, "a listener on {at}"),
            Self::Forwarded { at, from: None } => write!(f, "a connection through the listener on {at}"),
            Self::Forwarded { at, from: Some(from) } => {
                write!(f, "a connection from {from} through the listener on {at}")
            }
            Self::Agent => f.write_str("a connection to the agent"),
            Self::X11 { from } => write!(f, "an X11 connection from {from}"),
        }
    }
}

/// Who ended a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBy {
    /// The person's side.
    Person,
    /// The target's side, or the loss of it.
    Target,
    /// It went with its session.
    Session,
}

impl fmt::Display for ClosedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "the person",
            Self::Target => "the target",
            Self::Session => "the end of the session",
        })
    }
}

/// The terminal that a channel asked for (RFC 4254, section 6.2). Sizes are clamped to 1..=65535.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pty {
    /// The `TERM` value.
    pub term: String,
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// How the process at the other end finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReport {
    /// `exit-status`
    Status(u32),
    /// `exit-signal`, without its "SIG".
    Signal(String),
}

/// What is known when a channel is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChannelEnd {
    /// Bytes from the person to the target.
    pub bytes_in: u64,
    /// Bytes from the target to the person, stderr included.
    pub bytes_out: u64,
    /// How the process finished; `None` when the target never said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitReport>,
    /// Who ended it, of a forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<ClosedBy>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_written_and_read_alike() {
        let at = || "localhost:8080".to_owned();
        for (forward, json) in [
            (
                Forward::Direct { to: "db1:5432".to_owned(), from: None },
                "{\"forward\":{\"direct\":{\"to\":\"db1:5432\"}}}",
            ),
            (Forward::Listener { at: at() }, "{\"forward\":{\"listener\":{\"at\":\"localhost:8080\"}}}"),
            (Forward::Agent, "{\"forward\":\"agent\"}"),
            (Forward::X11 { from: "::1".to_owned() }, "{\"forward\":{\"x11\":{\"from\":\"::1\"}}}"),
        ] {
            let kind = ChannelKind::Forward(forward);
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(serde_json::from_str::<ChannelKind>(json).unwrap(), kind);
        }
        let forwarded = Forward::Forwarded { at: at(), from: Some("1.2.3.4:5".to_owned()) };
        assert_eq!(forwarded.to_string(), "a connection from 1.2.3.4:5 through the listener on localhost:8080");
        let cut = ChannelKind::Forward(forwarded).map_texts(|text| text.chars().take(3).collect());
        let short = Forward::Forwarded { at: "loc".to_owned(), from: Some("1.2".to_owned()) };
        assert_eq!(cut, ChannelKind::Forward(short));
    }

    #[test]
    fn an_end_of_earlier_times_is_read_as_it_was() {
        let end: ChannelEnd = serde_json::from_str("{\"bytes-in\":1,\"bytes-out\":2}").unwrap();
        assert_eq!(end, ChannelEnd { bytes_in: 1, bytes_out: 2, ..ChannelEnd::default() });
        assert_eq!(serde_json::to_string(&end).unwrap(), "{\"bytes-in\":1,\"bytes-out\":2}");
    }
}
