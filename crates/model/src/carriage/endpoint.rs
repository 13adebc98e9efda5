//! Ends of forwards, as policies name them: like OpenSSH's `PermitOpen` and `PermitListen`, with ranges and sockets.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{PathPattern, PathRule};

/// The longest host that is judged, in bytes: what DNS allows.
const HOST: usize = 255;
/// The longest path of a socket, in bytes (unix(7)).
const SOCKET: usize = 107;

/// Where a forward ends, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer<'a> {
    /// A host and a TCP port, as the client wrote them; names are resolved by the target.
    Tcp {
        /// The host. For a listener the address, of which `""` means all (RFC 4254, section 7.1).
        host: &'a str,
        /// The port; `0` lets the target choose where it listens.
        port: u32,
    },
    /// The path of a Unix-domain socket on the target (OpenSSH's PROTOCOL, section 2.4).
    Socket(&'a str),
}

/// One or many ends of forwards: `db1:5432`, `*.internal:443`, `10.0.0.0/8:*`, `[fd00::/8]:8000-8999`, `/run/app/*.sock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// TCP.
    Tcp {
        /// The hosts.
        hosts: Hosts,
        /// The ports.
        ports: Ports,
    },
    /// Unix-domain sockets.
    Socket(PathPattern),
}

/// Hosts of an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hosts {
    /// `*`
    Any,
    /// A name, compared as text and without regard to case: what it resolves to is the target's to know.
    Name(String),
    /// `*.SUFFIX`: names below a domain.
    Below(String),
    /// An address or a network. Only addresses match it, never names that may resolve to one.
    Net(IpNet),
}

/// Ports of an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// `*`, which includes the `0` with which a listener lets the target choose.
    Any,
    /// From the first to the last.
    Range(u16, u16),
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no end of a forward: {why}")]
pub struct EndpointError {
    shown: String,
    why: String,
}

impl Endpoint {
    /// Whether it covers a peer.
    #[must_use]
    pub fn matches(&self, peer: &Peer<'_>) -> bool {
        match (self, peer) {
            (Self::Tcp { hosts, ports }, Peer::Tcp { host, port }) => hosts.matches(host) && ports.matches(*port),
            (Self::Socket(pattern), Peer::Socket(path)) => {
                // A path with dots could mean another than it says.
                let plain = !path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
                plain
                    && path.len() <= SOCKET
                    && !path.chars().any(char::is_control)
                    && path.starts_with('/')
                    && PathRule::new(&BTreeSet::from([pattern.clone()])).is_ok_and(|rule| rule.covers(path.as_bytes()))
            }
            (Self::Tcp { .. }, Peer::Socket(_)) | (Self::Socket(_), Peer::Tcp { .. }) => false,
        }
    }

    pub(super) fn breadth(&self) -> usize {
        match self {
            Self::Tcp { hosts: Hosts::Any, .. } => 100,
            Self::Tcp { hosts: Hosts::Below(_) | Hosts::Net(_), .. } => 10,
            Self::Tcp { hosts: Hosts::Name(_), .. } => 1,
            Self::Socket(pattern) => pattern.breadth(),
        }
    }
}

impl Hosts {
    fn matches(&self, host: &str) -> bool {
        // A resolver may stop reading where a name cannot go on, and reach what stands before: "10.0.0.1 x.internal".
        if host.len() > HOST || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => {
                let split = host.len().checked_sub(suffix.len()).and_then(|at| host.split_at_checked(at));
                split.is_some_and(|(start, end)| {
                    let labels =
                        start.strip_suffix('.').filter(|labels| end.eq_ignore_ascii_case(suffix) && !labels.is_empty());
                    labels.is_some_and(|labels| labels.split('.').all(is_label))
                })
            }
            Self::Net(net) => {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                // An IPv4 address in IPv6's clothes reaches the same host.
                bare.parse::<IpAddr>().is_ok_and(|address| net.contains(&address.to_canonical()))
            }
        }
    }
}

