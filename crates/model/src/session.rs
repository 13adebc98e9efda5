//! Sessions: one authenticated SSH connection through the proxy under a grant.

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
