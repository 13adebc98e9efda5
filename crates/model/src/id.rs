//! Ids: a prefix that says the kind, and twelve characters of Crockford's base 32 (60 random bits).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's alphabet in lower case: no i, l, o or u, so an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 12;

/// An id that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown} is not a {kind} id: it reads {prefix}- and twelve characters of 0-9 and a-z without i, l, o, u")]
pub struct IdError {
    kind: &'static str,
    prefix: &'static str,
    shown: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from 64 random bits, of which 60 are used.
            #[must_use]
            pub fn from_random(bits: u64) -> Self {
                Self(format!("{}-{}", $prefix, base32(bits)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let good = text
                    .strip_prefix(concat!($prefix, "-"))
                    .is_some_and(|rest| rest.len() == LENGTH && rest.bytes().all(|b| ALPHABET.contains(&b)));
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    let shown = format!("{:?}", text.chars().take(64).collect::<String>());
                    Err(IdError { kind: $kind, prefix: $prefix, shown })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A request, and the grant that it becomes: one id from the question to the last byte of the recording.
    RequestId, "request", "req"
}
id! {
    /// One authenticated SSH connection through the proxy under a grant.
    SessionId, "session", "ses"
}
id! {
    /// A lock.
    LockId, "lock", "lock"
}
id! {
    /// A recording of one channel.
    RecordingId, "recording", "rec"
}
id! {
    /// A person's authenticator: what makes their one-time codes.
    FactorId, "factor", "fac"
}

fn base32(bits: u64) -> String {
    (0..LENGTH)
        .rev()
        .map(|place| {
            let digit = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_made_id_reads_back(bits: u64) {
            let id = RequestId::from_random(bits);
            proptest::prop_assert_eq!(id.as_str().parse::<RequestId>().unwrap(), id);
        }
    }

    #[test]
    fn another_kind_is_refused() {
        let session = SessionId::from_random(7);
        assert!(session.as_str().parse::<RequestId>().is_err());
        assert!("req-".parse::<RequestId>().is_err());
        assert!("req-ILOU00000000".parse::<RequestId>().is_err());
    }
}
