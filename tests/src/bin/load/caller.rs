//! Someone who is logged in to the API.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use api::wire::{Certificate, Challenge, IssueCertificate, Purpose};
use api::{Client, ClientOptions, Credentials};
use identity::{CertificateAsk, FileKey, Statement, Subject};
use model::{CertificateProfile, RequestId};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use store::{Entropy as _, SystemEntropy};

use crate::Options;

/// Someone who is logged in to the API.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    subject: Subject,
}

impl Caller {
    /// Logs in whom the option `name` names, with the key that the option `key` names.
    pub(crate) async fn log_in(options: &Options, name: &str, key: &str) -> Result<Self> {
        let root = options.text("root")?;
        let root_pem = std::fs::read_to_string(root).with_context(|| format!("cannot read {root}"))?;
        let subject = Subject::Identity(options.value(name)?);
        let key = FileKey::load(Path::new(options.text(key)?), || None)?;
        let url = options.text("api")?.to_owned();
        // The binary portcullis does the same; several crates bring a provider, so none is the default by itself.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(ClientOptions { url, root_pem, timeout: Duration::from_secs(30) })?;
        let client = client.with_credentials(Arc::new(Login { subject: subject.clone(), key }));
        client.login().await?;
        Ok(Self { client, subject })
    }

    /// Gets a certificate under a grant, for a new key.
    pub(crate) async fn certificate(&self, grant: &RequestId) -> Result<(PrivateKey, Certificate)> {
        let key = new_key()?;
        let challenge = self.client.challenge(Purpose::Certificate).await?;
        let nonce = challenge.nonce.parse().map_err(|error| anyhow!("the nonce is mangled: {error}"))?;
        let statement = Statement::certificate(&CertificateAsk {
            server: &challenge.server,
            subject: &self.subject,
            nonce,
            profile: CertificateProfile::Person,
            grant: Some(grant),
            key: key.public_key(),
        });
        let public_key = key.public_key().to_openssh()?;
        let proof = FileKey::from_private(key.clone(), PathBuf::new()).sign(&statement)?;
        let body = IssueCertificate { request: grant.clone(), public_key, nonce: challenge.nonce, proof };
        Ok((key, self.client.issue_certificate(&body).await?))
    }
}

/// A new Ed25519 key.
pub(crate) fn new_key() -> Result<PrivateKey> {
    let mut seed = [0; 32];
    SystemEntropy.fill(&mut seed);
    Ok(PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "load")?)
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
