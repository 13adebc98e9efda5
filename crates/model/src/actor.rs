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
    /// A person who logged in to a session proxy with their own key, and acted there: the proxy passed it on.
    Through {
        /// Who.
        identity: IdentityName,
        /// Through which proxy.
        proxy: ProxyName,
    },
    /// A session proxy, reporting what it saw.
    Proxy(ProxyName),
    /// Portcullis itself: a deadline that passed, a file that changed.
    System,
}

impl Actor {
    /// The identity, when the actor is one, however they came.
    #[must_use]
    pub const fn identity(&self) -> Option<&IdentityName> {
        match self {
            Self::Identity(name) | Self::Through { identity: name, .. } => Some(name),
            Self::Proxy(_) | Self::System => None,
        }
    }

    /// The proxy through which a person acted.
    #[must_use]
    pub const fn through(&self) -> Option<&ProxyName> {
        match self {
            Self::Through { proxy, .. } => Some(proxy),
            Self::Identity(_) | Self::Proxy(_) | Self::System => None,
        }
    }
}

impl fmt::Display for Actor {
    /// "alice", "alice through proxy:proxy1", "proxy:proxy1", "system"; no identity name can hold a colon or a blank.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "{name}"),
            Self::Through { identity, proxy } => write!(f, "{identity} through proxy:{proxy}"),
            Self::Proxy(name) => write!(f, "proxy:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}
