//! The HTTP client: one call a route, TLS pinned to the CA's own root, every wait bounded.

mod calls;
mod events;
mod factors;
mod house;
mod target_keys;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use calls::{LedgerFilter, RecordingFilter};
#[cfg(fuzzing)]
pub(crate) use events::Blocks;
pub use events::{EventStream, Heard};

use crate::problem::Problem;
use crate::wire;

/// Where the API is, and how to know that it is the right one.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The base address: `https://ca.example.org:7443`.
    pub url: String,
    /// PEM of the root that the API's TLS certificate must chain to. Nothing else is trusted.
    pub root_pem: String,
    /// The longest that one call may take, answers that stream excepted.
    pub timeout: Duration,
}

/// Proves who is calling: signs the text of a login challenge.
///
/// Implementations use a key file or an ssh-agent; the client never sees a private key.
#[async_trait::async_trait]
pub trait Credentials: Send + Sync {
    /// Who is calling: an identity's name, or `proxy:` and a proxy's name.
    fn subject(&self) -> String;

    /// Signs the challenge for this purpose and returns the armored SSHSIG.
    ///
    /// # Errors
    /// A sentence for the person: no key, a locked agent, a touch that never came.
    async fn sign(&self, challenge: &wire::Challenge) -> Result<String, String>;
}

/// A client of the API. Cheap to clone; clones share the session token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    timeout: Duration,
    token: Arc<RwLock<Option<Zeroizing<String>>>>,
    credentials: Option<Arc<dyn Credentials>>,
    /// Sent beside the token: a proxy's calls are then those of the person whose pass it is.
    pass: Option<Arc<Zeroizing<String>>>,
    /// Calls go on when nobody waits for them any more, and so many at a time.
    room: Option<Arc<Semaphore>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The API answered with a problem.
    #[error("{0}")]
    Problem(Problem),
    /// The API could not be reached, or the connection broke.
    #[error("the API at {url} cannot be reached")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The API did not answer in time.
    #[error("the API at {url} did not answer within {} s", .timeout.as_secs())]
    Timeout {
        /// Where it is.
        url: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The answer is not what the API promises.
    #[error("the answer of {url} cannot be read: {what}")]
    Answer {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The proof of identity could not be made here.
    #[error("{0}")]
    Credentials(String),
    /// The options of the client make no sense.
    #[error("{0}")]
    Options(String),
}

impl ClientError {
    /// The problem's stable code, when the API answered with one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Answer { .. }
            | Self::Credentials(_)
            | Self::Options(_) => None,
        }
    }
}

/// The largest body that the client reads into memory; recordings are streamed instead.
const BODY_LIMIT: usize = 32 << 20;

