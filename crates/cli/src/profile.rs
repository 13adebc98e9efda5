//! The client's own configuration: where the CA is, which root to trust, who we are, and with which key we prove it.

use std::path::{Path, PathBuf};

use identity::Subject;
use identity::files::{self, Access};
use serde::Deserialize;

use crate::error::CliError;
use crate::home::{Home, expand};

/// `client.toml`, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    api: String,
    root: PathBuf,
    identity: Subject,
    key: KeySource,
}

/// Where the key is that proves who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A private key file in OpenSSH's format.
    File(PathBuf),
    /// The ssh-agent, by the key's fingerprint ("SHA256:…").
    Agent(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    api: String,
    root: PathBuf,
    identity: String,
    key: Option<PathBuf>,
    agent: Option<String>,
}

/// The most bytes that `client.toml` may have.
const LIMIT: u64 = 64 * 1024;

impl Profile {
    /// A profile from what `login` was given.
    pub(crate) fn new(api: String, root: PathBuf, identity: Subject, key: KeySource) -> Self {
        Self { api, root, identity, key }
    }

    /// Reads `client.toml`; `None` when there is none yet.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, CliError> {
        let path = home.profile();
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_text(&path, LIMIT).map_err(|error| {
            CliError::configuration(crate::error::chain(&error), "portcullis login writes the file anew")
        })?;
        Self::parse(&text, &path.display().to_string(), home.path()).map(Some)
    }

    /// Parses the text of a `client.toml`; relative paths are relative to `base`.
    pub(crate) fn parse(text: &str, file: &str, base: &Path) -> Result<Self, CliError> {
        let raw: Raw = identity::strict::parse(text, file).map_err(|error| crate::config::refused(&error))?;
        let wrong = |what: String| CliError::configuration(format!("{file}: {what}"), "run portcullis login again");
        let key = match (raw.key, raw.agent) {
            (Some(path), None) => KeySource::File(base.join(expand(&path))),
            (None, Some(fingerprint)) => KeySource::Agent(fingerprint),
            (Some(_), Some(_)) | (None, None) => return Err(wrong("give either key or agent".to_owned())),
        };
        Ok(Self {
            api: raw.api,
            root: base.join(expand(&raw.root)),
            identity: subject(&raw.identity).map_err(wrong)?,
            key,
        })
    }

    /// Writes `client.toml`.
    pub(crate) fn write(&self, home: &Home) -> Result<(), CliError> {
        home.create()?;
        files::write_atomic(&home.profile(), self.to_text(home.path()).as_bytes(), Access::Private).map_err(unwritten)
    }

    /// The text of `client.toml` in the folder `base`.
    pub(crate) fn to_text(&self, base: &Path) -> String {
        let mut document = toml_edit::DocumentMut::new();
        // A tilde at the beginning would be read as the person's home.
        let relative = |path: &Path| match path.strip_prefix(base) {
            Ok(inside) if !inside.starts_with("~") => inside.display().to_string(),
            Ok(_) | Err(_) => path.display().to_string(),
        };
        document.insert("api", toml_edit::value(self.api.as_str()));
        document.insert("root", toml_edit::value(relative(&self.root)));
        document.insert("identity", toml_edit::value(self.identity.to_string()));
        match &self.key {
            KeySource::File(path) => document.insert("key", toml_edit::value(path.display().to_string())),
            KeySource::Agent(fingerprint) => document.insert("agent", toml_edit::value(fingerprint.as_str())),
        };
        format!("# The client of Portcullis; portcullis login writes this file.\n{document}")
    }

    /// The API's address.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// The root certificate's file.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Who we are.
    pub(crate) fn identity(&self) -> &Subject {
        &self.identity
    }

    /// With which key we prove it.
    pub(crate) fn key(&self) -> &KeySource {
        &self.key
    }
}

/// An identity's name, or `proxy:` and a proxy's.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    let error = |error: model::NameError| error.to_string();
    match text.strip_prefix("proxy:") {
        Some(name) => name.parse().map(Subject::Proxy).map_err(error),
        None => text.parse().map(Subject::Identity).map_err(error),
    }
}

/// A file that could not be written.
#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
pub(crate) fn unwritten(error: files::FileError) -> CliError {
    CliError::failed(crate::error::chain(&error), "check the directory, its permissions and the space on its disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_reads_back_what_it_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::find(Some(directory.path())).unwrap();
        for key in [KeySource::File("/keys/alice".into()), KeySource::Agent("SHA256:abc".to_owned())] {
            let identity = Subject::Identity("alice".parse().unwrap());
            let profile = Profile::new("https://127.0.0.1:7443".to_owned(), home.root(), identity, key);
            profile.write(&home).unwrap();
            assert_eq!(Profile::read(&home).unwrap(), Some(profile));
        }
    }

    #[test]
    fn a_folder_that_is_called_tilde_stays_one() {
        let text = "api = \"https://x\"\nroot = \"./~/root.pem\"\nidentity = \"alice\"\nkey = \"k\"\n";
        let base = Path::new("/base");
        let profile = Profile::parse(text, "f", base).unwrap();
        assert_eq!(Profile::parse(&profile.to_text(base), "f", base).unwrap(), profile);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = Profile::parse("apy = \"x\"\n", "client.toml", Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Configuration);
        assert!(error.message().contains("client.toml:1:1") && error.hint().contains("\"api\""), "{error:?}");
    }

    #[test]
    fn one_key_and_only_one() {
        let text = "api = \"https://x\"\nroot = \"r\"\nidentity = \"alice\"\n";
        for more in ["", "key = \"k\"\nagent = \"SHA256:x\"\n"] {
            let error = Profile::parse(&format!("{text}{more}"), "f", Path::new("/")).unwrap_err();
            assert!(error.message().contains("either key or agent"), "{error}");
        }
    }
}
