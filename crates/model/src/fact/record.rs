//! A fact's place in the ledger, and what is written beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Correlation, Fact};
use crate::{Actor, Timestamp};

/// A fact on its way into the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// When it was decided.
    pub time: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What it belongs to.
    pub correlation: Correlation,
    /// What happened.
    pub fact: Fact,
}

/// A fact in the ledger: an entry with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Its place.
    pub seq: Seq,
    /// When, who, under which request, and what.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The place of a record in the ledger, counted from 0 without a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
