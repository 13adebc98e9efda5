//! Proving who we are: an SSHSIG over the CA's challenge, by a key file or the ssh-agent.

use std::path::{Path, PathBuf};

use api::{Credentials, wire};
use identity::agent::{Agent, HeldKey};
use identity::{FileKey, SignError, Signer, Statement, Subject};
use zeroize::Zeroizing;

use crate::error::chain;
use crate::profile::{KeySource, Profile};

/// Whether a person may be asked for a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Yes: this is a login, and somebody sits there.
    Ask,
    /// No: a sealed key file is as good as none.
    Never,
}

/// Signs login challenges for a profile.
#[derive(Debug)]
pub(crate) struct KeyCredentials {
    subject: Subject,
    key: KeySource,
    prompt: Prompt,
    stale_token: Option<PathBuf>,
}

/// The environment variable with the passphrase of the key file, for scripts.
const PASSPHRASE: &str = "PORTCULLIS_KEY_PASSPHRASE";

impl KeyCredentials {
    /// The credentials of a profile.
    pub(crate) fn new(profile: &Profile, prompt: Prompt) -> Self {
        Self { subject: profile.identity().clone(), key: profile.key().clone(), prompt, stale_token: None }
    }

    /// Removes this token file when a new login is needed: the token in it is dead.
    pub(crate) fn forgetting(mut self, token: PathBuf) -> Self {
        self.stale_token = Some(token);
        self
    }

    /// The key, ready to sign.
    pub(crate) async fn signer(&self) -> Result<Signer, String> {
        match &self.key {
            KeySource::Agent(fingerprint) => from_agent(fingerprint).await,
            KeySource::File(path) => match FileKey::load(path, || passphrase(path, self.prompt)) {
                Ok(key) => Ok(Signer::File(Box::new(key))),
                // ssh-add has very likely opened it already.
                Err(SignError::NoPassphrase(_) | SignError::SecurityKey(_)) => match from_agent_by_file(path).await {
                    Ok(signer) => Ok(signer),
                    Err(_) => Err(format!(
                        "the key {} needs its passphrase or its agent: load it with ssh-add, or run portcullis login",
                        path.display()
                    )),
                },
                Err(error) => Err(chain(&error)),
            },
        }
    }
}

#[async_trait::async_trait]
impl Credentials for KeyCredentials {
    fn subject(&self) -> String {
        self.subject.to_string()
    }

    async fn sign(&self, challenge: &wire::Challenge) -> Result<String, String> {
        if let Some(path) = &self.stale_token {
            // Whether it was there does not matter: a new one is bought now.
            let _ = std::fs::remove_file(path);
        }
        let nonce = challenge.nonce.parse().map_err(|error: identity::NonceError| error.to_string())?;
        let statement = Statement::login(&challenge.server, &self.subject, &nonce);
        self.signer().await?.sign(&statement).await.map_err(|error| chain(&error))
    }
}

/// The agent's key with this fingerprint.
async fn from_agent(fingerprint: &str) -> Result<Signer, String> {
    let agent = Agent::from_env().map_err(|error| chain(&error))?;
    let mut connection = agent.connect().await.map_err(|error| chain(&error))?;
    let held = connection.list().await.map_err(|error| chain(&error))?;
    let found = held.into_iter().find_map(|held| match held.key {
        HeldKey::Plain(key) if identity::fingerprint(&key) == fingerprint => Some(key),
        HeldKey::Plain(_) | HeldKey::Certificate(_) => None,
    });
    match found {
        Some(key) => Ok(Signer::Agent { agent, key }),
        None => Err(format!("the ssh-agent does not hold the key {fingerprint}: load it with ssh-add")),
    }
}

/// The agent's copy of a key file, found by the `.pub` beside it.
async fn from_agent_by_file(path: &Path) -> Result<Signer, String> {
    let key = public_beside(path)?;
    from_agent(&identity::fingerprint(key.key_data())).await
}

/// The public key of a `.pub` file, or of the one beside a private key file.
pub(crate) fn public_beside(path: &Path) -> Result<ssh_key::PublicKey, String> {
    let public = match path.extension().is_some_and(|extension| extension == "pub") {
        true => path.to_owned(),
        false => {
            let mut name = path.as_os_str().to_owned();
            name.push(".pub");
            PathBuf::from(name)
        }
    };
    let text = identity::files::read_text(&public, 64 * 1024).map_err(|error| chain(&error))?;
    identity::parse_public_key(&text).map_err(|error| format!("{}: {}", public.display(), chain(&error)))
}

fn passphrase(path: &Path, prompt: Prompt) -> Option<Zeroizing<String>> {
    if let Ok(given) = std::env::var(PASSPHRASE) {
        return Some(Zeroizing::new(given));
    }
    match prompt {
        Prompt::Never => None,
        Prompt::Ask => {
            rpassword::prompt_password(format!("passphrase of {}: ", path.display())).ok().map(Zeroizing::new)
        }
    }
}
