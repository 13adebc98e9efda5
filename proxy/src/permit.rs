//! Authority as a value: what the CA allowed for one session.
//!
//! A [`Permit`] has private fields and is built from the CA's answer alone. Dialling a target and arming a recording
//! take one, so neither can happen for a session that the CA has not allowed.

use std::sync::Arc;

use api::wire::{Credential, OpenedSession};
use model::{IdentityName, NameError, Obligations, RequestId, SessionId, TargetAddress, TargetName, Timestamp};
use ssh_key::{Certificate, PrivateKey, PublicKey};

use crate::auth::{Authorities, Person, Shown};
use crate::destination::Destination;
use crate::trust::HostTrust;

/// One session that the CA allowed.
#[derive(Debug)]
pub(crate) struct Permit {
    session: SessionId,
    request: RequestId,
    identity: IdentityName,
    destination: Destination,
    addresses: Vec<TargetAddress>,
    trust: HostTrust,
    credentials: Credentials,
    command: Option<String>,
    obligations: Obligations,
    deadline: Timestamp,
    seq: u64,
    by_key: bool,
}

/// What opens the target.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// The ephemeral key and its certificate.
    Certificate(Arc<PrivateKey>, Box<Certificate>),
    /// The key that the target knows. The CA holds the other half, and signs with it once.
    TargetKey(PublicKey),
}

/// The CA's answer makes no sense, or is the answer to another question.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PermitError {
    #[error("the CA answered for {answered} when {asked} was asked")]
    Other { answered: String, asked: String },
    #[error("the CA's answer has an address that cannot be read")]
    Address(#[source] NameError),
    #[error("the CA's answer has no address for {0}")]
    NoAddress(TargetName),
    #[error("the CA's answer has a {what} that cannot be read")]
    Key { what: &'static str, source: ssh_key::Error },
    #[error("the CA certified a key that was not asked for")]
    WrongKey,
    #[error("the CA pins no host key for {0}, which shows no certificate")]
    NotPinned(TargetName),
}

impl Permit {
    /// Takes the CA's answer, and holds it against the question.
    ///
    /// # Errors
    /// The answer is for somebody or something else, or cannot be read.
    pub(crate) fn from_answer(
        answer: OpenedSession,
        person: &Person,
        asked: &Destination,
        key: Arc<PrivateKey>,
    ) -> Result<Self, PermitError> {
        let answered = Destination { login: answer.login, target: answer.target };
        if answered != *asked || answer.identity != person.identity {
            return Err(PermitError::Other {
                answered: format!("{} as {answered}", answer.identity),
                asked: format!("{} as {asked}", person.identity),
            });
        }
        let addresses: Vec<TargetAddress> =
            answer.addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(PermitError::Address)?;
        if addresses.is_empty() {
            return Err(PermitError::NoAddress(answered.target));
        }
        let unreadable = |what| move |source| PermitError::Key { what, source };
        let authorities = Authorities::parse(&answer.host_ca).map_err(unreadable("host CA key"))?;
        let pinned = answer
            .host_keys
            .iter()
            .map(|line| PublicKey::from_openssh(line).map(|key| key.key_data().clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable("pinned host key"))?;
        let credentials = match &answer.credential {
            Credential::Certificate(line) => {
                let certificate = Certificate::from_openssh(line).map_err(unreadable("certificate"))?;
                if certificate.public_key() != key.public_key().key_data() {
                    return Err(PermitError::WrongKey);
                }
                Credentials::Certificate(key, Box::new(certificate))
            }
            Credential::TargetKey(_) if pinned.is_empty() => return Err(PermitError::NotPinned(answered.target)),
            Credential::TargetKey(line) => {
                Credentials::TargetKey(PublicKey::from_openssh(line).map_err(unreadable("target key"))?)
            }
        };
        Ok(Self {
            session: answer.session,
            request: answer.request,
            identity: answer.identity,
            destination: answered,
            addresses,
            trust: HostTrust { authorities, pinned },
            credentials,
            command: answer.command,
            obligations: answer.obligations,
            deadline: answer.deadline.0,
            seq: answer.seq,
            by_key: matches!(person.shown, Shown::Key(_)),
        })
    }

    pub(crate) const fn session(&self) -> &SessionId {
        &self.session
    }

    /// The grant.
    pub(crate) const fn request(&self) -> &RequestId {
        &self.request
    }

    pub(crate) const fn identity(&self) -> &IdentityName {
        &self.identity
    }

    pub(crate) const fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(crate) fn addresses(&self) -> &[TargetAddress] {
        &self.addresses
    }

    pub(crate) const fn trust(&self) -> &HostTrust {
        &self.trust
    }

    /// What opens the target.
    pub(crate) const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The one exact command, when the grant is for one.
    pub(crate) fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    pub(crate) const fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// When the grant ended as the session was opened; it may have been extended since.
    pub(crate) const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The place in the ledger from which a revocation of this session may stand.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether its person came with a plain key, and so perhaps with nothing but ssh.
    pub(crate) const fn is_by_key(&self) -> bool {
        self.by_key
    }
}
