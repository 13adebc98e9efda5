//! Someone who is logged in to the API.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use api::wire::{Certificate, Challenge, IssueCertificate, Purpose};
use api::{Client, ClientOptions, Credentials};
use identity::{CertificateAsk, FileKey, Statement, Subject};
use model::{CertificateProfile, IdentityName, RequestId};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{PrivateKey, PublicKey};
use store::{Entropy as _, SystemEntropy};

/// Someone who is logged in to the API.
#[derive(Clone)]
pub struct Caller {
    /// The client, which logs in again when it has to.
    pub client: Client,
    subject: Subject,
}

impl Caller {
    /// Logs in with a key, at an API whose root certificate is in a file.
    ///
    /// # Errors
    /// A file cannot be read, or the log-in is refused.
    pub async fn log_in(api: &str, root: &Path, name: IdentityName, key: &Path) -> Result<Self> {
        let root_pem = std::fs::read_to_string(root).with_context(|| format!("cannot read {}", root.display()))?;
        let subject = Subject::Identity(name);
        let key = FileKey::load(key, || None)?;
        // The binary portcullis does the same; several crates bring a provider, so none is the default by itself.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(ClientOptions { url: api.to_owned(), root_pem, timeout: Duration::from_secs(30) })?;
        let client = client.with_credentials(Arc::new(Login { subject: subject.clone(), key }));
        client.login().await?;
        Ok(Self { client, subject })
    }

    /// Gets a certificate under a grant, for a new key.
    ///
    /// # Errors
    /// It is refused.
    pub async fn certificate(&self, grant: &RequestId) -> Result<(PrivateKey, Certificate)> {
        let mut seed = [0; 32];
        SystemEntropy.fill(&mut seed);
        let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "load")?;
        let signer = FileKey::from_private(key.clone(), PathBuf::new());
        let certificate = self.certificate_for(grant, key.public_key(), |ask| Ok(signer.sign(ask)?)).await?;
        Ok((key, certificate))
    }

    /// Gets a certificate under a grant, for a key whose holder signs what is asked in the armored form of SSHSIG.
    ///
    /// # Errors
    /// It is not signed, or refused.
    pub async fn certificate_for(
        &self,
        grant: &RequestId,
        key: &PublicKey,
        sign: impl FnOnce(&Statement) -> Result<String>,
    ) -> Result<Certificate> {
        let challenge = self.client.challenge(Purpose::Certificate).await?;
        let nonce = challenge.nonce.parse().map_err(|error| anyhow!("the nonce is mangled: {error}"))?;
        let proof = sign(&Statement::certificate(&CertificateAsk {
            server: &challenge.server,
            subject: &self.subject,
            nonce,
            profile: CertificateProfile::Person,
            grant: Some(grant),
            key,
        }))?;
        let body =
            IssueCertificate { request: grant.clone(), public_key: key.to_openssh()?, nonce: challenge.nonce, proof };
        Ok(self.client.issue_certificate(&body).await?)
    }
}

struct Login {
    subject: Subject,
    key: FileKey,
}

#[async_trait::async_trait]
impl Credentials for Login {
    fn subject(&self) -> String {
        self.subject.to_string()
    }

    async fn sign(&self, challenge: &Challenge) -> Result<String, String> {
        let nonce = challenge.nonce.parse().map_err(|error: identity::NonceError| error.to_string())?;
        let statement = Statement::login(&challenge.server, &self.subject, &nonce);
        self.key.sign(&statement).map_err(|error| error.to_string())
    }
}