impl Ports {
    fn matches(self, port: u32) -> bool {
        match self {
            Self::Any => port <= u32::from(u16::MAX),
            Self::Range(first, last) => (u32::from(first)..=u32::from(last)).contains(&port),
        }
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| -> String {
            text.chars().take(HOST).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        match self {
            Self::Tcp { host: "", port } => write!(f, "*:{port}"),
            Self::Tcp { host, port } if host.contains(':') && !host.starts_with('[') => {
                write!(f, "[{}]:{port}", shown(host))
            }
            Self::Tcp { host, port } => write!(f, "{}:{port}", shown(host)),
            Self::Socket(path) => f.write_str(&shown(path)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { hosts, ports } => write!(f, "{hosts}:{ports}"),
            Self::Socket(pattern) => pattern.fmt(f),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Net(net) => {
                let whole = net.prefix_len() == net.max_prefix_len();
                let text = if whole { net.addr().to_string() } else { net.to_string() };
                if net.addr().is_ipv6() { write!(f, "[{text}]") } else { f.write_str(&text) }
            }
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Range(first, last) if first == last => write!(f, "{first}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refused = |why: &str| EndpointError { shown: text.chars().take(HOST).collect(), why: why.to_owned() };
        if text.starts_with('/') {
            return text.parse().map(Self::Socket).map_err(|error: super::files::PathPatternError| EndpointError {
                shown: text.chars().take(HOST).collect(),
                why: error.to_string(),
            });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").map(|(host, port)| (host, port, true)),
            None => text.rsplit_once(':').map(|(host, port)| (host, port, false)),
        }
        .map(|(host, port, bracketed)| (read_hosts(host, bracketed), port))
        .ok_or_else(|| refused("write host:port, [ipv6]:port or the path of a socket; * stands for any"))?;
        let hosts = host.map_err(|why| refused(&why))?;
        let ports = read_ports(port).ok_or_else(|| refused("ports are 1 to 65535, a range as 8000-8999, or *"))?;
        Ok(Self::Tcp { hosts, ports })
    }
}

/// One part of a host name, with the underscore that some use.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn read_hosts(text: &str, bracketed: bool) -> Result<Hosts, String> {
    let net = |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    if let Some(net) = net(text) {
        if net.addr().is_ipv6() != bracketed {
            return Err("an IPv6 address stands in brackets, and nothing else does".to_owned());
        }
        // What is asked for is compared as the IPv4 address that it is, so this would never match.
        if net.addr().to_canonical().is_ipv4() != net.addr().is_ipv4() {
            return Err("an IPv4 address or network is written as one, as 10.0.0.0/8".to_owned());
        }
        if net.trunc() != net {
            return Err(format!("the network of {text} is {}", net.trunc()));
        }
        return Ok(Hosts::Net(net));
    }
    if bracketed {
        return Err("in brackets stands an IPv6 address".to_owned());
    }
    if text == "*" {
        return Ok(Hosts::Any);
    }
    let (name, below) = text.strip_prefix("*.").map_or((text, false), |suffix| (suffix, true));
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > HOST || !name.chars().all(good) || name.starts_with(['.', '-']) {
        return Err("a host is a name, an address, a network, *.domain or *".to_owned());
    }
    let name = name.to_ascii_lowercase();
    Ok(if below { Hosts::Below(name) } else { Hosts::Name(name) })
}

fn read_ports(text: &str) -> Option<Ports> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && port.to_string() == text);
    if text == "*" {
        return Some(Ports::Any);
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(Ports::Range(first, last))
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(endpoint: &str, host: &str, port: u32) -> bool {
        endpoint.parse::<Endpoint>().unwrap().matches(&Peer::Tcp { host, port })
    }

    #[test]
    fn an_endpoint_reads_as_it_is_written() {
        for text in [
            "db1:5432",
            "*.internal:443",
            "10.0.0.0/8:*",
            "10.1.2.3:22",
            "[fd00::/8]:8000-8999",
            "[::1]:80",
            "*:*",
            "localhost:1-65535",
            "/run/app/*.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "db1",
            ":80",
            "db1:",
            "db1:0",
            "db1:65536",
            "db1:08",
            "db1:9-8",
            "db1:+1",
            "::1:80",
            "[db1]:80",
            "[::1]80",
            "10.0.0.1/8:80",
            "[::ffff:10.0.0.1]:80",
            "[::ffff:10.0.0.0/104]:80",
            "*.:80",
            "**:80",
            "a*:80",
            "db 1:80",
            "run/app.sock",
            "/run/../app.sock",
            "é:80",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_match_names_and_networks_match_addresses() {
        assert!(covers("db1:5432", "DB1", 5432));
        assert!(
            !covers("db1:5432", "db1", 5433) && !covers("db1:5432", "db1.", 5432) && !covers("db1:5432", "xdb1", 5432)
        );
        assert!(covers("*.internal:443", "a.internal", 443) && covers("*.internal:443", "a.b.Internal", 443));
        assert!(!covers("*.internal:443", "internal", 443) && !covers("*.internal:443", ".internal", 443));
        assert!(!covers("*.internal:443", "xinternal", 443));
        // What a resolver might read only the beginning of.
        for host in
            ["10.0.0.1 x.internal", "10.0.0.1\0.internal", "10.0.0.1\n.internal", "10.0.0.1..internal", "é.internal"]
        {
            assert!(!covers("*.internal:443", host, 443), "{host:?}");
        }
        assert!(!covers("*:443", "10.0.0.1 x", 443) && !covers("*:443", "10.0.0.1\0x", 443));
        assert!(covers("10.0.0.0/8:*", "10.9.8.7", 1) && !covers("10.0.0.0/8:*", "11.0.0.1", 1));
        // Only the target could tell what these mean.
        for host in ["10.1", "0x0a000001", "167772161", "localhost", "10.0.0.1.nip.io", "010.0.0.1"] {
            assert!(!covers("10.0.0.0/8:*", host, 1), "{host}");
        }
        assert!(covers("[::1]:80", "0:0:0:0:0:0:0:1", 80) && covers("[::1]:80", "[::1]", 80));
        assert!(covers("10.0.0.0/8:*", "::ffff:10.0.0.1", 22));
        assert!(!covers("*:80", &"a".repeat(300), 80) && !covers("*:*", "a", 70_000) && covers("*:*", "", 0));
        assert!(!covers("localhost:8080", "", 8080) && !covers("localhost:8080", "localhost", 0));
    }

    #[test]
    fn sockets_match_paths_that_mean_what_they_say() {
        let endpoint: Endpoint = "/run/app/*".parse().unwrap();
        assert!(endpoint.matches(&Peer::Socket("/run/app/x.sock")));
        for path in [
            "/run/app/../docker.sock",
            "/run/app//x",
            "/run/app/./x",
            "run/app/x",
            "/run/app/a/b",
            "/run/app/",
            "/run/app/x\0y",
        ] {
            assert!(!endpoint.matches(&Peer::Socket(path)), "{path}");
        }
        assert!(!endpoint.matches(&Peer::Tcp { host: "/run/app/x", port: 0 }));
    }

    #[test]
    fn a_peer_is_shown_without_control_characters() {
        assert_eq!(Peer::Tcp { host: "::1", port: 80 }.to_string(), "[::1]:80");
        assert_eq!(Peer::Tcp { host: "", port: 0 }.to_string(), "*:0");
        assert_eq!(Peer::Socket("/a\x1b[2J").to_string(), "/a\u{fffd}[2J");
    }
}
