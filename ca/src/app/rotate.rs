//! Replace the key of a CA, in three steps: everybody learns to trust the next key, then it signs, then the old one goes.
//!
//! The ledger says which key signs and which are trusted, and the files follow: what a crash leaves half done, the next
//! start, the next step or the next minute finishes. No private key leaves the CA, so whoever orders a step gets none.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{Beside, CaKeys, CaStep, RotateCa, State, decide};
use model::{Authority, Fact, TargetName, Timestamp};
use policy::Action;
use ssh_key::public::KeyData;
use store::Store;

use super::engine::blocking;
use super::ledger::told;
use super::{App, AppError, Caller};
use crate::certificate::Authorities;
use crate::keys::{CaSigner as _, Keys, KeysError};

/// Which step; the new key of the first is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new key is made and trusted.
    Stage,
    /// It signs.
    Activate,
    /// The old one is trusted no more.
    Retire,
    /// The new one is given up.
    Cancel,
}

/// A step of a CA, and how it is meant.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Which CA.
    pub ca: Authority,
    /// Which step.
    pub step: Step,
    /// Fingerprint of the key that is meant.
    pub key: Option<String>,
    /// Whether it is taken although it shuts somebody out.
    pub force: bool,
}

/// The keys of one CA as they are now.
#[derive(Clone, Debug)]
pub struct CaState {
    /// Which CA.
    pub ca: Authority,
    /// Fingerprint of the key that signs.
    pub signs: String,
    /// The other one that is trusted.
    pub beside: Option<Beside>,
    /// Since when; `None` while it has never been replaced.
    pub since: Option<Timestamp>,
    /// The targets that have no certificate of the key that signs and no pinned key, while an old one is trusted.
    pub left: Vec<TargetName>,
}

/// The public keys of the CAs that are in force: those that sign, and those that are trusted besides.
#[derive(Debug)]
pub(super) struct House {
    /// What the ledger says, of which the rest is made.
    known: [Option<CaKeys>; 3],
    pub(super) signing: Authorities,
    beside: Vec<(Authority, KeyData, bool)>,
}

impl House {
    /// As the files have it; a ledger may know better.
    fn of(keys: &Keys) -> Self {
        let signing = Authorities {
            user: keys.user_ca().public_key().clone(),
            host: keys.host_ca().public_key().clone(),
            front: keys.front_ca().public_key().clone(),
            own: keys.all_public(),
        };
        Self { known: [None, None, None], signing, beside: Vec::new() }
    }

    /// As the ledger has it. A key that is not here is not trusted; without the one that signs there is no house.
    fn by(keys: &Keys, known: [Option<CaKeys>; 3]) -> Result<Self, AppError> {
        let mut house = Self::of(keys);
        for (ca, known) in Authority::ALL.into_iter().zip(&known) {
            let Some(CaKeys { signs, beside, .. }) = known else { continue };
            let held = |key: &str| keys.of_ca(ca, key).map(|key| key.public_key().clone());
            *house.signs_mut(ca) = held(signs).ok_or_else(|| missing(ca, signs))?;
            if let Some(beside) = beside {
                match held(beside.key()) {
                    Some(key) => house.beside.push((ca, key, matches!(beside, Beside::Previous(_)))),
                    None => tracing::error!(%ca, key = beside.key(), "a key that the ledger has trusted is not here"),
                }
            }
        }
        house.known = known;
        Ok(house)
    }

    pub(super) const fn signs(&self, ca: Authority) -> &KeyData {
        match ca {
            Authority::User => &self.signing.user,
            Authority::Host => &self.signing.host,
            Authority::Front => &self.signing.front,
        }
    }

    const fn signs_mut(&mut self, ca: Authority) -> &mut KeyData {
        match ca {
            Authority::User => &mut self.signing.user,
            Authority::Host => &mut self.signing.host,
            Authority::Front => &mut self.signing.front,
        }
    }

    /// What others are to trust: the key that signs first.
    pub(super) fn trusted(&self, ca: Authority) -> impl Iterator<Item = &KeyData> {
        let beside = self.beside.iter().filter(move |(of, ..)| *of == ca).map(|(_, key, _)| key);
        std::iter::once(self.signs(ca)).chain(beside)
    }

    /// The keys whose certificates are good here. A key that has signed nothing yet is none of them.
    pub(super) fn signed(&self, ca: Authority) -> impl Iterator<Item = &KeyData> {
        let before = self.beside.iter().filter(move |(of, _, signed)| *of == ca && *signed).map(|(_, key, _)| key);
        std::iter::once(self.signs(ca)).chain(before)
    }
}

