//! Sessions: one authenticated SSH connection through the proxy under a grant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Actor, LockId, Timestamp};

/// Which of the two ways in a person took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayIn {
    /// `ssh -J proxy root@web1`: a connection inside a connection.
    Jump,
    /// `ssh root+web1@proxy`
    Plus,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionEnd {
    /// The person hung up.
    Client,
    /// The target hung up, or could not be reached.
    Target {
        /// What went wrong, when something did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The grant's time was up.
    Expired,
    /// No byte passed for the idle limit.
    Idle,
    /// The grant was revoked: its receipt.
    Revoked {
        /// Who revoked it.
        by: Actor,
        /// When the ledger says that it was revoked.
        at: Timestamp,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The grant was released by its holder.
    Released {
        /// When.
        at: Timestamp,
    },
    /// A lock fell.
    Locked {
        /// Which lock.
        lock: LockId,
        /// When it was placed.
        at: Timestamp,
        /// Why, in the words of whoever placed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// This one session was cut: by an administrator, or because policy no longer allows it.
    Cut {
        /// Who cut it.
        by: Actor,
        /// Why.
        reason: String,
        /// When it was ordered.
        at: Timestamp,
    },
    /// A strict recording could not be written.
    Recording {
        /// What went wrong.
        error: String,
    },
    /// The proxy was stopped, or was found to have died.
    Proxy {
        /// What is known about it.
        reason: String,
    },
}

impl fmt::Display for SessionEnd {
    /// In words, as people read it: "revoked by bob: that is enough".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |reason: &Option<String>| reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match self {
            Self::Client => f.write_str("the person hung up"),
            Self::Target { error: None } => f.write_str("the target hung up"),
            Self::Target { error: Some(error) } => write!(f, "the target failed: {error}"),
            Self::Expired => f.write_str("its time was up"),
            Self::Idle => f.write_str("nothing passed for too long"),
            Self::Revoked { by, reason, .. } => write!(f, "revoked by {by}{}", because(reason)),
            Self::Released { .. } => f.write_str("released"),
            Self::Locked { lock, reason, .. } => write!(f, "locked by {lock}{}", because(reason)),
            Self::Cut { by, reason, .. } => write!(f, "cut by {by}: {reason}"),
            Self::Recording { error } => write!(f, "its recording failed: {error}"),
            Self::Proxy { reason } => write!(f, "its proxy stopped: {reason}"),
        }
    }
}
