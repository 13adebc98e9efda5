//! `portcullis.toml`: read once, strictly, into a value with private fields.

mod place;
mod proxy;

use std::path::{Path, PathBuf};

use identity::StrictError;
use identity::files;
use serde::Deserialize;

pub(crate) use proxy::ProxyConfig;

use crate::error::{CliError, Kind, chain};

/// The commented file that `init` writes; what stands in braces is filled in.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// The most bytes that the file may have.
const LIMIT: u64 = 1 << 20;

/// The configuration of a CA, a proxy, or both.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    file: String,
    data: PathBuf,
    tls_names: Vec<String>,
    ca: Option<ca::Config>,
    proxy: Option<ProxyConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    #[serde(default = "data")]
    data: PathBuf,
    ca: Option<ca::RawConfig>,
    #[serde(default)]
    tls: RawTls,
    proxy: Option<proxy::Raw>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    #[serde(default)]
    names: Vec<String>,
}

fn data() -> PathBuf {
    PathBuf::from("data")
}

impl Config {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let text = files::read_text(path, LIMIT).map_err(|error| {
            let kind = if path.exists() { Kind::Configuration } else { Kind::NotFound };
            CliError::new(kind, chain(&error), "name one with --config FILE, or make one with portcullis init DIR")
        })?;
        let absolute = std::path::absolute(path).map_err(|error| CliError::file("find", path, &error))?;
        Self::parse(&text, &path.display().to_string(), absolute.parent().unwrap_or(Path::new("/")))
    }

    /// Parses the text; relative paths are relative to `base`, the file's own folder.
    pub(crate) fn parse(text: &str, file: &str, base: &Path) -> Result<Self, CliError> {
        let raw: Raw = identity::strict::parse(text, file).map_err(|error| refused(&error))?;
        let misplaced = |key: &str, problem: &str| refused(&place::error(text, file, key, problem));
        let ca = raw.ca.map(|raw| ca::Config::new(raw, base)).transpose().map_err(|error| {
            // The CA counts its proxies by themselves; in the file they stand below [ca].
            let key = match error.key.starts_with("proxy[") {
                true => format!("ca.{}", error.key),
                false => error.key.clone(),
            };
            misplaced(&key, &error.problem)
        })?;
        let recordings = ca.as_ref().map(|ca| ca.recordings().to_owned());
        let proxy = raw.proxy.map(|raw| raw.check(base, recordings)).transpose();
        let proxy = proxy.map_err(|(key, problem)| misplaced(&format!("proxy.{key}"), &problem))?;
        if ca.is_none() && proxy.is_none() {
            return Err(CliError::configuration(
                format!("{file} has neither [ca] nor [proxy]"),
                "portcullis init DIR writes one with both",
            ));
        }
        Ok(Self { file: file.to_owned(), data: base.join(raw.data), tls_names: raw.tls.names, ca, proxy })
    }

    /// The data directory: keys, ledger.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The names and addresses under which the API is reached, for its TLS certificate.
    pub(crate) fn tls_names(&self) -> &[String] {
        &self.tls_names
    }

    /// The CA's part.
    pub(crate) fn ca(&self) -> Result<&ca::Config, CliError> {
        self.ca.as_ref().ok_or_else(|| self.lacks("[ca]"))
    }

    /// The proxy's part.
    pub(crate) fn proxy(&self) -> Result<&ProxyConfig, CliError> {
        self.proxy.as_ref().ok_or_else(|| self.lacks("[proxy]"))
    }

    fn lacks(&self, table: &str) -> CliError {
        CliError::configuration(format!("{} has no {table}", self.file), "portcullis init DIR writes one with both")
    }
}

/// A file that a strict parser refused.
pub(crate) fn refused(error: &StrictError) -> CliError {
    let text = error.to_string();
    let (message, hint) = text.rsplit_once("\nhint: ").unwrap_or((&text, "correct it and try again"));
    CliError::configuration(message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, CliError> {
        Config::parse(text, "portcullis.toml", Path::new("/etc/portcullis"))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse("data = \"/var/lib/portcullis\"\n[ca]\n[proxy]\nname = \"proxy1\"\n").unwrap();
        assert_eq!(config.data(), Path::new("/var/lib/portcullis"));
        assert_eq!(config.ca().unwrap().policy(), Path::new("/etc/portcullis/policy.cedar"));
        assert_eq!(config.proxy().unwrap().recordings(), config.ca().unwrap().recordings());
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        for (text, place, near) in [
            ("[ca]\nlisten = \"127.0.0.1:1\"\ntoken-live = \"8h\"\n", ":3:1", "token-life"),
            ("[ca]\n[proxy]\nname = \"p\"\nlogin-grase = \"1m\"\n", ":4:1", "login-grace"),
            ("dta = \"x\"\n[ca]\n", ":1:1", "data"),
            ("[ca]\n[tls]\nname = []\n", ":3:1", "names"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(place) && error.hint().contains(near), "{error:?}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_has_its_line() {
        for (text, place) in [
            ("[ca]\n\nlisten = \"localhost\"\n", "portcullis.toml:3:10"),
            ("[ca]\n[ca.limits]\nconnections = 0\n", "portcullis.toml:3:15"),
            ("[ca]\n[[ca.proxy]]\nname = \"P\"\nhost = \"h\"\nsource-addresses = [\"10.0.0.1\"]\n", ":3:8"),
            ("[proxy]\nname = \"proxy 1\"\n", ":2:8"),
            ("[proxy]\nname = \"p\"\nlisten = \"here\"\n", ":3:10"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration);
            assert!(error.message().contains(place), "{error:?}");
        }
    }

    #[test]
    fn one_part_may_be_missing_but_not_both() {
        let config = parse("[ca]\n").unwrap();
        assert!(config.proxy().unwrap_err().message().contains("no [proxy]"));
        assert!(parse("data = \"x\"\n").unwrap_err().message().contains("neither"));
    }
}
