//! Presence: the signature with which a person's own key logged in to a connection (RFC 4252, section 7). Whoever did
//! not end that connection can verify it too.

use sha2::{Digest as _, Sha256};
use signature::Verifier as _;
use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey, Signature};

use crate::log_in::{is_session_id, publickey_request};
use crate::security_key::{Flags, fits};

/// What is said of a connection at which a certificate or a plain key was shown.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The user name that the client asked for.
    pub user: &'a str,
    /// The session identifier of the connection (RFC 4253, section 7.2).
    pub session_id: &'a [u8],
    /// The signature in its wire form: algorithm, bytes, and a security key's flags and counter.
    pub signature: &'a [u8],
}

/// What somebody showed when they logged in: it is part of what they signed.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A certificate of their key.
    Certificate(&'a Certificate),
    /// The plain key.
    Key(&'a KeyData),
}

/// That the holder of a key, certified or plain, logged in with it, as one user, to one connection. Only
/// [`Presence::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    sha256: String,
    security_key: Option<Flags>,
}

/// Why somebody was not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// Not a signature in its wire form.
    #[error("the signature cannot be read")]
    Malformed,
    /// No session identifier has so many bytes.
    #[error("a session identifier has 32 to 64 bytes, not {0}")]
    SessionId(usize),
    /// Its algorithm does not belong to the key, or uses SHA-1.
    #[error("a signature by {0} is not accepted from this key; RSA keys must sign with SHA-2")]
    Algorithm(String),
    /// It does not verify.
    #[error("the signature is not by the key that was shown over this connection, user name and what was shown")]
    Wrong,
    /// A security key signed by itself.
    #[error("the security key was not touched")]
    Touch,
}

/// The most bytes of a signature; one of RSA with 8,192 bits has 1,048.
const LIMIT: usize = 2 * 1024;

impl Presence {
    /// Verifies that the key of what was `shown` signed the log-in that is claimed.
    ///
    /// A security key must have been touched for it: no certificate of ours excuses it from that, and no directory.
    /// Whether the certificate or the key itself is good, and whether the connection was made use of before, is not
    /// judged here.
    ///
    /// # Errors
    /// Why it shows nothing.
    pub fn verify(claim: &Claim<'_>, shown: Shown<'_>) -> Result<Self, PresenceError> {
        if !is_session_id(claim.session_id) {
            return Err(PresenceError::SessionId(claim.session_id.len()));
        }
        let signature = read(claim.signature)?;
        let key = match shown {
            Shown::Certificate(certificate) => certificate.public_key(),
            Shown::Key(key) => key,
        };
        if !fits(key, &signature.algorithm()) {
            let name = signature.algorithm().as_str().escape_default().take(64).collect();
            return Err(PresenceError::Algorithm(name));
        }
        let signed = signed(claim, &signature, shown).map_err(|_| PresenceError::Malformed)?;
        key.verify(&signed, &signature).map_err(|_| PresenceError::Wrong)?;
        Ok(Self {
            sha256: hex::encode(Sha256::digest(claim.session_id)),
            security_key: touched(key, signature.as_bytes())?,
        })
    }

    /// What the connection is known by ever after: the SHA-256 of its session identifier, in hexadecimal. It is not
    /// that of the signature, because an ECDSA signature can be changed into another that is good as well.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether a security key signed, which was touched then.
    #[must_use]
    pub const fn touched(&self) -> bool {
        self.security_key.is_some()
    }

    /// Whether a security key signed and had verified its person.
    #[must_use]
    pub fn verified_person(&self) -> bool {
        self.security_key.is_some_and(Flags::verified_person)
    }
}

fn read(bytes: &[u8]) -> Result<Signature, PresenceError> {
    if bytes.len() > LIMIT {
        return Err(PresenceError::Malformed);
    }
    let mut rest = bytes;
    let signature = Signature::decode(&mut rest).map_err(|_| PresenceError::Malformed)?;
    if rest.is_empty() { Ok(signature) } else { Err(PresenceError::Malformed) }
}

/// What a client signs: the session identifier, and its request up to the signature.
fn signed(claim: &Claim<'_>, signature: &Signature, shown: Shown<'_>) -> Result<Vec<u8>, ssh_key::Error> {
    let (algorithm, blob) = match shown {
        Shown::Certificate(certificate) => (signature.algorithm().to_certificate_type(), certificate.to_bytes()?),
        // The algorithm by which it signed: an RSA key has two names here, and neither is its own (RFC 8332).
        Shown::Key(key) => (signature.algorithm().as_str().to_owned(), PublicKey::from(key.clone()).to_bytes()?),
    };
    publickey_request(claim.session_id, claim.user, &algorithm, &blob)
}

/// The flags of a security key that was touched. They are believed only behind the signature.
fn touched(key: &KeyData, signature: &[u8]) -> Result<Option<Flags>, PresenceError> {
    match Flags::of(key, signature).map_err(|_| PresenceError::Malformed)? {
        Some(flags) if !flags.touched() => Err(PresenceError::Touch),
        flags => Ok(flags),
    }
}
