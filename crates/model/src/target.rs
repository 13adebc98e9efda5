//! Targets: the servers that people ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Login, NameError, TargetName};

/// A server reachable over SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// What people type behind the `@`.
    pub name: TargetName,
    /// Where it listens; tried in order.
    pub addresses: Vec<TargetAddress>,
    /// What policies look at: `env = "prod"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The accounts that may be asked for.
    pub logins: BTreeSet<Login>,
    /// How proxies log in to it.
    #[serde(default, skip_serializing_if = "TargetAuth::is_certificate")]
    pub auth: TargetAuth,
    /// Pinned host keys in the OpenSSH one-line form ("ssh-ed25519 AAAA…"). Empty: only a host certificate of our
    /// host CA for this target's name is accepted. Otherwise one of these and no other, whoever certifies another;
    /// what certificate their host shows for them does not matter. Nothing is trusted on first use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
}

/// How proxies log in to a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetAuth {
    /// With a session certificate of the user CA.
    #[default]
    Certificate,
    /// With a key that the CA holds for this target alone, because its server knows no certificates. The CA signs each
    /// session's log-in itself. Such a target has pinned host keys.
    TargetKey,
}

impl TargetAuth {
    /// Whether it is by certificate, as it is when nothing is written.
    #[must_use]
    pub const fn is_certificate(&self) -> bool {
        match self {
            Self::Certificate => true,
            Self::TargetKey => false,
        }
    }
}

/// A host and a port: `10.1.2.3:22`, `web1.example.org` (port 22), `[::1]:2222`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetAddress {
    host: String,
    port: u16,
}

impl TargetAddress {
    /// The host without brackets: a name, an IPv4 or an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for TargetAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "address";
        const ALLOWED: &str = "write host, host:port or [ipv6]:port";
        let refuse = |character: char, at: usize| NameError::Character {
            kind: KIND,
            shown: format!("{text:?}"),
            character,
            at,
            allowed: ALLOWED,
        };
        if text.is_empty() {
            return Err(NameError::Empty { kind: KIND });
        }
        if text.len() > 261 {
            return Err(NameError::Long { kind: KIND, length: text.len(), limit: 261 });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(|| refuse('[', 0))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| refuse('[', 0))?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or_else(|| refuse(']', host.len() + 1))?)),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(NameError::Empty { kind: KIND });
        }
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if let Some((at, character)) = host.char_indices().find(|&(_, c)| !alphabet(c)) {
            return Err(refuse(character, at));
        }
        if host.starts_with('-') {
            return Err(refuse('-', 0));
        }
        let port = match port {
            None => 22,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err(NameError::Port { shown: format!("{port:?}") }),
            },
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for TargetAddress {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TargetAddress> for String {
    fn from(address: TargetAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_with_and_without_port() {
        for (text, host, port) in [
            ("web1", "web1", 22),
            ("10.0.0.1:2222", "10.0.0.1", 2222),
            ("[::1]:23", "::1", 23),
            ("[fe80::1]", "fe80::1", 22),
        ] {
            let address: TargetAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
            assert_eq!(address.to_string().parse::<TargetAddress>().unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":22", "web1:", "web1:0", "web1:70000", "a b", "[::1", "[web1]:22", "::1", "-oProxyCommand=x"]
        {
            assert!(text.parse::<TargetAddress>().is_err(), "{text:?}");
        }
        for text in ["web1:70000", "web1:", "[::1]:0", "web1:x"] {
            let error = text.parse::<TargetAddress>().unwrap_err();
            assert!(error.to_string().contains("ports go from 1 to 65535"), "{text}: {error}");
        }
    }
}
