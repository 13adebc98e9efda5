//! Whom a token or a statement is about.

use std::fmt;

use model::{Actor, IdentityName, ProxyName};

/// A party that proves itself by SSH key: a person (or workload), or a session proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A person or workload of the directory.
    Identity(IdentityName),
    /// A session proxy of the directory.
    Proxy(ProxyName),
}

impl Subject {
    /// The person, when it is one.
    #[must_use]
    pub const fn identity(&self) -> Option<&IdentityName> {
        match self {
            Self::Identity(name) => Some(name),
            Self::Proxy(_) => None,
        }
    }

    /// The proxy, when it is one.
    #[must_use]
    pub const fn proxy(&self) -> Option<&ProxyName> {
        match self {
            Self::Identity(_) => None,
            Self::Proxy(name) => Some(name),
        }
    }
}

impl fmt::Display for Subject {
    /// "alice", "proxy:proxy1": as [`Actor`] writes them. No identity name can hold a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "{name}"),
            Self::Proxy(name) => write!(f, "proxy:{name}"),
        }
    }
}

impl From<Subject> for Actor {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Identity(name) => Self::Identity(name),
            Subject::Proxy(name) => Self::Proxy(name),
        }
    }
}
