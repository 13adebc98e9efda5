//! The parts of the ssh-agent protocol (draft-ietf-sshm-ssh-agent) that a client needs: list, sign, add, remove.
//!
//! russh's own agent client cannot add a certificate and waits without end, so this one is ours. Every answer is
//! bounded in size and in time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Span;
use ssh_key::encoding::{Decode, Encode};
use ssh_key::private::KeypairData;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, PrivateKey, Signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::key::certificate_from_blob;
use crate::public_key_from_blob;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    path: PathBuf,
}

/// A connection to an agent.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

/// A key that an agent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub key: HeldKey,
    /// Its comment, often a file name.
    pub comment: String,
}

/// A plain key or a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldKey {
    /// A key by itself.
    Plain(KeyData),
    /// A key with its certificate.
    Certificate(Box<Certificate>),
}

/// Why an agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No agent is known.
    #[error("no ssh-agent is running for this shell (SSH_AUTH_SOCK is not set): start one, or name a key file")]
    NoSocket,
    /// Its socket cannot be used.
    #[error("the ssh-agent at {} cannot be reached", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("the ssh-agent hung up")]
    Io(#[source] std::io::Error),
    /// It did not answer in time.
    #[error("the ssh-agent did not answer within {} seconds", .0.as_secs())]
    Late(Duration),
    /// It said no.
    #[error("the ssh-agent refused to {0}: it does not hold the key, is locked, or its user said no")]
    Refused(&'static str),
    /// Its answer cannot be read.
    #[error("the ssh-agent's answer cannot be read")]
    Malformed,
    /// Keys of this type cannot be handed over.
    #[error("a key of type {0} cannot be added to an ssh-agent from here")]
    Unsupported(String),
}

/// For everything that needs no person.
const QUICK: Duration = Duration::from_secs(10);
/// For a signature: somebody may have to touch a key or answer a question.
const PATIENT: Duration = Duration::from_secs(120);
/// OpenSSH's own bound on a message (AGENT_MAX_LEN).
const LIMIT: usize = 256 * 1024;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ADD_IDENTITY: u8 = 17;
const REMOVE_IDENTITY: u8 = 18;
const ADD_ID_CONSTRAINED: u8 = 25;
const CONSTRAIN_LIFETIME: u8 = 1;
const RSA_SHA2_512: u32 = 4;

impl Agent {
    /// The agent of this shell, from `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// [`AgentError::NoSocket`].
    pub fn from_env() -> Result<Self, AgentError> {
        let path = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).ok_or(AgentError::NoSocket)?;
        Ok(Self::at(path))
    }

    /// The agent at a socket.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn connect(&self) -> Result<Connection, AgentError> {
        let connecting = tokio::time::timeout(QUICK, UnixStream::connect(&self.path)).await;
        let stream = connecting
            .map_err(|_| AgentError::Late(QUICK))?
            .map_err(|error| AgentError::Connect { path: self.path.clone(), error })?;
        Ok(Connection { stream })
    }
}

impl HeldKey {
    /// The key itself, without its certificate.
    #[must_use]
    pub fn key(&self) -> &KeyData {
        match self {
            Self::Plain(key) => key,
            Self::Certificate(certificate) => certificate.public_key(),
        }
    }

    fn blob(&self) -> Result<Vec<u8>, AgentError> {
        let blob = match self {
            Self::Plain(key) => key.encode_vec().map_err(ssh_key::Error::from),
            Self::Certificate(certificate) => certificate.to_bytes(),
        };
        blob.map_err(|_| AgentError::Malformed)
    }
}

