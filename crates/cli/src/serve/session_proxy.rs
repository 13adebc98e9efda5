//! The proxy: its keys, its vault, and its way to the CA.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{Client, ClientOptions, Credentials, wire};
use identity::{FileKey, Statement, Subject, Watched};
use model::Timestamp;
use recordings::Vault;
use store::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use tokio::net::TcpListener;

use super::{host_key, not_started};
use crate::config::ProxyConfig;
use crate::error::{CliError, chain};

/// The longest that a call to the CA may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy that has what it needs, and its listener.
pub(crate) struct Started {
    proxy: ::proxy::Proxy,
    host_key: Watched<FileKey>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Gets ready; waits for a CA that is out of reach.
pub(crate) async fn start(config: &ProxyConfig, api: &str, root_pem: &str) -> Result<Started, CliError> {
    let key = load(config.key())?;
    let host_key = host_key::open(config.host_key())?;
    let options = ClientOptions { url: api.to_owned(), root_pem: root_pem.to_owned(), timeout: CALL_TIMEOUT };
    let credentials = ProxyCredentials { subject: Subject::Proxy(config.name().clone()), key };
    let client = Client::new(options)?.with_credentials(Arc::new(credentials));

    let folder = config.recordings().to_owned();
    let vault = tokio::task::spawn_blocking(move || Vault::open(folder)).await;
    let vault = vault
        .map_err(|error| CliError::failed(format!("the start broke off: {error}"), "the log says more"))?
        .map_err(|error| not_started("the recordings cannot be kept", &error, "check recordings in portcullis.toml"))?;

    // Bound first: an address that is taken is said at once, not after the CA was waited for.
    let listen = config.settings().listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        CliError::failed(
            format!("cannot listen on {listen}: {error}"),
            "change listen below [proxy] in portcullis.toml",
        )
    })?;
    let address = listener.local_addr().map_err(|error| CliError::failed(error, "try again"))?;
    let parts = ::proxy::Parts {
        name: config.name().clone(),
        config: config.settings().clone(),
        control: Arc::new(::proxy::Api::new(client)),
        vault,
        host_key: host_key.current().private().clone(),
        ambient: Arc::new(Machine),
    };
    let proxy = ::proxy::Proxy::start(parts).await.map_err(|error| {
        not_started(
            "the proxy cannot start",
            &error,
            "the CA must know it: its key under [[proxy]] in the CA's directory.toml, its address under [[ca.proxy]] in the \
             CA's portcullis.toml",
        )
    })?;
    Ok(Started { proxy, host_key, listener, address })
}

impl Started {
    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets people in until it is told to stop.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), CliError> {
        let following = tokio::spawn(host_key::follow(self.host_key, self.proxy.host_key()));
        self.proxy.serve(self.listener, stop).await;
        following.abort();
        Ok(())
    }
}

fn load(path: &Path) -> Result<FileKey, CliError> {
    FileKey::load(path, || None).map_err(|error| {
        CliError::configuration(
            format!("the proxy's key: {}", chain(&error)),
            "portcullis init makes it; ssh-keygen -t ed25519 too",
        )
    })
}

/// Logs the proxy in with its own key.
struct ProxyCredentials {
    subject: Subject,
    key: FileKey,
}

#[async_trait::async_trait]
impl Credentials for ProxyCredentials {
    fn subject(&self) -> String {
        self.subject.to_string()
    }

    async fn sign(&self, challenge: &wire::Challenge) -> Result<String, String> {
        let nonce = challenge.nonce.parse().map_err(|error: identity::NonceError| error.to_string())?;
        let statement = Statement::login(&challenge.server, &self.subject, &nonce);
        self.key.sign(&statement).map_err(|error| chain(&error))
    }
}

/// The clock and the random source of this machine.
struct Machine;

impl ::proxy::Ambient for Machine {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        SystemEntropy.fill(bytes);
    }
}
