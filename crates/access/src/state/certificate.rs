//! Certificates as the ledger knows them, and locks.

use model::{Actor, CertificateBody, Lock, RequestId, Seq, Timestamp};
use serde::{Deserialize, Serialize};

/// A certificate, from its intent on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    /// What it says.
    pub body: CertificateBody,
    /// The grant that it is issued under; `None` for a host certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// Who ordered it.
    pub by: Actor,
    /// When.
    pub intended: Timestamp,
    /// What became of it.
    pub state: CertificateState,
    pub(super) seq: Seq,
}

/// What became of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// It may be being signed. One that stays so was never handed out.
    Intended,
    /// It was handed out.
    Issued {
        /// SHA-256 of the whole certificate, in hexadecimal.
        sha256: String,
        /// When.
        at: Timestamp,
    },
    /// It was not handed out.
    Failed {
        /// What went wrong.
        error: String,
        /// When.
        at: Timestamp,
    },
}

impl Certificate {
    /// The state in one word: "intended", "issued", "failed".
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.state {
            CertificateState::Intended => "intended",
            CertificateState::Issued { .. } => "issued",
            CertificateState::Failed { .. } => "failed",
        }
    }

    pub(super) fn settled(self, state: CertificateState) -> Self {
        Self { state, ..self }
    }
}

/// A lock that was placed and not lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlacedLock {
    /// The lock.
    pub lock: Lock,
    /// Who placed it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

impl PlacedLock {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.lock.until.is_none_or(|until| now < until)
    }
}
