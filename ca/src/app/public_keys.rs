//! The public halves, which anyone may read.

use model::ProxyName;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::{App, AppError};

/// What everybody may know of the CA.
#[derive(Clone, Debug)]
pub struct PublicKeys {
    /// For `TrustedUserCAKeys`.
    pub user_ca: String,
    /// For `@cert-authority` lines.
    pub host_ca: String,
    /// The ledger's key, as a signed-note verifier key.
    pub ledger_key: String,
    /// Name, host name and port of each proxy.
    pub proxies: Vec<(ProxyName, String, u16)>,
}

impl App {
    /// The public keys, and where the proxies are.
    ///
    /// # Errors
    /// A key that cannot be written, which is a fault of ours.
    pub fn public_keys(&self) -> Result<PublicKeys, AppError> {
        let proxies = self.settings.proxies.iter();
        Ok(PublicKeys {
            user_ca: line(&self.authorities.user, "portcullis user-ca")?,
            host_ca: self.host_ca()?,
            ledger_key: self.ledger_key(),
            proxies: proxies.map(|(name, at)| (name.clone(), at.host.to_string(), at.port)).collect(),
        })
    }

    /// The host CA's public key in the OpenSSH one-line form.
    ///
    /// # Errors
    /// It cannot be written, which is a fault of ours.
    pub fn host_ca(&self) -> Result<String, AppError> {
        line(&self.authorities.host, "portcullis host-ca")
    }
}

fn line(key: &KeyData, comment: &str) -> Result<String, AppError> {
    PublicKey::new(key.clone(), comment).to_openssh().map_err(|error| AppError::Internal(error.to_string()))
}
