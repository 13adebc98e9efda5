//! The use cases, one file a verb. Only this module sequences steps, and every right is checked here, so that no front
//! end can forget to.

mod approve;
mod attempts;
mod caller;
mod cancel;
mod certificates;
mod clockwork;
mod deny;
mod engine;
mod error;
mod events;
mod explain;
mod extend;
mod extension;
mod factor;
mod grants;
mod issue;
mod kill;
mod ledger;
mod lock;
mod login;
mod near;
mod notes;
mod open_session;
mod page;
mod pass;
mod presence;
mod proxies;
mod public_keys;
mod recordings;
mod recovered;
mod release;
mod replay;
mod report;
mod request;
mod requests;
mod reviewers;
mod revoke;
mod rights;
mod rotate;
mod rules;
mod seal;
mod sessions;
mod sight;
mod status;
mod target;
mod target_key;
mod target_signature;
mod timekeeper;
mod unlock;
mod views;
mod wanted;
mod withdraw;

use std::sync::{Arc, RwLock};

use identity::{Authenticator, Directory, Watched};
use model::Timestamp;
use policy::Policies;
use store::{Clock, Entropy, Store};
use tokio::sync::watch;

pub use caller::Caller;
pub(crate) use clockwork::Clockwork;
pub use engine::{Applied, Engine};
pub use error::AppError;
pub use events::{Feed, Told};
pub use explain::{Explained, OpenPath, Riddle};
pub use extension::Offer;
pub use factor::{Enrolment, Left, Taken};
pub use issue::{HostName, Issue, Issued};
pub use ledger::{Proof, Signed};
pub use login::LoggedIn;
pub use open_session::{Credential, Entrance, Knock, Opened};
pub use page::{Cursor, Paged};
pub use pass::Visitor;
pub use presence::LogIn;
pub use proxies::{ProxyState, ProxyWord};
pub use public_keys::PublicKeys;
pub use recordings::{RecordingView, Replay, Wanted};
pub use report::Report;
pub use request::Ask;
pub use reviewers::Reviewers;
pub use rotate::{CaState, Step, Turn};
pub use status::Status;
pub use target::TargetView;
pub use views::{RequestView, SessionView};
pub use wanted::CodeWanted;

use crate::config::Settings;
use crate::factors::SealedFactors;
use crate::keys::{Keys, TargetKeys};
use notes::Notes;
use rights::Rules;
pub use rights::names;
use rotate::House;
pub use seal::Seal;

/// The control plane: what its use cases share.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    authenticator: Authenticator,
    policies: Watched<Policies>,
    directory: Watched<Directory>,
    waiting: tokio::sync::Mutex<rules::Waiting>,
    keys: Arc<Keys>,
    target_keys: Arc<TargetKeys>,
    /// Which of them sign and are trusted, by the state that was last looked at.
    house: RwLock<Option<Arc<House>>>,
    /// One step in replacing a key at a time.
    rotating: tokio::sync::Mutex<()>,
    checkpoints: ::ledger::Signer,
    factors: Arc<SealedFactors>,
    enrolments: factor::Enrolments,
    attempts: attempts::Attempts,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    notes: Notes,
    rules_trouble: rules::Trouble,
    /// What proxies say of themselves.
    words: proxies::Words,
    started: Timestamp,
    /// Set when the CA stops: feeds end then.
    closing: watch::Sender<bool>,
}

/// What an [`App`] is built from.
pub(crate) struct Made {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) target_keys: Arc<TargetKeys>,
    pub(crate) checkpoints: ::ledger::Signer,
    pub(crate) authenticator: Authenticator,
    pub(crate) policies: Watched<Policies>,
    pub(crate) directory: Watched<Directory>,
    pub(crate) factors: SealedFactors,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl App {
    /// Builds the state from the ledger.
    pub(crate) async fn build(made: Made) -> Result<Self, AppError> {
        let Made { settings, store, keys, target_keys, checkpoints, .. } = made;
        let Made { authenticator, policies, directory, factors, clock, entropy, .. } = made;
        let logins = settings.logins;
        let engine = {
            let (clock, seal) = (Arc::clone(&clock), Seal::new(keys.snapshot_key()));
            engine::blocking(move || Engine::start(store, clock, seal)).await?
        };
        let started = engine.now();
        Ok(Self {
            settings,
            engine,
            authenticator,
            policies,
            directory,
            waiting: tokio::sync::Mutex::default(),
            house: RwLock::default(),
            rotating: tokio::sync::Mutex::default(),
            keys,
            target_keys,
            checkpoints,
            factors: Arc::new(factors),
            enrolments: factor::Enrolments::default(),
            attempts: attempts::Attempts::default(),
            clock,
            entropy,
            notes: Notes::new(logins),
            rules_trouble: rules::Trouble::default(),
            words: proxies::Words::default(),
            started,
            closing: watch::Sender::new(false),
        })
    }

    /// Policy and directory as they are in force now.
    fn rules(&self) -> Rules {
        Rules { policies: self.policies.current(), directory: self.directory.current() }
    }

    /// Ends what would go on for ever.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Forgets what has expired. Calling it now and then keeps the memory small; nothing else depends on it.
    fn sweep(&self) {
        let now = self.engine.now();
        self.authenticator.sweep(now);
        self.notes.sweep();
        self.enrolments.sweep(now);
        self.attempts.sweep(now);
    }

    /// 256 random bits.
    fn random(&self) -> [u8; 32] {
        let mut bits = [0; 32];
        self.entropy.fill(&mut bits);
        bits
    }
}
