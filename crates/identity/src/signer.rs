//! The other end: signing a statement with a key file or an ssh-agent.

use std::path::{Path, PathBuf};

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
use zeroize::Zeroizing;

use crate::agent::{Agent, AgentError};
use crate::files::{self, Access, FileError};
use crate::{KeyError, Statement, check_key, fingerprint};

/// Something that holds a private key and signs statements with it.
#[derive(Debug)]
pub enum Signer {
    /// A key file.
    File(Box<FileKey>),
    /// One key of an ssh-agent.
    Agent {
        /// The agent's socket, connected anew for each signature.
        agent: Agent,
        /// The key.
        key: KeyData,
    },
}

/// A private key from a file, unlocked and in memory. It is wiped when it is dropped.
#[derive(Debug)]
pub struct FileKey {
    path: PathBuf,
    private: PrivateKey,
}

/// Why something cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key file cannot be read.
    #[error("the key file cannot be used")]
    File(#[from] FileError),
    /// Not a private key in OpenSSH's own form.
    #[error("{} cannot be read as an OpenSSH private key: convert it with ssh-keygen -p -f, or load it with ssh-add", .0.display())]
    Malformed(PathBuf),
    /// Its key is not good enough.
    #[error("the key {} is not accepted", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: KeyError,
    },
    /// Nobody gave a passphrase.
    #[error("{} is sealed under a passphrase and none was given", .0.display())]
    NoPassphrase(PathBuf),
    /// Not its passphrase.
    #[error("this is not the passphrase of {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// A security key's file holds only its handle.
    #[error("{} is a security key's handle: load it with ssh-add, and the agent signs with it", .0.display())]
    SecurityKey(PathBuf),
    /// The agent failed.
    #[error("the ssh-agent did not sign")]
    Agent(#[from] AgentError),
    /// The key cannot sign.
    #[error("signing failed")]
    Signing(#[source] ssh_key::Error),
}

impl Signer {
    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &KeyData {
        match self {
            Self::File(key) => key.public_key(),
            Self::Agent { key, .. } => key,
        }
    }

    /// Its SHA-256 fingerprint ("SHA256:…").
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.public_key())
    }

    /// The armored SSHSIG of `statement`. A security key in the agent waits for its touch.
    ///
    /// # Errors
    /// The agent refused or did not answer in time, or the key cannot sign.
    pub async fn sign(&self, statement: &Statement) -> Result<String, SignError> {
        match self {
            Self::File(key) => key.sign(statement),
            Self::Agent { agent, key } => {
                let text = statement.text().as_bytes();
                let data =
                    SshSig::signed_data(statement.namespace(), HashAlg::Sha512, text).map_err(SignError::Signing)?;
                let signature = agent.connect().await?.sign(key, &data).await?;
                armored(SshSig::new(key.clone(), statement.namespace(), HashAlg::Sha512, signature))
            }
        }
    }
}

impl FileKey {
    /// Reads a private key file. `passphrase` is asked only when the file is sealed.
    ///
    /// # Errors
    /// Others can read it, it is no OpenSSH key, it is not good enough, or the passphrase is missing or wrong.
    pub fn load(path: &Path, passphrase: impl FnOnce() -> Option<Zeroizing<String>>) -> Result<Self, SignError> {
        Self::parse(path, &files::read_secret(path)?, passphrase)
    }

    /// Reads what such a file holds; `path` names it in errors.
    ///
    /// # Errors
    /// As [`FileKey::load`].
    pub fn parse(
        path: &Path,
        text: &str,
        passphrase: impl FnOnce() -> Option<Zeroizing<String>>,
    ) -> Result<Self, SignError> {
        let key = PrivateKey::from_openssh(text).map_err(|_| SignError::Malformed(path.to_owned()))?;
        let refuse = |error| SignError::Key { path: path.to_owned(), error };
        check_key(key.public_key().key_data()).map_err(refuse)?;
        let private = if key.is_encrypted() {
            let passphrase = passphrase().ok_or_else(|| SignError::NoPassphrase(path.to_owned()))?;
            key.decrypt(passphrase.as_bytes()).map_err(|_| SignError::WrongPassphrase(path.to_owned()))?
        } else {
            key
        };
        if private.key_data().is_sk_ed25519() || private.key_data().is_sk_ecdsa_p256() {
            return Err(SignError::SecurityKey(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), private })
    }

    /// Makes an Ed25519 key from 32 random bytes and writes it unsealed, for its owner alone, with its public half
    /// beside it (`.pub`): a proxy's key, with which no certificate is ever signed. Neither file may exist.
    ///
    /// # Errors
    /// A file is there already or cannot be written.
    pub fn create(path: &Path, comment: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, SignError> {
        let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
        let private = PrivateKey::new(pair, comment).map_err(SignError::Signing)?;
        let text = private.to_openssh(LineEnding::LF).map_err(SignError::Signing)?;
        files::create_new(path, text.as_bytes(), Access::Private)?;
        let public = private.public_key().to_openssh().map_err(SignError::Signing)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".pub");
        files::create_new(Path::new(&beside), format!("{public}\n").as_bytes(), Access::Public)?;
        Ok(Self { path: path.to_owned(), private })
    }

    /// A key that is in memory already, such as one made for a session; `path` only names it in errors.
    #[must_use]
    pub const fn from_private(private: PrivateKey, path: PathBuf) -> Self {
        Self { path, private }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &KeyData {
        self.private.public_key().key_data()
    }

    /// The private key, for the agent or for an SSH connection.
    #[must_use]
    pub const fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// The armored SSHSIG of `statement`. RSA signs with SHA-512.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign(&self, statement: &Statement) -> Result<String, SignError> {
        armored(self.private.sign(statement.namespace(), HashAlg::Sha512, statement.text().as_bytes()))
    }
}

fn armored(signature: Result<SshSig, ssh_key::Error>) -> Result<String, SignError> {
    signature.and_then(|signature| signature.to_pem(LineEnding::LF)).map_err(SignError::Signing)
}
