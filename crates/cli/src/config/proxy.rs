//! The table `[proxy]`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use model::{ProxyName, Span};
use serde::Deserialize;

/// A proxy's configuration.
#[derive(Clone, Debug)]
pub(crate) struct ProxyConfig {
    name: ProxyName,
    api: String,
    root: PathBuf,
    key: PathBuf,
    host_key: PathBuf,
    recordings: PathBuf,
    settings: ::proxy::Config,
}

/// As it is written. What is left out has the proxy's own default. Lengths of time are text with a unit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Raw {
    name: String,
    #[serde(default = "api")]
    api: String,
    #[serde(default = "root")]
    root: PathBuf,
    #[serde(default = "key")]
    key: PathBuf,
    #[serde(default = "host_key")]
    host_key: PathBuf,
    recordings: Option<PathBuf>,
    listen: Option<String>,
    login_grace: Option<String>,
    max_waiting: Option<usize>,
    max_waiting_per_address: Option<usize>,
    max_sessions_per_person: Option<usize>,
    max_transfers_per_person: Option<usize>,
    max_channels: Option<usize>,
    max_auth_tries: Option<usize>,
    dial_timeout: Option<String>,
    ca_timeout: Option<String>,
    feed_freshness: Option<String>,
    keepalive: Option<String>,
    roll_call: Option<String>,
    recording_limit: Option<u64>,
    rekey_limit: Option<u32>,
    rekey_time: Option<String>,
    warnings: Option<Vec<String>>,
    greeting: Option<::proxy::Greeting>,
    escape: Option<String>,
}

fn api() -> String {
    "https://127.0.0.1:7443".to_owned()
}

fn root() -> PathBuf {
    PathBuf::from("data/tls-root.pem")
}

fn key() -> PathBuf {
    PathBuf::from("data/proxy/key")
}

fn host_key() -> PathBuf {
    PathBuf::from("data/proxy/host-key")
}

/// How many bytes may pass under the same keys. Below the least the proxy would do little else than exchange them.
const REKEY: RangeInclusive<u32> = 1 << 20..=1 << 30;

/// A key of the table and what is wrong with its value.
type Wrong = (&'static str, String);

impl Raw {
    /// Checks the values; `shared` is where the CA looks for recordings, which is the same place in one process.
    pub(crate) fn check(self, base: &Path, shared: Option<PathBuf>) -> Result<ProxyConfig, Wrong> {
        let mut settings = ::proxy::Config::default();
        if let Some(listen) = &self.listen {
            settings.listen =
                listen.parse().map_err(|_| ("listen", format!("{listen:?} is no address with a port")))?;
        }
        let spans: [(&'static str, Option<String>, &mut Span); 7] = [
            ("login-grace", self.login_grace, &mut settings.login_grace),
            ("dial-timeout", self.dial_timeout, &mut settings.dial_timeout),
            ("ca-timeout", self.ca_timeout, &mut settings.ca_timeout),
            ("feed-freshness", self.feed_freshness, &mut settings.feed_freshness),
            ("keepalive", self.keepalive, &mut settings.keepalive),
            ("roll-call", self.roll_call, &mut settings.roll_call),
            ("rekey-time", self.rekey_time, &mut settings.rekey_time),
        ];
        for (key, text, place) in spans {
            if let Some(text) = text {
                *place = span(key, &text)?;
            }
        }
        let numbers: [(&'static str, Option<usize>, &mut usize); 6] = [
            ("max-waiting", self.max_waiting, &mut settings.max_waiting),
            ("max-waiting-per-address", self.max_waiting_per_address, &mut settings.max_waiting_per_address),
            ("max-sessions-per-person", self.max_sessions_per_person, &mut settings.max_sessions_per_person),
            ("max-transfers-per-person", self.max_transfers_per_person, &mut settings.max_transfers_per_person),
            ("max-channels", self.max_channels, &mut settings.max_channels),
            ("max-auth-tries", self.max_auth_tries, &mut settings.max_auth_tries),
        ];
        for (key, number, place) in numbers {
            match number {
                Some(0) => return Err((key, "must not be 0".to_owned())),
                Some(number) => *place = number,
                None => {}
            }
        }
        match self.recording_limit {
            Some(0) => return Err(("recording-limit", "must not be 0".to_owned())),
            Some(limit) => settings.recording_limit = limit,
            None => {}
        }
        match self.rekey_limit {
            Some(limit) if !REKEY.contains(&limit) => {
                return Err(("rekey-limit", format!("must be {} to {}", REKEY.start(), REKEY.end())));
            }
            Some(limit) => settings.rekey_limit = limit,
            None => {}
        }
        if let Some(texts) = &self.warnings {
            settings.warnings = texts.iter().map(|text| span("warnings", text)).collect::<Result<_, _>>()?;
        }
        if let Some(greeting) = self.greeting {
            settings.greeting = greeting;
        }
        if let Some(key) = &self.escape {
            settings.escape = key.parse().map_err(|error: ::proxy::EscapeKeyError| ("escape", error.to_string()))?;
        }
        if !self.api.starts_with("https://") {
            return Err(("api", format!("{:?} is no https:// address", self.api)));
        }
        Ok(ProxyConfig {
            name: self.name.parse().map_err(|error: model::NameError| ("name", error.to_string()))?,
            api: self.api,
            root: base.join(self.root),
            key: base.join(self.key),
            host_key: base.join(self.host_key),
            recordings: self
                .recordings
                .map(|path| base.join(path))
                .or(shared)
                .unwrap_or_else(|| base.join("data/recordings")),
            settings,
        })
    }
}

impl ProxyConfig {
    /// Its name in the directory.
    pub(crate) fn name(&self) -> &ProxyName {
        &self.name
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// The root certificate of the API.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The key with which it logs in.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Its host key.
    pub(crate) fn host_key(&self) -> &Path {
        &self.host_key
    }

    /// Where it records.
    pub(crate) fn recordings(&self) -> &Path {
        &self.recordings
    }

    /// How it speaks SSH.
    pub(crate) const fn settings(&self) -> &::proxy::Config {
        &self.settings
    }
}

fn span(key: &'static str, text: &str) -> Result<Span, Wrong> {
    let span: Span = text.parse().map_err(|error: model::TimeError| (key, error.to_string()))?;
    match span == Span::ZERO {
        true => Err((key, "must not be 0".to_owned())),
        false => Ok(span),
    }
}
