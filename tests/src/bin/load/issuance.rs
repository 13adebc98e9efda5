//! Certificates a second: each caller asks for one after the other, with a new key and a new proof each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use api::wire::{Challenge, IssueCertificate, Purpose};
use api::{Client, ClientOptions, Credentials};
use identity::{CertificateAsk, FileKey, Statement, Subject};
use model::{CertificateProfile, RequestId};
use serde_json::{Value, json};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use store::{Entropy as _, SystemEntropy};

use crate::Options;

/// Runs the callers for the given time, and counts.
pub(crate) async fn measure(options: &Options) -> Result<Value> {
    let (clients, seconds): (usize, u64) = (options.value("clients")?, options.value("seconds")?);
    let caller = Caller::log_in(options).await?;
    // One before the clock runs, so that connections and caches are as they will be.
    caller.issue().await?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    caller.issue().await?;
                    times.push(began.elapsed().as_secs_f64() * 1000.0);
                }
                Ok::<_, anyhow::Error>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1))).copied();
    Ok(json!({
        "certificates": times.len(),
        "per_second": times.len() as f64 / elapsed,
        "p50_ms": at(0.50),
        "p99_ms": at(0.99),
    }))
}

/// Someone who is logged in and holds a grant.
#[derive(Clone)]
struct Caller {
    client: Client,
    subject: Subject,
    grant: RequestId,
}

impl Caller {
    async fn log_in(options: &Options) -> Result<Self> {
        let root = options.text("root")?;
        let root_pem = std::fs::read_to_string(root).with_context(|| format!("cannot read {root}"))?;
        let subject = Subject::Identity(options.value("identity")?);
        let key = FileKey::load(Path::new(options.text("key")?), || None)?;
        let url = options.text("api")?.to_owned();
        // The binary portcullis does the same; several crates bring a provider, so none is the default by itself.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(ClientOptions { url, root_pem, timeout: Duration::from_secs(30) })?;
        let client = client.with_credentials(Arc::new(Login { subject: subject.clone(), key }));
        client.login().await?;
        Ok(Self { client, subject, grant: options.value("grant")? })
    }

    async fn issue(&self) -> Result<()> {
        let mut seed = [0; 32];
        SystemEntropy.fill(&mut seed);
        let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "load")?;
        let challenge = self.client.challenge(Purpose::Certificate).await?;
        let nonce = challenge.nonce.parse().map_err(|error| anyhow!("the nonce is mangled: {error}"))?;
        let statement = Statement::certificate(&CertificateAsk {
            server: &challenge.server,
            subject: &self.subject,
            nonce,
            profile: CertificateProfile::Person,
            grant: Some(&self.grant),
            key: key.public_key(),
        });
        let public_key = key.public_key().to_openssh()?;
        let proof = FileKey::from_private(key, PathBuf::new()).sign(&statement)?;
        let body = IssueCertificate { request: self.grant.clone(), public_key, nonce: challenge.nonce, proof };
        self.client.issue_certificate(&body).await?;
        Ok(())
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
