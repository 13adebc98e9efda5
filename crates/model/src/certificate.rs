//! Certificates as the ledger knows them; the wire form is the CA's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{IdentityName, Login, NameError, TargetName, Timestamp};

/// A certificate's serial number: unique for its CA and never 0, because revocation lists ignore 0.
///
/// It uses 53 bits, so that every JSON reader keeps it exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(NonZeroU64);

impl Serial {
    /// From random bits: 53 of them, with zero turned into one.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(NonZeroU64::new(bits & ((1 << 53) - 1)).unwrap_or(NonZeroU64::MIN))
    }

    /// From a number on the wire; `None` for 0.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateProfile {
    /// A person's: opens the proxy and nothing else.
    Person,
    /// The proxy's, for one session: opens one login on one target for two minutes, from the proxy's address only.
    Session,
    /// A target's own: what it shows to proxies. No proxy ever gets one.
    Host,
    /// A proxy's: what it shows to people, for itself or for a target that it stands in for behind `-J`. Another CA
    /// key than that of targets signs it, so no proxy takes it for a target's.
    Front,
}

impl fmt::Display for CertificateProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "person",
            Self::Session => "session",
            Self::Host => "host",
            Self::Front => "front",
        })
    }
}

/// One principal of a certificate. The colon keeps people and logins apart: no login or target name can hold one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// "identity:alice": opens the proxy, and no target.
    Identity(IdentityName),
    /// "root@web1": opens one login on one target, and not the proxy.
    Login(Login, TargetName),
    /// A host name in a host certificate.
    Host(TargetName),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "identity:{name}"),
            Self::Login(login, target) => write!(f, "{login}@{target}"),
            Self::Host(name) => write!(f, "{name}"),
        }
    }
}

impl FromStr for Principal {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(name) = text.strip_prefix("identity:") {
            return name.parse().map(Self::Identity);
        }
        match text.split_once('@') {
            Some((login, target)) => Ok(Self::Login(login.parse()?, target.parse()?)),
            None => text.parse().map(Self::Host),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.to_string()
    }
}

/// Everything that a certificate says, as it was decided and before it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateBody {
    /// Its serial.
    pub serial: Serial,
    /// What it is good for.
    pub profile: CertificateProfile,
    /// The SHA-256 fingerprint of the certified key, as OpenSSH prints it ("SHA256:…").
    pub key: String,
    /// The SHA-256 fingerprint of the CA key that signs it.
    pub ca: String,
    /// Names the request, the identity and the approvers.
    pub key_id: String,
    /// Never empty.
    pub principals: BTreeSet<Principal>,
    /// Valid from (inclusive).
    pub valid_after: Timestamp,
    /// Valid until (exclusive).
    pub valid_before: Timestamp,
    /// Critical options: `source-address`, `force-command`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub critical_options: BTreeMap<String, String>,
    /// Extensions; their values are empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub extensions: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_can_never_pass_for_a_login() {
        let person = Principal::Identity("root@web1".parse().unwrap());
        assert_eq!(person.to_string(), "identity:root@web1");
        assert_eq!(person.to_string().parse::<Principal>().unwrap(), person);
        assert_ne!("root@web1".parse::<Principal>().unwrap(), person);
    }

    #[test]
    fn a_serial_is_never_zero() {
        assert_eq!(Serial::from_random(0).get(), 1);
        assert_eq!(Serial::from_random(1 << 60).get(), 1);
        assert!(Serial::new(0).is_none());
    }
}
