//! Policy and directory files that change while we run: each is recorded before it is in force, and live sessions are
//! judged again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use access::{CutSession, Note, State};
use identity::{Candidate, Change, Directory};
use model::{Actor, Fact, IdentityName, Login, Reason, SessionId, TargetName, Timestamp};
use policy::Policies;

use super::engine::blocking;
use super::rights::{How, Matter, Rules, names};
use super::{App, AppError};

/// A changed file that was refused: why, and when.
pub(super) type Refused = (String, Timestamp);

/// Why changed files were refused while the old ones are kept.
#[derive(Default)]
pub(super) struct Trouble {
    policy: Mutex<Option<Refused>>,
    directory: Mutex<Option<Refused>>,
    /// What the log was told of names that the directory lacks.
    told: Mutex<BTreeSet<String>>,
}

/// What is good and could not be entered in the ledger yet. The lock is also the turn: one change at a time.
#[derive(Default)]
pub(super) struct Waiting {
    policy: Option<Candidate<Policies>>,
    directory: Option<Candidate<Directory>>,
}

impl Trouble {
    /// Of the policy, and of the directory.
    pub(super) fn both(&self) -> (Option<Refused>, Option<Refused>) {
        let copy = |cell: &Mutex<Option<Refused>>| cell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (copy(&self.policy), copy(&self.directory))
    }
}

impl Waiting {
    /// Forgets a directory whose file was put back.
    pub(super) fn drop_directory(&mut self) {
        self.directory = None;
    }
}

impl App {
    /// Looks at both files, puts in force what changed and is good, and judges the live sessions again.
    ///
    /// # Errors
    /// The ledger did not take the fact. What is new is then not in force, and the next look tries again.
    pub(super) async fn look_at_files(&self) -> Result<(), AppError> {
        let mut waiting = self.waiting.lock().await;
        self.look_at_policy(&mut waiting).await?;
        self.look_at_directory(&mut waiting, &Actor::System).await
    }

    /// Says in the ledger which policy and which directory are in force at the start.
    ///
    /// # Errors
    /// The ledger did not take the facts.
    pub(crate) async fn enter_rules(&self) -> Result<(), AppError> {
        let policy = policy_loaded(&self.policies.current(), self.policies.sha256());
        self.keep(&Actor::System, policy).await?;
        let directory = directory_loaded(&self.directory.current(), self.directory.sha256());
        self.keep(&Actor::System, directory).await?;
        self.tell_findings();
        Ok(())
    }

    /// Tells the log what is valid and does less than it seems to, each only once while it is so.
    fn tell_findings(&self) {
        let rules = self.rules();
        let path = self.policies.path().display();
        let found = rules.policies.findings(Some(&names(&rules.directory))).into_iter().map(|finding| {
            let hint = finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{path}:{}:{}: {}{hint}", finding.line, finding.column, finding.message)
        });
        let found: BTreeSet<String> = found.collect();
        let mut told = self.rules_trouble.told.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in found.difference(&told) {
            tracing::warn!("{finding}");
        }
        *told = found;
    }

    async fn look_at_policy(&self, waiting: &mut Waiting) -> Result<(), AppError> {
        let change = match waiting.policy.take() {
            Some(candidate) => Some(Change::Loaded(candidate)),
            None => self.policies.check().await,
        };
        match change {
            None => Ok(()),
            Some(Change::Loaded(candidate)) => {
                let fact = policy_loaded(candidate.value(), candidate.sha256().to_owned());
                if let Err(error) = self.keep(&Actor::System, fact).await {
                    waiting.policy = Some(candidate);
                    return Err(error);
                }
                tracing::info!(sha256 = candidate.sha256(), "a changed policy is in force");
                self.policies.install(candidate);
                self.tell_findings();
                set(&self.rules_trouble.policy, None);
                self.judge_again("a changed policy").await
            }
            Some(Change::Refused { sha256, error }) => {
                tracing::error!(%error, path = %self.policies.path().display(), "a changed policy was refused; the old one stays");
                set(&self.rules_trouble.policy, Some((error.clone(), self.engine.now())));
                self.keep(&Actor::System, Fact::PolicyRefused { sha256, error: shortened(error) }).await
            }
        }
    }

    /// As [`App::look_at_files`], for the directory alone; the caller holds the turn. The fact names `actor`.
    pub(super) async fn look_at_directory(&self, waiting: &mut Waiting, actor: &Actor) -> Result<(), AppError> {
        let change = match waiting.directory.take() {
            Some(candidate) => Some(Change::Loaded(candidate)),
            None => self.directory.check().await,
        };
        match change {
            None => Ok(()),
            Some(Change::Loaded(candidate)) => self.install_directory(waiting, actor, candidate).await,
            Some(Change::Refused { sha256, error }) => {
                tracing::error!(%error, path = %self.directory.path().display(), "a changed directory was refused; the old one stays");
                set(&self.rules_trouble.directory, Some((error.clone(), self.engine.now())));
                self.keep(&Actor::System, Fact::DirectoryRefused { sha256, error: shortened(error) }).await
            }
        }
    }

