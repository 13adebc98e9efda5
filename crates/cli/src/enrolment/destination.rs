//! Where `--apply` leads: `user@host` as ssh takes it, and a port as people write it.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::CliError;

/// A server as ssh reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    shown: String,
    place: String,
    port: Option<u16>,
}

impl Destination {
    /// Reads `host`, `user@host`, `user@host:port`, `user@[v6]:port`, `user@v6`, or an `ssh://` address, which ssh reads
    /// by itself.
    ///
    /// # Errors
    /// It is none of these, or its port is none.
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        let refuse = |what: String| CliError::usage(what, "write it as root@web1.example.org or root@10.1.2.3:2222");
        if text.is_empty() || text.starts_with('-') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(refuse(format!("{text:?} is nothing that ssh can reach")));
        }
        if text.starts_with("ssh://") {
            return Ok(Self { shown: text.to_owned(), place: text.to_owned(), port: None });
        }
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        let (host, port) = split(host).ok_or_else(|| refuse(format!("{text:?} is nothing that ssh can reach")))?;
        let port = match port {
            None => None,
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                Ok(_) | Err(_) => {
                    let what = format!("{digits:?} in {text:?} is no port: ports go from 1 to 65535");
                    return Err(refuse(what));
                }
            },
        };
        if host.is_empty() || host.starts_with('-') || user.is_some_and(str::is_empty) {
            return Err(refuse(format!("{text:?} is nothing that ssh can reach")));
        }
        let place = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        Ok(Self { shown: text.to_owned(), place, port })
    }

    /// The arguments that lead ssh there. Nothing in them can be taken for an option.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let port = self.port.map(|port| ["-p".to_owned(), port.to_string()]);
        port.into_iter().flatten().chain(["--".to_owned(), self.place.clone()]).collect()
    }

    /// The same as it is typed behind `ssh`.
    pub(crate) fn typed(&self) -> String {
        match self.port {
            Some(port) => format!("-p {port} {}", self.place),
            None => self.place.clone(),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The host and what stands behind its colon. `None` when brackets or colons make no sense.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let is_v6 = |host: &str| host.split('%').next().unwrap_or(host).parse::<Ipv6Addr>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']')?;
        let port = match behind {
            "" => None,
            _ => Some(behind.strip_prefix(':')?),
        };
        return is_v6(host).then_some((host, port));
    }
    match text.split_once(':') {
        None => Some((text, None)),
        // Without brackets, nobody can tell where an IPv6 address ends: the whole of it is one.
        Some((_, rest)) if rest.contains(':') => is_v6(text).then_some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_with_and_without_its_port() {
        for (text, arguments) in [
            ("web1", vec!["--", "web1"]),
            ("root@web1", vec!["--", "root@web1"]),
            ("root@web1:2222", vec!["-p", "2222", "--", "root@web1"]),
            ("root@[::1]:2222", vec!["-p", "2222", "--", "root@::1"]),
            ("root@[2001:db8::1]", vec!["--", "root@2001:db8::1"]),
            ("root@2001:db8::1", vec!["--", "root@2001:db8::1"]),
            ("root@fe80::1%eth0", vec!["--", "root@fe80::1%eth0"]),
            ("DOM\\ann@corp@web1:22", vec!["-p", "22", "--", "DOM\\ann@corp@web1"]),
            ("ssh://root@web1:2222", vec!["--", "ssh://root@web1:2222"]),
        ] {
            let place = Destination::parse(text).unwrap();
            assert_eq!(place.arguments(), arguments, "{text}");
            assert_eq!(place.to_string(), text);
        }
        assert_eq!(Destination::parse("root@[::1]:2222").unwrap().typed(), "-p 2222 root@::1");
    }

    #[test]
    fn what_leads_nowhere_is_refused_and_a_port_by_its_name() {
        for text in
            ["", "-oProxyCommand=x", "a b", "root@", "@web1", "root@-oX", "root@[web1]:22", "root@[::1", "a:b:c"]
        {
            assert!(Destination::parse(text).is_err(), "{text:?}");
        }
        for text in ["root@web1:70000", "root@web1:0", "root@web1:", "root@web1:ssh", "root@[::1]:65536", "web1:-1"] {
            let error = Destination::parse(text).unwrap_err();
            assert!(error.message().contains("ports go from 1 to 65535"), "{text}: {}", error.message());
        }
    }
}
