//! Channels of a session (RFC 4254, section 5).

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
}
