//! SSHSIG signatures as proofs (PROTOCOL.sshsig).

use base64::Engine as _;
use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use ssh_key::{PublicKey, SshSig};

use crate::security_key::{Flags, fits};
use crate::{KeyError, Statement, fingerprint, public_key_from_blob};

/// That the holder of a key signed a [`Statement`]. Only [`Proof::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    key: KeyData,
    security_key: Option<Flags>,
}

/// What a proof must show beyond the signature itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// A security key was touched.
    pub touch: bool,
    /// A security key had verified its person, by PIN or finger.
    pub verification: bool,
}

/// Why a signature proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not an armored SSH signature.
    #[error("this is no SSH signature: it must be what ssh-keygen -Y sign writes")]
    Malformed,
    /// Its key is not good enough.
    #[error("the signature's key is not accepted")]
    Key(#[source] KeyError),
    /// It was made for something else.
    #[error("the signature was made for {found}, not for {wanted}")]
    Namespace {
        /// The namespace that was asked for.
        wanted: &'static str,
        /// The one it has, escaped.
        found: String,
    },
    /// Its algorithm does not belong to the key, or uses SHA-1.
    #[error("a signature by {algorithm} is not accepted from this key; RSA keys must sign with SHA-2")]
    Algorithm {
        /// The algorithm's name, escaped.
        algorithm: String,
    },
    /// It does not verify.
    #[error("the signature does not match what was to be signed")]
    Wrong,
    /// A touch was asked for.
    #[error("{}", match security_key {
        true => "the security key was not touched",
        false => "a security key must be touched, and this is not one: use a key of type ed25519-sk or ecdsa-sk",
    })]
    Touch {
        /// Whether the key is a security key at all.
        security_key: bool,
    },
    /// A verification of the person was asked for.
    #[error("the security key did not verify its person: use one that asks for a PIN or a finger (verify-required)")]
    Verification,
}

impl Proof {
    /// Verifies that `armored` ("-----BEGIN SSH SIGNATURE-----") is a signature of `statement` in its namespace.
    ///
    /// Whose key it is, is the directory's to say; whether it was touched, [`Proof::meets`].
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn verify(armored: &str, statement: &Statement) -> Result<Self, ProofError> {
        let signature = parse(armored)?;
        if signature.namespace() != statement.namespace() {
            let found = signature.namespace().escape_default().take(64).collect();
            return Err(ProofError::Namespace { wanted: statement.namespace(), found });
        }
        let key = signature.public_key().clone();
        if !fits(&key, &signature.algorithm()) {
            let algorithm = signature.algorithm().as_str().escape_default().take(64).collect();
            return Err(ProofError::Algorithm { algorithm });
        }
        PublicKey::from(key.clone())
            .verify(statement.namespace(), statement.text().as_bytes(), &signature)
            .map_err(|_| ProofError::Wrong)?;
        // The flags are believed only now: they are part of what a security key signs.
        let security_key = Flags::of(&key, signature.signature_bytes()).map_err(|_| ProofError::Malformed)?;
        Ok(Self { key, security_key })
    }

    /// The key that signed.
    #[must_use]
    pub const fn key(&self) -> &KeyData {
        &self.key
    }

    /// Its SHA-256 fingerprint ("SHA256:…").
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }

    /// Whether a security key signed and was touched for it.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.security_key.is_some_and(Flags::touched)
    }

    /// Whether a security key signed and had verified its person.
    #[must_use]
    pub fn verified_person(&self) -> bool {
        self.security_key.is_some_and(Flags::verified_person)
    }

    /// The security key's signature counter; many keys always say 0.
    #[must_use]
    pub fn counter(&self) -> Option<u32> {
        self.security_key.map(Flags::counter)
    }

    /// Whether the proof shows what is asked for.
    ///
    /// # Errors
    /// [`ProofError::Touch`] or [`ProofError::Verification`].
    pub fn meets(&self, demand: Demand) -> Result<(), ProofError> {
        if demand.touch && !self.touched() {
            return Err(ProofError::Touch { security_key: self.security_key.is_some() });
        }
        if demand.verification && !self.verified_person() {
            return Err(ProofError::Verification);
        }
        Ok(())
    }
}

/// The most bytes of armored text; a signature of RSA with 8,192 bits needs 3.3 KiB.
const LIMIT: usize = 16 * 1024;

/// Reads the armor. The key is read by itself first, because ssh-key follows certificates into each other.
fn parse(armored: &str) -> Result<SshSig, ProofError> {
    if armored.len() > LIMIT {
        return Err(ProofError::Malformed);
    }
    let body = armored
        .trim()
        .strip_prefix("-----BEGIN SSH SIGNATURE-----")
        .and_then(|rest| rest.strip_suffix("-----END SSH SIGNATURE-----"))
        .ok_or(ProofError::Malformed)?;
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let blob = base64::engine::general_purpose::STANDARD.decode(base64).map_err(|_| ProofError::Malformed)?;
    let key = key_blob(&blob).ok_or(ProofError::Malformed)?;
    public_key_from_blob(key).map_err(ProofError::Key)?;
    let mut rest = blob.as_slice();
    let signature = SshSig::decode(&mut rest).map_err(|_| ProofError::Malformed)?;
    // Version 0 would be taken for 1 by ssh-key, which only refuses what is newer.
    if !rest.is_empty() || signature.version() != SshSig::VERSION {
        return Err(ProofError::Malformed);
    }
    Ok(signature)
}

/// The public key field: behind "SSHSIG" and the version.
fn key_blob(blob: &[u8]) -> Option<&[u8]> {
    let rest = blob.strip_prefix(b"SSHSIG")?.get(4..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
