//! Certificates as the ledger knows them, and locks.

use std::collections::BTreeMap;

use model::{Actor, CertificateBody, IdentityName, Lock, RequestId, Seq, Timestamp};
use serde::{Deserialize, Serialize};

use crate::limits::RETENTION;

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
    /// Fingerprint of the login key that bought a person's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought_with: Option<String>,
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

/// What is kept of the last certificate that a grant or a target got, for as long as it is there: certificates themselves
/// are forgotten in the order in which they come, whoever brings them about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastCertificate {
    /// Fingerprint of the CA key that signed it.
    pub ca: String,
    /// When it ends.
    pub valid_before: Timestamp,
}

impl LastCertificate {
    /// Whether it is good at `now` by this key of the CA.
    #[must_use]
    pub fn is_good(&self, ca: &str, now: Timestamp) -> bool {
        self.ca == ca && now < self.valid_before
    }
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

    pub(super) fn last(&self) -> LastCertificate {
        LastCertificate { ca: self.body.ca.clone(), valid_before: self.body.valid_before }
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

/// When locks fell on identities, whether or not they were lifted since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Lockings {
    latest: BTreeMap<IdentityName, Timestamp>,
    /// The latest that was forgotten: it stands for everybody who is not listed, so that forgetting permits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<Timestamp>,
}

impl Lockings {
    pub(super) fn of(&self, identity: &IdentityName) -> Option<Timestamp> {
        self.latest.get(identity).copied().or(self.forgotten)
    }

    pub(super) fn fell(&mut self, identity: &IdentityName, at: Timestamp) {
        self.latest.insert(identity.clone(), at);
        if self.latest.len() > RETENTION {
            let oldest = self.latest.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            let dropped = oldest.and_then(|name| self.latest.remove(&name));
            self.forgotten = self.forgotten.max(dropped);
        }
    }
}