impl Connection {
    /// What the agent holds, in its order. Keys of unknown or refused types are left out.
    ///
    /// # Errors
    /// The agent failed.
    pub async fn list(&mut self) -> Result<Vec<Held>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], QUICK).await?;
        let Some((&IDENTITIES_ANSWER, mut rest)) = answer.split_first() else {
            return Err(AgentError::Refused("list its keys"));
        };
        let rest = &mut rest;
        let count = u32::decode(rest).map_err(|_| AgentError::Malformed)?;
        let mut held = Vec::new();
        for _ in 0..count {
            let blob = Vec::<u8>::decode(rest).map_err(|_| AgentError::Malformed)?;
            let comment = Vec::<u8>::decode(rest).map_err(|_| AgentError::Malformed)?;
            let comment = String::from_utf8_lossy(&comment).chars().filter(|c| !c.is_control()).collect();
            let key = match certificate_from_blob(&blob) {
                Ok(certificate) => HeldKey::Certificate(Box::new(certificate)),
                Err(_) => match public_key_from_blob(&blob) {
                    Ok(key) => HeldKey::Plain(key),
                    Err(_) => continue,
                },
            };
            held.push(Held { key, comment });
        }
        Ok(held)
    }

    /// Signs `data`; RSA with SHA-512. The signature of a security key carries its flags and counter.
    ///
    /// # Errors
    /// The agent refused, or its person did not answer within two minutes.
    pub async fn sign(&mut self, key: &KeyData, data: &[u8]) -> Result<Signature, AgentError> {
        let flags = if key.is_rsa() { RSA_SHA2_512 } else { 0 };
        let mut message = vec![SIGN_REQUEST];
        let blob = HeldKey::Plain(key.clone()).blob()?;
        put(&mut message, &blob)?;
        put(&mut message, data)?;
        put(&mut message, &flags)?;
        let answer = self.ask(&message, PATIENT).await?;
        let mut rest = match answer.split_first() {
            Some((&SIGN_RESPONSE, rest)) => rest,
            _ => return Err(AgentError::Refused("sign")),
        };
        let blob = Vec::<u8>::decode(&mut rest).map_err(|_| AgentError::Malformed)?;
        let mut blob = blob.as_slice();
        let signature = Signature::decode(&mut blob).map_err(|_| AgentError::Malformed)?;
        if blob.is_empty() { Ok(signature) } else { Err(AgentError::Malformed) }
    }

    /// Hands a private key over, with its certificate when there is one, for `lifetime`.
    ///
    /// # Errors
    /// The agent refused, or the key is of a type that cannot be handed over.
    pub async fn add(
        &mut self,
        private: &PrivateKey,
        certificate: Option<&Certificate>,
        comment: &str,
        lifetime: Option<Span>,
    ) -> Result<(), AgentError> {
        let mut message = Zeroizing::new(Vec::with_capacity(8192));
        message.push(if lifetime.is_some() { ADD_ID_CONSTRAINED } else { ADD_IDENTITY });
        match certificate {
            None => put(&mut message, private.key_data())?,
            Some(certificate) => {
                let name = certificate.algorithm().to_certificate_type();
                let blob = certificate.to_bytes().map_err(|_| AgentError::Malformed)?;
                put(&mut message, &name)?;
                put(&mut message, &blob)?;
                encode_private_part(&mut message, private)?;
            }
        }
        put(&mut message, comment)?;
        if let Some(lifetime) = lifetime {
            message.push(CONSTRAIN_LIFETIME);
            put(&mut message, &lifetime.seconds())?;
        }
        self.command(&message, "add the key").await
    }

    /// Takes a key back.
    ///
    /// # Errors
    /// The agent refused.
    pub async fn remove(&mut self, key: &HeldKey) -> Result<(), AgentError> {
        let mut message = vec![REMOVE_IDENTITY];
        put(&mut message, &key.blob()?)?;
        self.command(&message, "remove the key").await
    }

    async fn command(&mut self, message: &[u8], what: &'static str) -> Result<(), AgentError> {
        match self.ask(message, QUICK).await?.as_slice() {
            [SUCCESS, ..] => Ok(()),
            [FAILURE, ..] => Err(AgentError::Refused(what)),
            _ => Err(AgentError::Malformed),
        }
    }

    async fn ask(&mut self, message: &[u8], patience: Duration) -> Result<Vec<u8>, AgentError> {
        let length = u32::try_from(message.len()).map_err(|_| AgentError::Malformed)?;
        let exchange = async {
            self.stream.write_all(&length.to_be_bytes()).await.map_err(AgentError::Io)?;
            self.stream.write_all(message).await.map_err(AgentError::Io)?;
            let length = self.stream.read_u32().await.map_err(AgentError::Io)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length == 0 || length > LIMIT {
                return Err(AgentError::Malformed);
            }
            let mut answer = vec![0; length];
            self.stream.read_exact(&mut answer).await.map_err(AgentError::Io)?;
            Ok(answer)
        };
        tokio::time::timeout(patience, exchange).await.map_err(|_| AgentError::Late(patience))?
    }
}

fn put<T: Encode + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), AgentError> {
    value.encode(out).map_err(|_| AgentError::Malformed)
}

/// The private fields that follow a certificate (draft-ietf-sshm-ssh-agent, section 3.2): what the certificate
/// already says is left out, except for Ed25519, which repeats its public key.
fn encode_private_part(out: &mut Vec<u8>, private: &PrivateKey) -> Result<(), AgentError> {
    let unsupported = || AgentError::Unsupported(private.algorithm().as_str().to_owned());
    let data: &KeypairData = private.key_data();
    if let Some(pair) = data.ed25519() {
        let both = Zeroizing::new(pair.to_bytes());
        put(out, pair.public.as_ref().as_slice())?;
        return put(out, both.as_slice());
    }
    if let Some(pair) = data.rsa() {
        let rsa = pair.private();
        put(out, rsa.d())?;
        put(out, rsa.iqmp())?;
        put(out, rsa.p())?;
        return put(out, rsa.q());
    }
    if matches!(private.algorithm(), Algorithm::Ecdsa { .. }) {
        // ssh-key writes type, curve, point and scalar; only the scalar is wanted, which is the last string.
        let whole = Zeroizing::new(data.encode_vec().map_err(|_| AgentError::Malformed)?);
        let mut rest = whole.as_slice();
        for _ in 0..3 {
            Vec::<u8>::decode(&mut rest).map_err(|_| AgentError::Malformed)?;
        }
        out.extend_from_slice(rest);
        return Ok(());
    }
    Err(unsupported())
}
