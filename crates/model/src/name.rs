//! Names that people, policies, certificates and shells all see, so their alphabet is narrow on purpose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the {kind} is empty")]
    Empty {
        /// Which kind of name.
        kind: &'static str,
    },
    /// Over the limit.
    #[error("the {kind} is {length} bytes long; the limit is {limit}")]
    Long {
        /// Which kind of name.
        kind: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A character outside of the alphabet.
    #[error("the {kind} {shown} has {character:?} at byte {at}: {allowed}")]
    Character {
        /// Which kind of name.
        kind: &'static str,
        /// The name with control characters escaped.
        shown: String,
        /// The first character that is not allowed.
        character: char,
        /// Where it stands.
        at: usize,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// A number that is no TCP port.
    #[error("{shown} is no port: ports go from 1 to 65535")]
    Port {
        /// What stands behind the colon, escaped.
        shown: String,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $limit:literal, first: $first:expr, rest: $rest:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The most bytes that this kind of name may have.
            pub const LIMIT: usize = $limit;

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text, Self::LIMIT, $first, $rest, $allowed)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

name! {
    /// A person or workload: "alice", "alice@example.org", "ci-deploy".
    IdentityName, "identity name", 128,
    first: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '@'),
    "use a-z, 0-9, '.', '_', '-' and '@', and begin with a letter or a digit"
}

name! {
    /// A group of identities: "sre", "db-admins".
    GroupName, "group name", 64,
    first: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'),
    "use a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
}

name! {
    /// A server reachable over SSH, as people type it behind the `@`: "web1", "db.prod.example.org".
    TargetName, "target name", 253,
    first: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'),
    "use a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
}

name! {
    /// An account on a target: "root", "deploy".
    Login, "login", 32,
    first: |c| c.is_ascii_alphabetic() || c == '_',
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
    "use letters, digits, '.', '_' and '-', and begin with a letter or '_'"
}

name! {
    /// A session proxy that the CA knows: "proxy1".
    ProxyName, "proxy name", 64,
    first: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'),
    "use a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
}

fn check(
    kind: &'static str,
    text: &str,
    limit: usize,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
    allowed: &'static str,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > limit {
        return Err(NameError::Long { kind, length: text.len(), limit });
    }
    let bad = text.char_indices().find(|&(at, c)| if at == 0 { !first(c) } else { !rest(c) });
    match bad {
        None => Ok(()),
        Some((at, character)) => Err(NameError::Character { kind, shown: format!("{text:?}"), character, at, allowed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_principal_a_shell_or_a_policy_are_refused() {
        for text in ["", "a b", "a,b", "*", "web*", "-o", "a\nb", "a\0", "ä", "a/b", "a:b", "a+b", "a%b", "A"] {
            assert!(text.parse::<TargetName>().is_err(), "{text:?}");
            assert!(text.parse::<IdentityName>().is_err(), "{text:?}");
        }
        assert!("web1@x".parse::<TargetName>().is_err());
        assert!("x".repeat(254).parse::<TargetName>().is_err());
        assert!("-root".parse::<Login>().is_err());
        assert!("root+web1".parse::<Login>().is_err());
    }

    #[test]
    fn an_error_says_what_and_where() {
        let error = "we b".parse::<TargetName>().unwrap_err().to_string();
        assert!(error.contains("target name \"we b\"") && error.contains("' ' at byte 2"), "{error}");
    }

    #[test]
    fn a_stored_name_is_checked_again() {
        assert!(serde_json::from_str::<Login>("\"ro ot\"").is_err());
        assert_eq!(serde_json::from_str::<Login>("\"root\"").unwrap().as_str(), "root");
    }
}