impl App {
    /// The keys of the CAs that are in force by this state, and by no other: whatever became of a step, and of whoever
    /// ordered it.
    ///
    /// # Errors
    /// A key that signs is not here. Nothing is signed or believed with another in its place.
    pub(super) fn house(&self, state: &State) -> Result<Arc<House>, AppError> {
        let known = Authority::ALL.map(|ca| state.ca_keys(ca).cloned());
        let kept = self.house.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(house) = kept.filter(|house| house.known == known) {
            return Ok(house);
        }
        let house = Arc::new(House::by(&self.keys, known)?);
        *self.house.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&house));
        Ok(house)
    }

    /// The keys of every CA, and how far a replacement is.
    ///
    /// # Errors
    /// The caller may not administer.
    pub async fn ca_keys(&self, caller: &Caller) -> Result<Vec<CaState>, AppError> {
        caller.identity()?;
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        self.engine.read(|state, _| Authority::ALL.into_iter().map(|ca| self.ca_state(state, ca)).collect()).await?
    }

    /// Takes the next step in replacing the key of a CA.
    ///
    /// # Errors
    /// The caller may not administer or calls through a proxy, it is not the time for this step, it would be about another
    /// key or shut somebody out, or the ledger or the key files cannot take it. What is in the ledger counts; what is left to be done with the files, the next step or the
    /// next start does.
    pub async fn rotate_ca(&self, caller: &Caller, turn: &Turn) -> Result<CaState, AppError> {
        let (ca, step) = (turn.ca, turn.step);
        caller.identity()?;
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        let _turn = self.rotating.lock().await;
        let (actor, shown) = (caller.actor(), caller.factors().totp);
        let key = match step {
            Step::Stage => {
                // A key is made only when the step would be taken.
                self.engine.peek(|state, now| {
                    let ask = self.rotation(state, turn, None, shown, now)?;
                    Ok::<_, AppError>(decide(state, &actor, ask.into(), now)?)
                })?;
                let (keys, entropy, now) = (Arc::clone(&self.keys), Arc::clone(&self.entropy), self.engine.now());
                let made = blocking(move || Ok(keys.stage(ca, &*entropy, now)));
                Some(made.await?.map_err(|error| unwritable(&error))?.fingerprint())
            }
            Step::Activate | Step::Retire | Step::Cancel => None,
        };
        let build = |state: &State, now: Timestamp| {
            // It may have taken its turn since it was let in: what holds now counts.
            self.rules().demand(caller, Action::Administer, now)?;
            self.must_hold(state, ca, step)?;
            Ok(self.rotation(state, turn, key.clone(), shown, now)?.into())
        };
        let stepped = self.engine.execute(&actor, build, |_, _| ()).await;
        // Also when it was refused: a key that nobody was told of does not stay.
        let taken = self.keep_keys().await;
        stepped?;
        taken?;
        tracing::warn!(%ca, ?step, by = %caller.subject(), "the key of a CA is being replaced");
        self.engine.read(|state, _| self.ca_state(state, ca)).await?
    }

    /// Brings the files in line with what the ledger says: at the start, and now and then, for what a step could not do
    /// itself.
    ///
    /// # Errors
    /// The ledger cannot be read, names a key that is not here, or a file cannot be changed.
    pub(crate) async fn take_up_keys(&self) -> Result<(), AppError> {
        let _turn = self.rotating.lock().await;
        self.keep_keys().await
    }

    /// Durably, because a key that is destroyed does not come back. What signs and is trusted is the state's and waits for
    /// no file: see [`App::house`].
    async fn keep_keys(&self) -> Result<(), AppError> {
        if !self.engine.caught_up() {
            // A step may be in the ledger that the state does not know, and so its key.
            tracing::warn!("the files of the CA keys wait until the ledger takes facts again");
            return Ok(());
        }
        let known = self.engine.read(|state, _| Authority::ALL.map(|ca| (ca, state.ca_keys(ca).cloned()))).await?;
        let (keys, store, now) = (Arc::clone(&self.keys), self.store(), self.engine.now());
        let kept = blocking(move || {
            for (ca, known) in known {
                let (signs, beside) = match &known {
                    Some(CaKeys { signs, beside, .. }) => (signs.clone(), beside.as_ref().map(Beside::key)),
                    None => (keys.first_of(ca), None),
                };
                let stranger = keys.stranger(ca, &signs, beside);
                let gone = if stranger.is_some() { given_up(store.as_ref())? } else { BTreeSet::new() };
                if let Err(error) = keys.keep(ca, (&signs, beside), &gone, now) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        });
        kept.await?.map_err(|error| unwritable(&error))
    }

    /// Refuses a step behind which a key would sign that is not here.
    fn must_hold(&self, state: &State, ca: Authority, step: Step) -> Result<(), AppError> {
        let beside = state.ca_keys(ca).and_then(|known| known.beside.as_ref());
        let wanted = match (step, beside) {
            (Step::Activate, Some(Beside::Next(key))) | (Step::Cancel, Some(Beside::Previous(key))) => key,
            (Step::Stage | Step::Activate | Step::Retire | Step::Cancel, _) => return Ok(()),
        };
        match self.keys.of_ca(ca, wanted) {
            Some(_) => Ok(()),
            None => Err(missing(ca, wanted)),
        }
    }

    fn rotation(
        &self,
        state: &State,
        turn: &Turn,
        made: Option<String>,
        shown: bool,
        now: Timestamp,
    ) -> Result<RotateCa, AppError> {
        let Turn { ca, step, key, force } = turn.clone();
        let known = state.ca_keys(ca);
        let mut rotate = RotateCa {
            ca,
            step: CaStep::Cancel,
            key,
            behind: Vec::new(),
            left: Vec::new(),
            force,
            may_rotate: true,
            shown,
        };
        rotate.step = match step {
            Step::Stage => {
                let signs = identity::fingerprint(self.house(state)?.signs(ca));
                CaStep::Stage { key: made.unwrap_or_default(), signs }
            }
            Step::Activate => {
                // Proxies hold people's certificates against it; the host CA's keys are told to them with each session, and
                // of the front CA's they show whatever people trust.
                if let (Authority::User, Some(Beside::Next(next))) = (ca, known.and_then(|keys| keys.beside.as_ref())) {
                    rotate.behind = self.behind(next, now);
                }
                CaStep::Activate
            }
            Step::Retire => {
                if let (Authority::Host, Some(keys)) = (ca, known) {
                    rotate.left = self.left(state, &keys.signs);
                }
                CaStep::Retire
            }
            Step::Cancel => CaStep::Cancel,
        };
        Ok(rotate)
    }

    fn ca_state(&self, state: &State, ca: Authority) -> Result<CaState, AppError> {
        Ok(match state.ca_keys(ca) {
            Some(CaKeys { signs, beside, since }) => {
                let waits = ca == Authority::Host && matches!(beside, Some(Beside::Previous(_)));
                let left = if waits { self.left(state, signs) } else { Vec::new() };
                CaState { ca, signs: signs.clone(), beside: beside.clone(), since: Some(*since), left }
            }
            None => {
                let signs = identity::fingerprint(self.house(state)?.signs(ca));
                CaState { ca, signs, beside: None, since: None, left: Vec::new() }
            }
        })
    }

    /// The targets whose last certificate is not of this key, and that have no pinned key.
    fn left(&self, state: &State, signs: &str) -> Vec<TargetName> {
        let directory = self.directory.current();
        let shows = |name| state.host_certificate(name).is_some_and(|last| last.ca == signs);
        let lacks = directory.targets().filter(|target| target.host_keys.is_empty() && !shows(&target.name));
        lacks.map(|target| target.name.clone()).collect()
    }
}

/// Fingerprints of the keys that were retired or given up.
fn given_up(store: &dyn Store) -> Result<BTreeSet<String>, AppError> {
    let retired = |fact| if let Fact::CaRetired { key, .. } = fact { Some(key) } else { None };
    let cancelled = |fact| if let Fact::CaCancelled { key, .. } = fact { Some(key) } else { None };
    let (retired, cancelled) = (told(store, "ca.retired", retired)?, told(store, "ca.cancelled", cancelled)?);
    Ok(retired.into_iter().chain(cancelled).collect())
}

fn missing(ca: Authority, key: &str) -> AppError {
    AppError::Unavailable(format!("{key} is not among the key files of the {ca} CA"))
}

fn unwritable(error: &KeysError) -> AppError {
    tracing::error!(%error, source = ?std::error::Error::source(error), "the files of a CA key cannot be changed");
    AppError::Unavailable(format!("the files of the key cannot be changed: {error}"))
}
