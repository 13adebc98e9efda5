//! Signing, and comparing what was signed with what was meant.

use std::collections::BTreeSet;

use model::{CertificateBody, Principal, Serial, Timestamp};
use sha2::{Digest, Sha256};
use ssh_key::encoding::Encode;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, HashAlg, Signature};

use super::{Draft, Finding, LintError, Rules, lint};
use crate::keys::{CaSigner, SignerError};

/// A certificate that passed the linter and is not signed. Signing uses it up, so none is signed twice.
#[derive(Debug)]
pub struct Prepared {
    pub(super) body: CertificateBody,
    pub(super) draft: Draft,
    pub(super) tbs: Vec<u8>,
}

/// A certificate that was signed and compared.
#[derive(Clone, Debug)]
pub struct Signed {
    certificate: Certificate,
    text: String,
    sha256: String,
}

/// Why a certificate is not handed out. Its serial is used up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signer has another key than the certificate names.
    #[error("the signer's key is not the CA key that the certificate names")]
    OtherKey,
    /// The key did not sign.
    #[error("{0}")]
    Signer(#[from] SignerError),
    /// The signature is by an algorithm that is not this key's, or uses SHA-1.
    #[error("the CA key signed with {0}, which is not accepted")]
    Algorithm(String),
    /// What was signed is not what was meant.
    #[error("what was signed is not what was intended: its {0} differs")]
    Different(&'static str),
}

impl Prepared {
    /// Lints the very bytes that are to be signed: the draft is encoded, read back, and the copy is looked at.
    pub(super) fn new(draft: Draft, rules: &Rules<'_>, principals: BTreeSet<Principal>) -> Result<Self, LintError> {
        // Before the bytes: a key that cannot be read back is better named than "cannot be read".
        lint(&draft, rules)?;
        let unreadable = || LintError(vec![Finding::Key(identity::KeyError::Malformed)]);
        let tbs = draft.encode().map_err(|_| unreadable())?;
        let read = Draft::decode(&tbs).map_err(|_| unreadable())?;
        lint(&read, rules)?;
        if read != draft {
            return Err(unreadable());
        }
        let serial = Serial::new(draft.serial).ok_or_else(|| LintError(vec![Finding::SerialZero]))?;
        let body = CertificateBody {
            serial,
            profile: rules.profile,
            key: identity::fingerprint(&draft.key),
            ca: identity::fingerprint(&draft.ca),
            key_id: draft.key_id.clone(),
            principals,
            valid_after: Timestamp::from_seconds(draft.valid_after),
            valid_before: Timestamp::from_seconds(draft.valid_before),
            critical_options: draft.critical_options.iter().cloned().collect(),
            extensions: draft.extensions.iter().map(|(name, _)| name.clone()).collect(),
        };
        Ok(Self { body, draft, tbs })
    }

    /// What it will say, for the ledger.
    #[must_use]
    pub const fn body(&self) -> &CertificateBody {
        &self.body
    }

    /// SHA-256 of the bytes to be signed, in hexadecimal, for the ledger.
    #[must_use]
    pub fn tbs_sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.tbs))
    }

    /// Signs it, and compares what came of it with what was meant. To be called once the intent is durable.
    ///
    /// # Errors
    /// The signer failed, or what it signed is not to be handed out.
    pub fn sign(self, signer: &dyn CaSigner) -> Result<Signed, SignError> {
        if *signer.public_key() != self.draft.ca {
            return Err(SignError::OtherKey);
        }
        let signature = signer.sign(&self.tbs)?;
        check_algorithm(&self.draft.ca, &signature.algorithm())?;
        let mut bytes = self.tbs.clone();
        let wrapped = signature.encode_vec().and_then(|signature| signature.encode_vec());
        bytes.extend(wrapped.map_err(|_| SignError::Different("signature"))?);
        let certificate = self.compare(&bytes, &signature)?;
        let text = certificate.to_openssh().map_err(|_| SignError::Different("encoding"))?;
        Ok(Signed { certificate, text, sha256: hex::encode(Sha256::digest(&bytes)) })
    }

    /// Reads the certificate with ssh-key's parser, which shares no code with our encoder, and holds every field
    /// against the intent.
    fn compare(&self, bytes: &[u8], signature: &Signature) -> Result<Certificate, SignError> {
        let different = SignError::Different;
        let mut certificate = Certificate::from_bytes(bytes).map_err(|_| different("encoding"))?;
        let (draft, body) = (&self.draft, &self.body);
        let principals: BTreeSet<String> = body.principals.iter().map(ToString::to_string).collect();
        let found: BTreeSet<String> = certificate.valid_principals().iter().cloned().collect();
        let extensions: BTreeSet<String> = certificate.extensions().keys().cloned().collect();
        let checks = [
            ("nonce", certificate.nonce() == draft.nonce),
            ("key", *certificate.public_key() == draft.key),
            ("serial", certificate.serial() == body.serial.get()),
            ("type", certificate.cert_type() == draft.kind),
            ("key id", certificate.key_id() == body.key_id),
            ("principals", found == principals && certificate.valid_principals().len() == principals.len()),
            ("begin", certificate.valid_after() == body.valid_after.seconds()),
            ("end", certificate.valid_before() == body.valid_before.seconds()),
            ("critical options", certificate.critical_options().0 == body.critical_options),
            ("extensions", extensions == body.extensions),
            ("extension values", certificate.extensions().values().all(String::is_empty)),
            ("CA key", *certificate.signature_key() == draft.ca),
            ("signature", certificate.signature() == signature),
            ("encoding", certificate.to_bytes().is_ok_and(|again| again == bytes)),
        ];
        if let Some((name, _)) = checks.into_iter().find(|(_, same)| !same) {
            return Err(different(name));
        }
        // The signature over what ssh-key encodes anew, by the CA key, at the first second of its life.
        certificate
            .validate_at(certificate.valid_after(), [&draft.ca.fingerprint(HashAlg::Sha256)])
            .map_err(|_| different("signature"))?;
        certificate.set_comment(body.key_id.as_str());
        Ok(certificate)
    }
}

impl Signed {
    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// As a line for a `-cert.pub` file; its comment is the key id.
    #[must_use]
    pub fn openssh(&self) -> &str {
        &self.text
    }

    /// SHA-256 of its bytes, in hexadecimal, for the ledger.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The key's own algorithm, and for RSA one of RFC 8332: SHA-1 is never accepted.
fn check_algorithm(ca: &KeyData, algorithm: &Algorithm) -> Result<(), SignError> {
    let good = match (ca.algorithm(), algorithm) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { hash }) => hash.is_some(),
        (own, algorithm) => own == *algorithm,
    };
    let shown = || algorithm.as_str().escape_default().take(64).collect();
    if good { Ok(()) } else { Err(SignError::Algorithm(shown())) }
}
