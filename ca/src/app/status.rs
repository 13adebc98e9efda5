//! How the CA does.

use ::ledger::Digest;
use access::State;
use model::{Seq, Timestamp};
use policy::Action;

use super::rules::Refused;
use super::{App, AppError, Caller, ProxyState};

/// How the CA does.
#[derive(Clone, Debug)]
pub struct Status {
    /// Up since.
    pub started: Timestamp,
    /// The number of durable records.
    pub records: Seq,
    /// The root of their Merkle tree.
    pub root: Digest,
    /// SHA-256 of the policy in force.
    pub policy: String,
    /// Why a changed policy was refused; for those who may administer.
    pub policy_error: Option<String>,
    /// When a changed policy was refused while the old one is kept; for everyone.
    pub policy_refused: Option<Timestamp>,
    /// SHA-256 of the directory in force.
    pub directory: String,
    /// Why a changed directory was refused; for those who may administer.
    pub directory_error: Option<String>,
    /// When a changed directory was refused while the old one is kept; for everyone.
    pub directory_refused: Option<Timestamp>,
    /// Requests that wait for reviews.
    pub pending: usize,
    /// Active grants.
    pub grants: usize,
    /// Live sessions.
    pub sessions: usize,
    /// Locks in force.
    pub locks: usize,
    /// Why the ledger takes no facts.
    pub ledger_error: Option<String>,
    /// What the proxies said last.
    pub proxies: Vec<ProxyState>,
    /// The time by which all this is so.
    pub now: Timestamp,
}

impl App {
    /// How the CA does.
    ///
    /// A proxy may ask too: it follows the facts from the place that this tells.
    ///
    /// # Errors
    /// None today; a front end must not rely on it.
    pub fn status(&self, caller: &Caller) -> Result<Status, AppError> {
        let person = caller.identity().is_ok();
        let administers = person && self.rules().may(caller, Action::Administer, self.engine.now());
        let head = self.engine.store().durable();
        // Numbers of what may not be durable yet do no harm, and this must answer while the disk is full.
        let count = |state: &State, now: Timestamp| {
            (
                state.pending().count(),
                state.grants().filter(|(_, grant)| grant.is_active(now)).count(),
                state.live_sessions().count(),
                state.locks().filter(|placed| placed.in_force(now)).count(),
            )
        };
        let (pending, grants, sessions, locks) = self.engine.peek(count);
        // What is wrong in a file is for those who write it; that the rules are not what it says concerns everyone.
        let apart = |refused: Option<Refused>| {
            let (error, at) = refused.unzip();
            (error.filter(|_| administers), at)
        };
        let (policy, directory) = self.rules_trouble.both();
        let ((policy_error, policy_refused), (directory_error, directory_refused)) = (apart(policy), apart(directory));
        Ok(Status {
            started: self.started,
            records: head.next,
            root: head.root,
            policy: self.policies.sha256(),
            policy_error,
            policy_refused,
            directory: self.directory.sha256(),
            directory_error,
            directory_refused,
            pending,
            grants,
            sessions,
            locks,
            ledger_error: self.engine.trouble(),
            proxies: self.proxies(administers),
            now: self.engine.now(),
        })
    }
}
