//! Who did it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{IdentityName, ProxyName};

/// Who caused a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// A verified person or workload.
    Identity(IdentityName),
    /// A session proxy, reporting what it saw.
    Proxy(ProxyName),
    /// Portcullis itself: a deadline that passed, a file that changed.
    System,
}

impl Actor {
    /// The identity, when the actor is one.
    #[must_use]
    pub const fn identity(&self) -> Option<&IdentityName> {
        match self {
            Self::Identity(name) => Some(name),
            Self::Proxy(_) | Self::System => None,
        }
    }
}

impl fmt::Display for Actor {
    /// "alice", "proxy:proxy1", "system"; no identity name can hold a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "{name}"),
            Self::Proxy(name) => write!(f, "proxy:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}
