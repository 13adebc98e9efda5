//! Second factors: what somebody shows beside their key, and what a path wants of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody has shown beside the key itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// A security key was touched at login.
    pub touch: bool,
    /// A one-time code (RFC 6238) was given, not long ago.
    pub totp: bool,
}

impl Factors {
    /// All that there are.
    pub const ALL: Self = Self { touch: true, totp: true };
}

/// The second factor that a path wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondFactor {
    /// A one-time code or a touched security key.
    Any,
    /// A one-time code.
    Totp,
}

impl SecondFactor {
    /// The name in policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Totp => "totp",
        }
    }

    /// Whether what was shown is enough.
    #[must_use]
    pub const fn is_met_by(self, shown: Factors) -> bool {
        match self {
            Self::Any => shown.totp || shown.touch,
            Self::Totp => shown.totp,
        }
    }
}

impl fmt::Display for SecondFactor {
    /// In words: "a one-time code".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "a one-time code or a touched security key",
            Self::Totp => "a one-time code",
        })
    }
}
