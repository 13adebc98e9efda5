//! The three keys with which the CA signs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the CA's signing keys. Never two of them are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// The user CA: people and sessions.
    User,
    /// The host CA: what targets show to proxies.
    Host,
    /// The front CA: what proxies show to people.
    Front,
}

/// No name of a CA key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such CA key: they are user, host and front")]
pub struct NoAuthority;

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Host, Self::Front];

    /// As it is written: "user", "host", "front".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
            Self::Front => "front",
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Authority {
    type Err = NoAuthority;

    fn from_str(text: &str) -> Result<Self, NoAuthority> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or(NoAuthority)
    }
}
