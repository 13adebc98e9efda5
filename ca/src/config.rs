//! The configuration of the CA: raw values in, a checked value with private fields out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use model::{ProxyName, Span, TargetName};
use serde::Deserialize;

use crate::certificate::{Profiles, SourceAddresses};

/// The table `[ca]` and the list `[[proxy]]` of `portcullis.toml`, as they are written. Lengths of time are text with
/// a unit: "30m", "8h".
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawConfig {
    /// Where the API listens.
    pub listen: String,
    /// The name that the CA goes by; it is part of what people sign and the origin of the ledger's checkpoints.
    pub server: String,
    /// The policy file.
    pub policy: PathBuf,
    /// The directory file.
    pub directory: PathBuf,
    /// The folder of the recordings, to be replayed from.
    pub recordings: PathBuf,
    /// How long a request may wait for reviews.
    pub request_ttl: String,
    /// How long a session token lives.
    pub token_life: String,
    /// The longest that a person's certificate lives; it never outlives its grant.
    pub certificate_life: String,
    /// The longest that a host certificate lives.
    pub host_certificate_life: String,
    /// How many sessions one identity may have at a time.
    pub sessions_per_identity: u32,
    /// How much the API takes.
    pub limits: RawLimits,
    /// The session proxies.
    pub proxy: Vec<RawProxy>,
}

/// The table `[ca.limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawLimits {
    /// Connections at a time.
    pub connections: u32,
    /// Calls a second without a session token, for each address.
    pub calls_per_address: u32,
    /// Calls a second of one person.
    pub calls_per_identity: u32,
    /// Calls a second of one proxy.
    pub calls_per_proxy: u32,
    /// Logins a minute of one person: each is a fact in the ledger.
    pub logins_per_identity: u32,
    /// Feeds of events of one person or proxy at a time.
    pub feeds_per_subject: u32,
}

/// One `[[proxy]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawProxy {
    /// Its name in the directory.
    pub name: String,
    /// The host name by which people reach it; its host certificate is for it.
    pub host: String,
    /// The port by which people reach it.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// Other names that its host certificate is for.
    #[serde(default)]
    pub names: Vec<String>,
    /// The addresses or networks from which it reaches the targets.
    pub source_addresses: Vec<String>,
}

const fn ssh_port() -> u16 {
    22
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7443".to_owned(),
            server: "portcullis".to_owned(),
            policy: PathBuf::from("policy.cedar"),
            directory: PathBuf::from("directory.toml"),
            recordings: PathBuf::from("recordings"),
            request_ttl: "4h".to_owned(),
            token_life: "8h".to_owned(),
            certificate_life: "12h".to_owned(),
            host_certificate_life: "30d".to_owned(),
            sessions_per_identity: 64,
            limits: RawLimits::default(),
            proxy: Vec::new(),
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            calls_per_address: 50,
            calls_per_identity: 200,
            calls_per_proxy: 5_000,
            logins_per_identity: 60,
            feeds_per_subject: 16,
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as it is written in the file.
    pub key: String,
    /// What is wrong with its value.
    pub problem: String,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    listen: SocketAddr,
    policy: PathBuf,
    directory: PathBuf,
    token_life: Span,
    server: String,
    limits: Limits,
    settings: Settings,
}

/// What the use cases go by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) origin: String,
    pub(crate) recordings: PathBuf,
    pub(crate) request_ttl: Span,
    pub(crate) sessions_limit: u32,
    pub(crate) logins: NonZeroU32,
    pub(crate) profiles: Profiles,
    pub(crate) proxies: BTreeMap<ProxyName, ProxySettings>,
}

/// One proxy.
#[derive(Clone, Debug)]
pub(crate) struct ProxySettings {
    pub(crate) host: TargetName,
    pub(crate) port: u16,
    pub(crate) names: BTreeSet<TargetName>,
    pub(crate) sources: SourceAddresses,
}

/// How much the API takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) per_address: NonZeroU32,
    pub(crate) per_identity: NonZeroU32,
    pub(crate) per_proxy: NonZeroU32,
    pub(crate) feeds: usize,
}

impl Config {
    /// Checks raw values. Relative paths are taken from `base`, the folder of the configuration file.
    ///
    /// # Errors
    /// The first value that makes no sense, by its key.
    pub fn new(raw: RawConfig, base: &Path) -> Result<Self, ConfigError> {
        let RawConfig { listen, server, policy, directory, recordings, request_ttl, token_life, .. } = raw;
        let RawConfig { certificate_life, host_certificate_life, sessions_per_identity, limits, proxy, .. } = raw;
        let profiles = Profiles::new(
            span("ca.certificate-life", &certificate_life)?,
            span("ca.host-certificate-life", &host_certificate_life)?,
        );
        nonzero("ca.sessions-per-identity", sessions_per_identity)?;
        let settings = Settings {
            origin: name_of_note(&server)?,
            recordings: base.join(recordings),
            request_ttl: span_within("ca.request-ttl", &request_ttl, Span::from_hours(30 * 24))?,
            sessions_limit: sessions_per_identity,
            logins: rate("logins-per-identity", limits.logins_per_identity)?,
            profiles: profiles.map_err(|error| bad("ca.certificate-life", error.to_string()))?,
            proxies: proxies(&proxy)?,
        };
        Ok(Self {
            listen: listen.parse().map_err(|_| bad("ca.listen", format!("{listen:?} is no address with a port")))?,
            policy: base.join(policy),
            directory: base.join(directory),
            token_life: span_within("ca.token-life", &token_life, Span::from_hours(24))?,
            server,
            limits: limits.checked()?,
            settings,
        })
    }