impl Client {
    /// A client that trusts one root and nothing else. The process must have a rustls crypto provider installed.
    ///
    /// # Errors
    /// The address or the root cannot be read.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions { url, root_pem, timeout } = options;
        if !url.starts_with("https://") {
            return Err(ClientError::Options(format!("{url:?} is no https:// address")));
        }
        let roots = reqwest::Certificate::from_pem_bundle(root_pem.as_bytes())
            .map_err(|error| ClientError::Options(format!("the API's root certificate cannot be read: {error}")))?;
        if roots.is_empty() {
            return Err(ClientError::Options("the API's root certificate is empty".to_owned()));
        }
        let http = reqwest::Client::builder()
            .tls_certs_only(roots)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5).min(timeout))
            .tcp_nodelay(true)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Options(format!("the client cannot be made: {error}")))?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').into(),
            timeout,
            token: Arc::default(),
            credentials: None,
            pass: None,
            room: None,
        })
    }

    /// The same client, which logs in by itself when it has no token or its token died.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The same client with a token that was bought before.
    #[must_use]
    pub fn with_token(self, token: String) -> Self {
        self.set_token(Some(token));
        self
    }

    /// The same client with a pass: what it calls for is its person's. It shares the session token with this one.
    #[must_use]
    pub fn with_pass(&self, pass: Arc<Zeroizing<String>>) -> Self {
        Self { pass: Some(pass), ..self.clone() }
    }

    /// The same client, whose calls are never broken off: one that nobody waits for any more goes on until it is answered,
    /// or its time is up, and keeps its place in `room` as long. Whoever calls and hangs up without end would otherwise have
    /// the API close the connection that everybody's calls are on (HTTP/2, streams that are reset).
    #[must_use]
    pub fn unbroken(self, room: Arc<Semaphore>) -> Self {
        Self { room: Some(room), ..self }
    }

    /// The address of the API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Goes on with the session token that a one-time code was given for.
    pub(crate) fn take_up(&self, taken: &wire::CodeTaken) {
        if let Some(login) = &taken.login {
            self.set_token(Some(login.token.clone()));
        }
    }

    /// Logs in with the client's credentials and keeps the token.
    ///
    /// # Errors
    /// No credentials, a failed proof, or any error of a call.
    pub async fn login(&self) -> Result<wire::LoginResponse, ClientError> {
        let credentials = self
            .credentials
            .clone()
            .ok_or_else(|| ClientError::Credentials("nobody is logged in: run portcullis login".to_owned()))?;
        let challenge = self.challenge(wire::Purpose::Login).await?;
        let signature = credentials.sign(&challenge).await.map_err(ClientError::Credentials)?;
        let body = wire::LoginRequest { subject: credentials.subject(), nonce: challenge.nonce, signature };
        let answer: wire::LoginResponse = self.once(reqwest::Method::POST, "/v1/login", Some(&body), None).await?;
        self.set_token(Some(answer.token.clone()));
        Ok(answer)
    }

    /// One call; logs in first, or again, when the client can.
    pub(crate) async fn call<B: Serialize + Sync, R: DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&B>,
        idempotency_key: Option<&str>,
    ) -> Result<R, ClientError> {
        if self.current_token().is_none() && self.credentials.is_some() {
            self.login().await?;
        }
        match self.once(method.clone(), path, body, idempotency_key).await {
            Err(ClientError::Problem(problem)) if problem.status == 401 && self.credentials.is_some() => {
                self.login().await?;
                self.once(method, path, body, idempotency_key).await
            }
            answer => answer,
        }
    }

    pub(crate) async fn once<B: Serialize + Sync, R: DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&B>,
        idempotency_key: Option<&str>,
    ) -> Result<R, ClientError> {
        let mut request = self.request(method, path).timeout(self.timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let bytes = match &self.room {
            None => self.fetch(request).await?,
            Some(room) => {
                // A semaphore that is never closed always has a place in the end.
                let place = Arc::clone(room).acquire_owned().await.ok();
                let client = self.clone();
                let call = tokio::spawn(async move {
                    let _place = place;
                    client.fetch(request).await
                });
                let gone =
                    |error: tokio::task::JoinError| ClientError::Options(format!("the call ended early: {error}"));
                call.await.map_err(gone)??
            }
        };
        // Some calls answer with nothing; `null` is what reads into `()`.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| self.unreadable(&error))
    }

    async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let response = self.checked(request.send().await.map_err(|error| self.failed(error))?).await?;
        self.body(response).await
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = match &self.pass {
            // Logging in is the proxy's own affair.
            Some(pass) if !path.starts_with("/v1/login") => request.header(wire::PASS_HEADER, pass.as_str()),
            Some(_) | None => request,
        };
        match self.current_token() {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    /// Turns an answer that is no success into its problem.
    pub(crate) async fn checked(&self, response: reqwest::Response) -> Result<reqwest::Response, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.body(response).await?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(ClientError::Problem(problem)),
            Err(_) => Err(ClientError::Answer {
                url: self.url.to_string(),
                what: format!("status {status} without a problem document"),
            }),
        }
    }

    pub(crate) fn failed(&self, error: reqwest::Error) -> ClientError {
        if error.is_timeout() {
            ClientError::Timeout { url: self.url.to_string(), timeout: self.timeout }
        } else {
            ClientError::Unreachable { url: self.url.to_string(), source: error }
        }
    }

    pub(crate) fn current_token(&self) -> Option<Zeroizing<String>> {
        self.token.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_token(&self, token: Option<String>) {
        *self.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = token.map(Zeroizing::new);
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if bytes.len() + chunk.len() > BODY_LIMIT {
                return Err(ClientError::Answer {
                    url: self.url.to_string(),
                    what: format!("it is longer than {BODY_LIMIT} bytes"),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreadable(&self, error: &serde_json::Error) -> ClientError {
        ClientError::Answer { url: self.url.to_string(), what: error.to_string() }
    }
}
