//! Locks: a deny on an identity, a target, a login, a grant or everything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{IdentityName, LockId, Login, RequestId, TargetName, Timestamp};

/// A lock in force: it refuses the new and kills the live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// Its id.
    pub id: LockId,
    /// What is locked.
    pub subject: LockSubject,
    /// Why, in words that the locked person will read.
    pub reason: String,
    /// It lifts itself at this moment; `None`: until someone unlocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a lock locks. Written "identity:alice", "target:web1", "login:root", "login:root@web1", "grant:req-…", "everything".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LockSubject {
    /// One identity, wherever they are.
    Identity(IdentityName),
    /// One target, whoever asks.
    Target(TargetName),
    /// One login, on one target or on all.
    Login(Login, Option<TargetName>),
    /// One grant.
    Grant(RequestId),
    /// Everything: nobody gets in, everybody is dropped.
    Everything,
}

impl LockSubject {
    /// Whether a session of `identity` as `login` on `target` under `grant` is hit.
    #[must_use]
    pub fn covers(
        &self,
        identity: &IdentityName,
        target: &TargetName,
        login: &Login,
        grant: Option<&RequestId>,
    ) -> bool {
        match self {
            Self::Identity(name) => name == identity,
            Self::Target(name) => name == target,
            Self::Login(name, on) => name == login && on.as_ref().is_none_or(|on| on == target),
            Self::Grant(id) => Some(id) == grant,
            Self::Everything => true,
        }
    }
}

impl fmt::Display for LockSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "identity:{name}"),
            Self::Target(name) => write!(f, "target:{name}"),
            Self::Login(login, None) => write!(f, "login:{login}"),
            Self::Login(login, Some(target)) => write!(f, "login:{login}@{target}"),
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

impl FromStr for LockSubject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "everything" {
            return Ok(Self::Everything);
        }
        let Some((kind, rest)) = text.split_once(':') else {
            return Err(format!(
                "{:?} is nothing that can be locked: write identity:NAME, target:NAME, login:NAME, login:NAME@TARGET, grant:ID or everything",
                text.chars().take(64).collect::<String>()
            ));
        };
        match kind {
            "identity" => rest.parse().map(Self::Identity).map_err(|e| e.to_string()),
            "target" => rest.parse().map(Self::Target).map_err(|e| e.to_string()),
            "login" => match rest.split_once('@') {
                None => rest.parse().map(|login| Self::Login(login, None)).map_err(|e| e.to_string()),
                Some((login, target)) => Ok(Self::Login(
                    login.parse().map_err(|e: crate::NameError| e.to_string())?,
                    Some(target.parse().map_err(|e: crate::NameError| e.to_string())?),
                )),
            },
            "grant" => rest.parse().map(Self::Grant).map_err(|e| e.to_string()),
            _ => Err(format!("a lock cannot be on a {kind:?}: use identity, target, login, grant or everything")),
        }
    }
}

impl TryFrom<String> for LockSubject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LockSubject> for String {
    fn from(subject: LockSubject) -> Self {
        subject.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_round_trip() {
        for text in
            ["identity:alice", "target:web1", "login:root", "login:root@web1", "grant:req-000000000000", "everything"]
        {
            assert_eq!(text.parse::<LockSubject>().unwrap().to_string(), text);
        }
        for text in ["", "alice", "person:alice", "identity:", "login:@web1", "grant:x"] {
            assert!(text.parse::<LockSubject>().is_err(), "{text}");
        }
    }
}