    /// Where the API listens.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The same configuration with another address to listen on.
    #[must_use]
    pub fn with_listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// The policy file.
    #[must_use]
    pub fn policy(&self) -> &Path {
        &self.policy
    }

    /// The directory file.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The folder of the recordings.
    #[must_use]
    pub fn recordings(&self) -> &Path {
        &self.settings.recordings
    }

    /// The name that the CA goes by.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) const fn token_life(&self) -> Span {
        self.token_life
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl RawLimits {
    fn checked(&self) -> Result<Limits, ConfigError> {
        Ok(Limits {
            connections: nonzero("ca.limits.connections", self.connections)?,
            per_address: rate("calls-per-address", self.calls_per_address)?,
            per_identity: rate("calls-per-identity", self.calls_per_identity)?,
            per_proxy: rate("calls-per-proxy", self.calls_per_proxy)?,
            feeds: nonzero("ca.limits.feeds-per-subject", self.feeds_per_subject)?,
        })
    }
}

fn proxies(raw: &[RawProxy]) -> Result<BTreeMap<ProxyName, ProxySettings>, ConfigError> {
    let mut proxies = BTreeMap::new();
    for (at, raw) in raw.iter().enumerate() {
        let (name, settings) = proxy_settings(at, raw)?;
        if proxies.insert(name, settings).is_some() {
            return Err(bad(&format!("proxy[{at}].name"), format!("there are two proxies {:?}", raw.name)));
        }
    }
    Ok(proxies)
}

fn proxy_settings(at: usize, raw: &RawProxy) -> Result<(ProxyName, ProxySettings), ConfigError> {
    let key = |name: &str| format!("proxy[{at}].{name}");
    let name: ProxyName = raw.name.parse().map_err(|error| bad(&key("name"), format!("{error}")))?;
    let host: TargetName = raw.host.parse().map_err(|error| bad(&key("host"), format!("{error}")))?;
    if raw.port == 0 {
        return Err(bad(&key("port"), "must not be 0"));
    }
    let mut names = BTreeSet::from([host.clone()]);
    for other in &raw.names {
        names.insert(other.parse().map_err(|error| bad(&key("names"), format!("{error}")))?);
    }
    let sources = raw.source_addresses.join(",").parse();
    let sources = sources.map_err(|error| bad(&key("source-addresses"), format!("{error}")))?;
    Ok((name, ProxySettings { host, port: raw.port, names, sources }))
}

/// The server's name is also the name of the ledger's key in signed notes, which takes no space and no plus.
fn name_of_note(server: &str) -> Result<String, ConfigError> {
    let good = !server.is_empty()
        && server.len() <= 128
        && server.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':'));
    if good {
        Ok(server.to_owned())
    } else {
        Err(bad("ca.server", format!("{server:?} is no name: use letters, digits, '.', '-', '_', '/' and ':'")))
    }
}

fn span(key: &str, text: &str) -> Result<Span, ConfigError> {
    text.parse().map_err(|error: model::TimeError| bad(key, error.to_string()))
}

/// At least a minute.
fn span_within(key: &str, text: &str, most: Span) -> Result<Span, ConfigError> {
    let least = Span::from_minutes(1);
    let span = span(key, text)?;
    if (least..=most).contains(&span) { Ok(span) } else { Err(bad(key, format!("set it between {least} and {most}"))) }
}

fn rate(key: &str, value: u32) -> Result<NonZeroU32, ConfigError> {
    NonZeroU32::new(value).ok_or_else(|| bad(&format!("ca.limits.{key}"), "must not be 0"))
}

fn nonzero(key: &str, value: u32) -> Result<usize, ConfigError> {
    match usize::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(bad(key, "must not be 0")),
    }
}

fn bad(key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError { key: key.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> RawProxy {
        RawProxy {
            name: "proxy1".to_owned(),
            host: "ssh.example.org".to_owned(),
            port: 22,
            names: vec!["ssh".to_owned()],
            source_addresses: vec!["10.0.0.1".to_owned(), "127.0.0.1/32".to_owned()],
        }
    }

    #[test]
    fn the_defaults_make_sense() {
        let config =
            Config::new(RawConfig { proxy: vec![proxy()], ..RawConfig::default() }, Path::new("/data")).unwrap();
        assert_eq!(config.policy(), Path::new("/data/policy.cedar"));
        let known = config.settings().proxies.values().next().unwrap();
        assert_eq!(known.names.len(), 2);
        assert_eq!(known.sources.to_string(), "10.0.0.1/32,127.0.0.1/32");
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_key() {
        type Change = fn(&mut RawConfig);
        let cases: [(&str, Change); 10] = [
            ("ca.listen", |raw| raw.listen = "localhost".to_owned()),
            ("ca.server", |raw| raw.server = "my ca".to_owned()),
            ("ca.request-ttl", |raw| raw.request_ttl = "30".to_owned()),
            ("ca.token-life", |raw| raw.token_life = "2d".to_owned()),
            ("ca.certificate-life", |raw| raw.certificate_life = "2d".to_owned()),
            ("ca.sessions-per-identity", |raw| raw.sessions_per_identity = 0),
            ("ca.limits.calls-per-address", |raw| raw.limits.calls_per_address = 0),
            ("proxy[1].name", |raw| raw.proxy.push(proxy())),
            ("proxy[0].source-addresses", |raw| raw.proxy[0].source_addresses.clear()),
            ("proxy[0].source-addresses", |raw| raw.proxy[0].source_addresses.push("0.0.0.0/0".to_owned())),
        ];
        for (key, change) in cases {
            let mut raw = RawConfig { proxy: vec![proxy()], ..RawConfig::default() };
            change(&mut raw);
            assert_eq!(Config::new(raw, Path::new(".")).unwrap_err().key, key);
        }
    }
}
