//! SHA-256 digests, and the four ways in which the ledger uses them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 digest; written in lower-case hexadecimal.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first record is chained to.
    pub const ZERO: Self = Self([0; 32]);

    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The hash of a leaf: SHA-256(0x00 ‖ record), RFC 6962, section 2.1.
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Digest {
    Digest(sha2::Sha256::new().chain_update([0]).chain_update(record).finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 6962, section 2.1.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(sha2::Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The chain hash behind `record`, given the one before it. The chain begins with [`Digest::ZERO`].
#[must_use]
pub fn chain(before: &Digest, record: &[u8]) -> Digest {
    chain_leaf(before, &leaf_hash(record))
}

/// As [`chain`], from the record's leaf hash: SHA-256(0x02 ‖ before ‖ leaf). The long record is hashed only once.
#[must_use]
pub fn chain_leaf(before: &Digest, leaf: &Digest) -> Digest {
    Digest(sha2::Sha256::new().chain_update([2]).chain_update(before.0).chain_update(leaf.0).finalize().into())
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 digest: 64 lower-case hexadecimal digits are expected")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bad = || DigestError(text.chars().take(80).collect());
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| bad())?;
        // One spelling only, so that a record that holds a digest has one encoding.
        if text.bytes().any(|b| b.is_ascii_uppercase()) { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
