//! Presence: that a session's person was there themself.

use serde::{Deserialize, Serialize};

use crate::{Factors, Serial};

/// The log-in to the connection that a session runs on, signed by the person's own key (RFC 4252, section 7). One
/// opens one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Presence {
    /// SHA-256 of the connection's session identifier (RFC 4253, section 7.2), in hexadecimal.
    pub sha256: String,
    /// The person's certificate; absent where a plain key logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Serial>,
    /// Fingerprint of the plain key that logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether a security key signed, which was touched for it.
    pub touch: bool,
    /// Whether a one-time code was given for it as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub totp: bool,
}

impl Presence {
    /// What was shown beside the key.
    #[must_use]
    pub const fn factors(&self) -> Factors {
        Factors { touch: self.touch, totp: self.totp }
    }
}