    async fn install_directory(
        &self,
        waiting: &mut Waiting,
        actor: &Actor,
        candidate: Candidate<Directory>,
    ) -> Result<(), AppError> {
        let fact = directory_loaded(candidate.value(), candidate.sha256().to_owned());
        if let Err(error) = self.keep(actor, fact).await {
            waiting.directory = Some(candidate);
            return Err(error);
        }
        tracing::info!(sha256 = candidate.sha256(), "a changed directory is in force");
        let directory = self.directory.install(candidate);
        self.tell_findings();
        set(&self.rules_trouble.directory, None);
        let out = self.authenticator.reconcile(&directory);
        if out > 0 {
            tracing::info!(tokens = out, "session tokens ended with their identities or keys");
        }
        self.judge_again("a changed directory").await
    }

    /// Judges every live session again by the rules in force, and cuts those that policy no longer allows.
    pub(crate) async fn judge_again(&self, cause: &str) -> Result<(), AppError> {
        // The rules are taken before the sessions: one that opens in between was judged by these, or newer ones.
        let rules = self.rules();
        let (sessions, now) = self.engine.peek(|state, now| (Live::all(state), now));
        // A thousand questions to the policy take a tenth of a second: not on a thread that others wait for.
        let judge = move || Ok(sessions.into_iter().filter(|live| !live.may_go_on(&rules, now)).collect::<Vec<_>>());
        let mut waiting = Vec::new();
        for live in blocking(judge).await? {
            let reason = format!("{cause} no longer lets {} connect to {}@{}", live.identity, live.login, live.target);
            let reason: Reason = reason.parse().map_err(|_| AppError::Internal("a reason is no reason".to_owned()))?;
            let mut build = |_: &State, _: Timestamp| {
                Ok(CutSession { session: live.id.clone(), reason: reason.clone(), may_cut: true }.into())
            };
            match self.engine.begin(&Actor::System, &mut build, &|_, _| ()).await {
                Ok(((), settling)) => waiting.push(settling),
                // It ended by itself meanwhile.
                Err(AppError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for settling in waiting {
            self.engine.settled(settling).await?;
        }
        Ok(())
    }

    /// Keeps a fact that changes no state.
    pub(crate) async fn keep(&self, actor: &Actor, fact: Fact) -> Result<(), AppError> {
        let build = |_: &State, _: Timestamp| Ok(Note { fact: fact.clone(), request: None }.into());
        self.engine.execute(actor, build, |_, _| ()).await
    }
}

/// A live session, as far as policy looks at it.
struct Live {
    id: SessionId,
    identity: IdentityName,
    target: TargetName,
    login: Login,
    how: How,
    command: Option<String>,
    bought_with: Option<String>,
}

impl Live {
    fn may_go_on(&self, rules: &Rules, now: Timestamp) -> bool {
        let of = Matter { owner: &self.identity, target: &self.target, login: &self.login };
        // What a stolen key opened ends with the key.
        let owner = identity::Subject::Identity(self.identity.clone());
        if self.bought_with.as_ref().is_some_and(|key| !rules.directory.has_fingerprint(&owner, key)) {
            return false;
        }
        rules.connect(of, self.how, self.command.as_deref(), now).is_permitted()
    }

    fn all(state: &State) -> Vec<Self> {
        let of = |session: &access::Session| {
            let request = state.request(&session.request);
            let asked = request.map(|request| request.asked.factors()).unwrap_or_default();
            Self {
                id: session.id.clone(),
                identity: session.identity.clone(),
                target: session.target.clone(),
                login: session.login.clone(),
                how: How::entering(session.presence.as_ref(), asked, session.address.parse().ok()),
                command: request.and_then(|request| request.spec.command.clone()),
                bought_with: session.bought_with.clone(),
            }
        };
        let live = state.live_sessions().filter(|session| session.state == access::SessionState::Live);
        live.map(of).collect()
    }
}

fn policy_loaded(policies: &Policies, sha256: String) -> Fact {
    Fact::PolicyLoaded { sha256, policies: count(policies.len()) }
}

fn directory_loaded(directory: &Directory, sha256: String) -> Fact {
    let (identities, targets) = (count(directory.identities().len()), count(directory.targets().len()));
    Fact::DirectoryLoaded { sha256, identities, targets }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn set(cell: &Mutex<Option<Refused>>, value: Option<Refused>) {
    *cell.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

/// The first errors: a file of nonsense must not become a fact of its size.
pub(super) fn shortened(mut error: String) -> String {
    const LIMIT: usize = 2048;
    if error.len() > LIMIT {
        let end = (0..=LIMIT).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(end);
        error.push('…');
    }
    error
}
