//! What a person asks for, and what reviewers answer.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Factors, IdentityName, Login, NameError, ProxyName, RequestId, Span, TargetName, Timestamp};

/// identity + target + login + duration + reason (+ ticket, + one exact command, + a later start).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestSpec {
    /// Who asks.
    pub identity: IdentityName,
    /// For which server.
    pub target: TargetName,
    /// For which account.
    pub login: Login,
    /// For how long, counted from approval (or from `start`).
    pub duration: Span,
    /// Why.
    pub reason: Reason,
    /// A ticket in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The one exact command that may be run, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The active grant that this request would extend by `duration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<RequestId>,
}

/// Why access is asked for: one to 1,024 characters of text, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// The most bytes that a reason may have.
    pub const LIMIT: usize = 1024;

    /// The reason as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty { kind: "reason" });
        }
        if text.len() > Self::LIMIT {
            return Err(NameError::Long { kind: "reason", length: text.len(), limit: Self::LIMIT });
        }
        // A reviewer reads it in a terminal: no escape sequence, and nothing that turns the text around.
        let hostile = |c: char| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        match text.char_indices().find(|&(_, c)| hostile(c)) {
            None => Ok(Self(text.to_owned())),
            Some((at, character)) => Err(NameError::Character {
                kind: "reason",
                shown: format!("{:?}", text.chars().take(64).collect::<String>()),
                character,
                at,
                allowed: "write one line of plain text",
            }),
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One approver's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes, possibly for a shorter time than was asked.
    Approve {
        /// At most this long; `None`: as long as was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration: Option<Span>,
    },
    /// No. One denial ends the request.
    Deny,
}

/// What a `request.filed` fact records beside the request itself: where the question came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    /// The idempotency key that the client sent; the same key with the same question answers with the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Whether the asker had touched a security key at login: some paths want it, and a review judges them later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touch: bool,
    /// Whether they had given a one-time code not long before, for the same reason.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub totp: bool,
    /// From where, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Through which proxy, where it was asked over ssh; for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<ProxyName>,
    /// A pending request dies at this moment.
    pub expires: Timestamp,
}

impl Asked {
    /// What the asker had shown beside their key.
    #[must_use]
    pub const fn factors(&self) -> Factors {
        Factors { touch: self.touch, totp: self.totp }
    }
}

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantEnd {
    /// Its time was up.
    Expired,
    /// Someone with the right took it back.
    Revoked,
    /// Its holder gave it back.
    Released,
}
