//! What every verb is given: how to speak, where the person's files are, and a client of the API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Client, ClientOptions};
use identity::files;
use model::Timestamp;
use store::{Clock, Entropy, SystemClock, SystemEntropy};

use crate::config::Config;
use crate::credentials::{KeyCredentials, Prompt};
use crate::error::{CliError, Kind};
use crate::home::Home;
use crate::output::Output;
use crate::profile::Profile;
use crate::token::StoredToken;

/// The longest that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The most bytes that a root certificate may have.
const ROOT_LIMIT: u64 = 1 << 20;

/// What every verb is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// How to speak.
    pub(crate) output: Output,
    home: Option<PathBuf>,
    config: Option<PathBuf>,
    verbose: u8,
}

impl Context {
    /// From the global options, and from `PORTCULLIS_HOME` and `PORTCULLIS_CONFIG` where they are left out.
    pub(crate) fn new(output: Output, home: Option<PathBuf>, config: Option<PathBuf>, verbose: u8) -> Self {
        let home = home.or_else(|| variable("PORTCULLIS_HOME"));
        let config = config.or_else(|| variable("PORTCULLIS_CONFIG"));
        Self { output, home, config, verbose }
    }

    /// How much to log.
    pub(crate) const fn verbose(&self) -> u8 {
        self.verbose
    }

    /// The person's directory.
    pub(crate) fn home(&self) -> Result<Home, CliError> {
        Home::find(self.home.as_deref())
    }

    /// The server's configuration: `--config`, else `portcullis.toml` here, else in `/etc/portcullis`.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        Config::read(&self.config_path()?)
    }

    fn config_path(&self) -> Result<PathBuf, CliError> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let usual = ["portcullis.toml", "/etc/portcullis/portcullis.toml"];
        usual.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned).ok_or_else(|| {
            CliError::new(
                Kind::NotFound,
                "there is no portcullis.toml here and none in /etc/portcullis",
                "name one with --config FILE, or make one with portcullis init DIR",
            )
        })
    }

    /// The person's profile.
    pub(crate) fn profile(&self) -> Result<Profile, CliError> {
        let home = self.home()?;
        Profile::read(&home)?.ok_or_else(|| {
            CliError::new(
                Kind::NotLoggedIn,
                format!("there is no {}", home.profile().display()),
                "log in once: portcullis login --api https://HOST:7443 --root root.pem --identity NAME --key FILE",
            )
        })
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// A random text that no other call will use, for `Idempotency-Key`.
    pub(crate) fn idempotency_key(&self) -> String {
        let mut bytes = [0; 16];
        SystemEntropy.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// A client that nobody has logged in yet, for a profile.
    pub(crate) fn anonymous(&self, profile: &Profile) -> Result<Client, CliError> {
        let root_pem = files::read_text(profile.root(), ROOT_LIMIT).map_err(|error| {
            CliError::configuration(
                crate::error::chain(&error),
                "the CA's root certificate is needed: portcullis login --root FILE (init writes it to data/tls-root.pem)",
            )
        })?;
        if !root_pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(CliError::configuration(
                format!("{} holds no certificate", profile.root().display()),
                "the CA's root certificate begins with -----BEGIN CERTIFICATE-----: init writes it to data/tls-root.pem, and \
                 portcullis login --root FILE takes it",
            ));
        }
        let options = ClientOptions { url: profile.api().to_owned(), root_pem, timeout: CALL_TIMEOUT };
        Ok(Client::new(options)?)
    }

    /// A client that is logged in: by the stored token, else transparently with the key when that needs no prompt.
    pub(crate) async fn client(&self) -> Result<Client, CliError> {
        let home = self.home()?;
        let profile = self.profile()?;
        let credentials = KeyCredentials::new(&profile, Prompt::Never).forgetting(home.token());
        let client = self.anonymous(&profile)?.with_credentials(std::sync::Arc::new(credentials));
        if let Some(token) = StoredToken::read(&home, &profile, self.now()) {
            return Ok(client.with_token(token));
        }
        let answer = client.login().await?;
        StoredToken::write(&home, &profile, &answer)?;
        Ok(client)
    }
}

/// A path in the environment; an empty one is as good as none.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
