//! The CA: store, keys, TLS, and the control plane over them.

use std::net::SocketAddr;
use std::sync::Arc;

use ca::keys::{Keys, KeysError, Passphrase, TargetKeys};
use ca::tls::Tls;
use ca::{Ca, Parts};
use store::{Clock, Embedded, Options, Store, SystemClock, SystemEntropy};

use super::not_started;
use crate::config::Config;
use crate::error::{CliError, Kind, chain};
use crate::progress::Progress;

/// A CA that runs.
pub(crate) struct Running {
    ca: ca::Running,
    store: Arc<Embedded>,
    root_pem: String,
}

/// Opens everything and starts to answer.
pub(crate) async fn start(config: &Config, passphrase: &Passphrase) -> Result<Running, CliError> {
    let (settings, data) = (config.ca()?.clone(), config.data().to_owned());
    if !data.join(ca::keys::FOLDER).is_dir() {
        return Err(CliError::new(
            Kind::NotFound,
            format!("there are no keys in {}", data.display()),
            "portcullis init makes them; or name the right configuration with --config FILE",
        ));
    }
    let wrong = |error: &dyn std::error::Error| not_started("the keys cannot be opened", error, "check the passphrase");
    let (path, secret) = (data.clone(), passphrase.clone());
    let open = move || Ok((Keys::add_missing(&path, &secret, &SystemEntropy)?, Keys::open(&path, &secret)?));
    let (added, keys) = blocking(open).await?.map_err(|error: KeysError| wrong(&error))?;
    if added {
        // Its fingerprint is a fact in the ledger a moment later.
        tracing::warn!(
            key = keys.front_ca().fingerprint(),
            "this site had no key for what proxies show to people; one was made, and people run portcullis ssh-config --write again"
        );
    }
    let keys = Arc::new(keys);
    let target_keys = Arc::new(TargetKeys::new(&data, passphrase.clone()));

    let names = tls_names(config, settings.listen());
    let tls_wrong = |error: &dyn std::error::Error| {
        not_started("the API's TLS cannot be set up", error, "check [tls] names in portcullis.toml, and tls-root.pem")
    };
    let tls = Tls::open(&data, &keys, &names, SystemClock.now()).map_err(|error| tls_wrong(&error))?;
    let root_pem = tls.root_pem().to_owned();

    let folder = data.clone();
    let store = blocking(move || open_store(&folder)).await??;
    let parts = Parts {
        config: settings,
        store: Arc::clone(&store) as Arc<dyn Store>,
        keys,
        target_keys,
        data,
        tls: Arc::new(tls),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let ca = Ca::start(parts).await.map_err(|error| {
        let text = chain(&error);
        if matches!(error, ca::StartError::Listen { .. }) {
            return CliError::failed(text, "change listen below [ca] in portcullis.toml");
        }
        // A policy or directory that is refused is several lines long, and its own first hint.
        CliError::configuration(text, "correct it and start again; portcullis policy check looks at the policy alone")
    })?;
    Ok(Running { ca, store, root_pem })
}

impl Running {
    /// Where the API listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.ca.address()
    }

    /// What clients pin.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Resolves when the API ends by itself, which it should not.
    pub(crate) async fn failed(&mut self) -> CliError {
        let error = self.ca.failed().await;
        CliError::failed(format!("the API ended by itself: {error}"), "the log says more")
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        self.ca.stop().await;
        let store = self.store;
        let settled = tokio::task::spawn_blocking(move || store.settle()).await;
        if let Ok(Err(error)) = settled {
            tracing::warn!("the index is not settled, so the next start takes longer: {}", chain(&error));
        }
    }
}

fn open_store(data: &std::path::Path) -> Result<Arc<Embedded>, CliError> {
    let mut bar: Option<Progress> = None;
    let mut told = false;
    let opened = Embedded::open(data, Options::default(), &mut |progress| match progress {
        store::Progress::Reading { done, total } => {
            bar.get_or_insert_with(|| Progress::bytes("reading the ledger", Some(total))).set(done);
        }
        store::Progress::Indexing { done, total } => {
            if !told {
                bar = Some(Progress::count("indexing the ledger", Some(total)));
                told = true;
            }
            if let Some(bar) = &bar {
                bar.set(done);
            }
        }
    });
    drop(bar);
    let store = opened.map_err(|error| {
        let text = chain(&error);
        if matches!(error, store::StoreError::Corrupt { .. }) {
            let hint = "nothing was started; portcullis ledger verify looks at the whole ledger";
            CliError::integrity(text, hint)
        } else if matches!(error, store::StoreError::Locked { .. }) {
            CliError::failed(text, "portcullis status asks the one that runs")
        } else {
            CliError::failed(text, "check the data directory in portcullis.toml")
        }
    })?;
    let report = store.report();
    tracing::info!(records = report.records, index = ?report.index, "the ledger is open");
    if let Some(cut) = &report.cut {
        tracing::warn!(file = %cut.file.display(), bytes = cut.bytes, "the end of a write that was never finished was cut off");
    }
    Ok(Arc::new(store))
}

/// The names of the API's certificate: the configured ones and the address on which it listens.
fn tls_names(config: &Config, listen: SocketAddr) -> Vec<String> {
    let mut names = config.tls_names().to_vec();
    for name in [super::loopback(listen).ip().to_string(), "localhost".to_owned()] {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CliError::failed(format!("the start broke off: {error}"), "the log says more"))
}
