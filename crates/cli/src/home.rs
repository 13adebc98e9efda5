//! The person's own directory: `$PORTCULLIS_HOME`, or `~/.config/portcullis`.

use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Where a person's configuration, token and certificates live.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// `--home`, else `$XDG_CONFIG_HOME/portcullis`, else `~/.config/portcullis`.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, CliError> {
        if let Some(path) = given {
            // Absolute, because ssh reads these paths from another directory.
            let absolute = std::path::absolute(path).map_err(|error| CliError::file("find", path, &error))?;
            return Ok(Self(absolute));
        }
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        config.map(|config| Self(config.join("portcullis"))).ok_or_else(|| {
            CliError::configuration("there is no home directory", "give one with --home DIR or PORTCULLIS_HOME")
        })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the CA is, and who we are.
    pub(crate) fn profile(&self) -> PathBuf {
        self.0.join("client.toml")
    }

    /// The session token.
    pub(crate) fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// The root certificate of the API, copied here at login.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root.pem")
    }

    /// The ledger's verifier key, as it was at the first login.
    pub(crate) fn ledger_key(&self) -> PathBuf {
        self.0.join("ledger.vkey")
    }

    /// Keys and certificates, one pair a grant's login and target.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.0.join("certificates")
    }

    /// The `known_hosts` lines of the front CA.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.0.join("known_hosts")
    }

    /// What `~/.ssh/config` includes.
    pub(crate) fn ssh_config(&self) -> PathBuf {
        self.0.join("ssh_config")
    }

    /// Makes the directory, for its owner alone.
    pub(crate) fn create(&self) -> Result<(), CliError> {
        make_private(&self.0)
    }
}

/// Makes a directory, and those above it, for its owner alone.
pub(crate) fn make_private(path: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| CliError::file("make", path, &error))
}

/// `~/` at the beginning stands for the person's home, as shells read it.
pub(crate) fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        (Ok(_), None) | (Err(_), _) => path.to_owned(),
    }
}
