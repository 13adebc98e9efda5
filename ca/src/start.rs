//! Starting and stopping the control plane.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use identity::{Authenticator, Directory, WatchError, Watched};
use model::{Actor, Authority, Fact, Seq};
use policy::{Diagnostic, Policies};
use store::{Clock, Entropy, Store};

use crate::app::{App, AppError, Clockwork, Made};
use crate::config::Config;
use crate::factors::SealedFactors;
use crate::http::Server;
use crate::keys::{Keys, TargetKeys};
use crate::tls::{Tls, TlsError};

/// How long calls that are under way may take once the CA stops.
const GRACE: Duration = Duration::from_secs(5);

/// What the CA is made of.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// Where facts live.
    pub store: Arc<dyn Store>,
    /// The keys, unlocked.
    pub keys: Arc<Keys>,
    /// The keys of targets that know no certificates.
    pub target_keys: Arc<TargetKeys>,
    /// The data directory: what people share with their authenticators is sealed below it.
    pub data: PathBuf,
    /// How the API speaks TLS. Its leaf is renewed while the CA runs.
    pub tls: Arc<Tls>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Starts the control plane.
#[derive(Debug)]
pub struct Ca;

/// Why the control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The policy file.
    #[error("the policy {path} cannot be taken up: {error}")]
    Policy {
        /// The file.
        path: String,
        /// Why.
        error: WatchError,
    },
    /// The directory file.
    #[error("the directory {path} cannot be taken up: {error}")]
    Directory {
        /// The file.
        path: String,
        /// Why.
        error: WatchError,
    },
    /// The state cannot be built, or the start cannot be entered in the ledger.
    #[error("the ledger cannot be taken up: {0}")]
    Ledger(AppError),
    /// The keys belong to another ledger.
    #[error("this ledger belongs to other keys: it was opened with the user CA {recorded}, and this one is {ours}")]
    OtherKeys {
        /// The fingerprint in the first record.
        recorded: String,
        /// The fingerprint of the key at hand.
        ours: String,
    },
    /// The keys are not those that the ledger knows.
    #[error("the keys cannot be taken up: {0}")]
    Keys(AppError),
    /// The ledger's key cannot sign checkpoints.
    #[error("the ledger's checkpoints cannot be signed: {0}")]
    Checkpoints(ledger::NoteError),
    /// TLS cannot be set up.
    #[error("the API's TLS cannot be set up: {0}")]
    Tls(TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// A control plane that runs. Dropping it ends everything without the last words of [`Running::stop`].
pub struct Running {
    app: Arc<App>,
    server: Server,
    clockwork: Clockwork,
}

impl Ca {
    /// Builds the state, enters the start in the ledger, and listens.
    ///
    /// # Errors
    /// Why it does not start; nothing is left running then.
    pub async fn start(parts: Parts) -> Result<Running, StartError> {
        let Parts { config, store, keys, target_keys, data, tls, clock, entropy } = parts;
        let policies = open_policy(&config)?;
        let directory = open_directory(&config)?;
        let origin = &config.settings().origin;
        let checkpoints = keys.ledger_signer(origin).map_err(StartError::Checkpoints)?;
        let limits = identity::Limits { token_life: config.token_life(), ..identity::Limits::default() };
        let opened = Fact::LedgerOpened {
            origin: origin.clone(),
            user_ca: keys.user_ca().fingerprint(),
            host_ca: keys.host_ca().fingerprint(),
            ledger_key: checkpoints.verifier().to_string(),
        };
        let authenticator = Authenticator::new(config.server(), limits);
        let settings = config.settings().clone();
        let factors = SealedFactors::new(&data, keys.factor_key());
        let made = Made {
            settings,
            store,
            keys,
            target_keys,
            checkpoints,
            authenticator,
            policies,
            directory,
            factors,
            clock,
            entropy,
        };
        let app = Arc::new(App::build(made).await.map_err(StartError::Ledger)?);
        // Before any file follows what this ledger says.
        must_be_ours(&app, &opened)?;
        app.take_up_keys().await.map_err(StartError::Keys)?;
        enter_start(&app, opened).await?;
        app.sweep_factors().await.map_err(StartError::Ledger)?;
        // Listening comes last: nobody is answered by half a CA.
        let listen = config.listen();
        let speaking = tls.server_config().map_err(StartError::Tls)?;
        let server = Server::start(Arc::clone(&app), listen, speaking, config.limits())
            .map_err(|error| StartError::Listen { address: listen, error })?;
        let clockwork = Clockwork::start(&app, tls);
        Ok(Running { app, server, clockwork })
    }
}

impl Running {
    /// The use cases.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Where the API listens, with the port that it got.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Resolves when the listener ends by itself, which it should not.
    pub async fn failed(&mut self) -> std::io::Error {
        self.server.failed().await
    }

    /// Stops in order: takes no more calls, lets those under way finish, says so in the ledger, and saves a snapshot.
    pub async fn stop(self) {
        self.app.close();
        self.server.stop(GRACE).await;
        self.clockwork.stop().await;
        self.app.lay_down().await;
    }
}

fn open_policy(config: &Config) -> Result<Watched<Policies>, StartError> {
    let path = config.policy().display().to_string();
    let parse = |text: &str| Policies::parse(text).map_err(|wrong| shown(&wrong));
    Watched::open(config.policy(), parse).map_err(|error| StartError::Policy { path, error })
}

fn open_directory(config: &Config) -> Result<Watched<Directory>, StartError> {
    let path = config.directory().display().to_string();
    let name = path.clone();
    let parse = move |text: &str| Directory::parse(text, &name);
    Watched::open(config.directory(), parse).map_err(|error| StartError::Directory { path, error })
}

fn shown(wrong: &[Diagnostic]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// Refuses a ledger whose first record names other keys than ours.
fn must_be_ours(app: &App, opened: &Fact) -> Result<(), StartError> {
    let first = app.engine.store().read(Seq(0), 1).ok().and_then(|records| records.into_iter().next());
    let recorded = first.map(|record| record.entry.fact);
    if let (Some(Fact::LedgerOpened { user_ca: recorded, .. }), Fact::LedgerOpened { user_ca: ours, .. }) =
        (recorded, opened)
        && recorded != *ours
        // Where it was replaced in the ledger, that is held against the files next.
        && app.engine.peek(|state, _| state.ca_keys(Authority::User).is_none())
    {
        return Err(StartError::OtherKeys { recorded, ours: ours.clone() });
    }
    Ok(())
}

/// The first record says whose ledger it is; each start says which program, policy and directory are in
/// force, and a front CA key that is new.
async fn enter_start(app: &Arc<App>, opened: Fact) -> Result<(), StartError> {
    if app.engine.tail() == Seq(0) {
        app.keep(&Actor::System, opened).await.map_err(StartError::Ledger)?;
    }
    let started = Fact::SystemStarted { version: env!("CARGO_PKG_VERSION").to_owned() };
    app.keep(&Actor::System, started).await.map_err(StartError::Ledger)?;
    app.enter_front_ca().await.map_err(StartError::Ledger)?;
    app.enter_rules().await.map_err(StartError::Ledger)?;
    app.sweep_target_keys().await.map_err(StartError::Ledger)?;
    // What the clock or the files brought about while nobody ran.
    app.judge_again("the policy at the start").await.map_err(StartError::Ledger)
}
