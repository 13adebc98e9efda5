//! Second factors: authenticators are added, listed and removed, and the codes that they make looked at.
//!
//! A code makes more of the token or the pass that it comes with, and of nothing else: of a token for a quarter of an
//! hour, of a pass for as long as that lives. When the authenticator is removed, that ends at once. A token is exchanged
//! for another, so that no copy of it, whoever has it, is worth more than before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use access::{AddFactor, Factor, Refusal, RemoveFactor, State, UseFactor};
use identity::{Raised, Subject, TokenInfo, TotpSecret};
use model::{Fact, FactorId, IdentityName, Reason, Span, Timestamp};
use policy::Action;
use store::Store;
use zeroize::Zeroizing;

use super::engine::blocking;
use super::ledger::told;
use super::{App, AppError, Caller, LoggedIn};
use crate::factors::FactorsError;

/// For how long a code makes more of a session token.
const FRESH: Span = Span::from_minutes(15);
/// How long somebody may take to put a new secret into their app.
const ENROLMENT: Span = Span::from_minutes(10);
/// How long ago somebody without an authenticator may have logged in to set one up: with their key, and not with a token
/// that may have been copied since.
const LOGIN: Span = Span::from_minutes(10);

/// An authenticator that is to be: shown once.
pub struct Enrolment {
    /// Its id.
    pub factor: FactorId,
    /// What the app reads.
    pub otpauth: Zeroizing<String>,
    /// What one types where it cannot.
    pub secret: Zeroizing<String>,
    /// A first code must come before this moment.
    pub expires: Timestamp,
}

/// What a code has made of a token or a pass.
pub struct Taken {
    /// It is worth more until then.
    pub until: Timestamp,
    /// The token that takes the place of the caller's; `None` for a pass, which stays.
    pub login: Option<LoggedIn>,
}

/// Secrets that were shown and of which no code has come yet: of each person the last one.
#[derive(Default)]
pub(super) struct Enrolments(Mutex<HashMap<IdentityName, Begun>>);

#[derive(Clone)]
struct Begun {
    factor: FactorId,
    secret: TotpSecret,
    expires: Timestamp,
}

impl Enrolments {
    fn put(&self, identity: &IdentityName, begun: Begun) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone(), begun);
    }

    fn get(&self, identity: &IdentityName, factor: &FactorId, now: Timestamp) -> Option<Begun> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(identity).filter(|begun| begun.factor == *factor && now < begun.expires).cloned()
    }

    fn drop(&self, identity: &IdentityName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(identity);
    }

    /// Forgets those that took too long.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, begun| now < begun.expires);
    }
}

/// What somebody has left when an authenticator of theirs was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Other authenticators.
    pub factors: usize,
    /// Grants that have not ended.
    pub grants: usize,
    /// Live sessions.
    pub sessions: usize,
}

/// Until when a code makes more of a token or pass; `None` when it does not, or not any more.
pub(super) fn raised_until(state: &State, info: &TokenInfo, now: Timestamp) -> Option<Timestamp> {
    let (raised, identity) = (info.raised.as_ref()?, info.subject.identity()?);
    (now < raised.until && state.factor(identity, &raised.factor).is_some()).then_some(raised.until)
}

impl App {
    /// Makes a secret for an authenticator of the caller's. It counts once a first code has come.
    ///
    /// # Errors
    /// The caller is no person with a login of their own; has an authenticator already and gave no code of it; or has none,
    /// and logged in too long ago.
    pub fn begin_factor(&self, caller: &Caller) -> Result<Enrolment, AppError> {
        let identity = caller.identity()?;
        let factor = FactorId::from_random(self.entropy.u64());
        // Whether it could be added in the end: by the decider itself, and nothing is appended.
        let add = AddFactor { factor: factor.clone(), step: 0, shown: caller.factors().totp };
        self.engine.peek(|state, now| access::decide(state, &caller.actor(), add.into(), now).map(drop))?;
        self.fresh_enough(caller, identity)?;
        let mut random = Zeroizing::new([0; TotpSecret::LENGTH]);
        self.entropy.fill(&mut *random);
        let secret = TotpSecret::from_random(random);
        let otpauth = secret.otpauth(self.server(), identity.as_str());
        let otpauth = otpauth.map_err(|error| AppError::Internal(error.to_string()))?;
        let expires = self.engine.now().plus(ENROLMENT);
        let enrolment = Enrolment { factor: factor.clone(), otpauth, secret: secret.base32(), expires };
        self.enrolments.put(identity, Begun { factor, secret, expires });
        Ok(enrolment)
    }

    /// Takes the first code of an authenticator, which counts from then on. `token` is the caller's, of which the code
    /// makes more.
    ///
    /// # Errors
    /// As [`App::begin_factor`]; none was begun, or too long ago; it is not its code, or was one wrong code too many.
    pub async fn confirm_factor(
        &self,
        caller: &Caller,
        token: &str,
        factor: &FactorId,
        code: &str,
    ) -> Result<(Factor, Taken), AppError> {
        let identity = caller.identity()?;
        let now = self.engine.now();
        let begun = self.enrolments.get(identity, factor, now).ok_or_else(|| {
            Refusal::new("unknown-factor", format!("{factor} waits for no first code"))
                .with_hint("begin anew: portcullis factor add")
        })?;
        self.attempts.count(identity, now)?;
        let Some(step) = begun.secret.step_of(code, now) else {
            return Err(self.code_refused(caller, identity, "it is not the first code of a new authenticator").await);
        };
        let (sealed, entropy) = (Arc::clone(&self.factors), Arc::clone(&self.entropy));
        let (owner, id) = (identity.clone(), factor.clone());
        let put = move || Ok(sealed.put(&owner, &id, &begun.secret, &*entropy));
        if let Err(error) = blocking(put).await? {
            self.attempts.give_back(identity);
            return Err(sealed_shut(identity, &error));
        }
        let shown = caller.factors().totp;
        let build = |_: &State, _| Ok(AddFactor { factor: factor.clone(), step, shown }.into());
        let view = |state: &State, _: &super::Applied| state.factor(identity, factor).cloned();
        let added = self.engine.execute(&caller.actor(), build, view).await;
        self.enrolments.drop(identity);
        let added = match added {
            Ok(added) => added.ok_or_else(|| AppError::Internal("a factor that was added is not there".to_owned()))?,
            Err(error) => {
                self.forget_secret(factor).await;
                return Err(error);
            }
        };
        self.attempts.give_back(identity);
        let taken = self.raise(caller, token, factor).ok_or(AppError::Unauthenticated)?;
        Ok((added, taken))
    }

    /// Takes a one-time code of the caller's. `token` is their token or pass, of which it makes more.
    ///
    /// # Errors
    /// They are locked, or have no authenticator; it is none of theirs, was used before, or is one wrong code too many.
    /// The ledger keeps that. Or what they share cannot be read here, which counts against nobody.
    pub async fn verify_code(&self, caller: &Caller, token: &str, code: &str) -> Result<Taken, AppError> {
        let identity = caller.person()?;
        let own = |state: &State, _| state.factors_of(identity).map(|factor| factor.id.clone()).collect::<Vec<_>>();
        let own = self.engine.read(own).await?;
        if own.is_empty() {
            let refusal = Refusal::new("unknown-factor", format!("{identity} has no authenticator"));
            return Err(refusal.with_hint("set one up, with a login of your own: portcullis factor add").into());
        }
        let now = self.engine.now();
        if let Err(error) = self.attempts.count(identity, now) {
            self.note_code(caller, identity, "too many wrong codes came before it").await;
            return Err(error);
        }
        let (sealed, owner, code) = (Arc::clone(&self.factors), identity.clone(), Zeroizing::new(code.to_owned()));
        let matching = move || {
            let step = |factor: FactorId| match sealed.get(&owner, &factor) {
                Ok(secret) => Ok(secret.step_of(&code, now).map(|step| (step, factor))),
                Err(error) => Err(sealed_shut(&owner, &error)),
            };
            // All are looked at, whichever it is.
            Ok(own.into_iter().map(step).collect::<Vec<_>>())
        };
        let looked = blocking(matching).await?;
        let found = looked.iter().find_map(|looked| looked.as_ref().ok()?.clone());
        let Some((step, factor)) = found else {
            // What could be held against none of theirs is no guess: that is for who runs the CA to mend.
            let shut: Option<Vec<AppError>> = looked.into_iter().map(Result::err).collect();
            if let Some(error) = shut.and_then(|mut all| all.pop()) {
                self.attempts.give_back(identity);
                return Err(error);
            }
            return Err(self.code_refused(caller, identity, "it is no code of an authenticator of theirs").await);
        };
        let address = caller.address().to_string();
        let build = |_: &State, _| Ok(UseFactor { factor: factor.clone(), step, address: address.clone() }.into());
        match self.engine.execute(&caller.actor(), build, |_, _| ()).await {
            Ok(()) => {}
            // Somebody has seen it, or is trying: it stays counted.
            Err(AppError::Refused(refusal)) => {
                self.note_code(caller, identity, &refusal.sentence).await;
                return Err(refusal.into());
            }
            Err(error) => {
                self.attempts.give_back(identity);
                return Err(error);
            }
        }
        self.attempts.give_back(identity);
        self.raise(caller, token, &factor).ok_or(AppError::Unauthenticated)
    }

    /// The authenticators of somebody: the caller's own, or of another for those who may administer.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn list_factors(
        &self,
        caller: &Caller,
        identity: Option<&IdentityName>,
    ) -> Result<Vec<(IdentityName, Factor)>, AppError> {
        let me = caller.identity()?;
        let whose = identity.unwrap_or(me);
        if whose != me {
            self.rules().demand(caller, Action::Administer, self.engine.now())?;
        }
        let look = |state: &State, _| state.factors_of(whose).cloned().collect::<Vec<_>>();
        let found = self.engine.read(look).await?;
        Ok(found.into_iter().map(|factor| (whose.clone(), factor)).collect())
    }

    /// Removes an authenticator, the caller's own with a code of late, or another's for those who may administer. What
    /// its codes made more of is as it was, at once; the logins of another's owner end. What they opened goes on: what its
    /// owner has left is the answer, for whoever removes one that was stolen.
    ///
    /// # Errors
    /// There is none; it is the caller's own and no code came; or they may not.
    pub async fn remove_factor(
        &self,
        caller: &Caller,
        identity: Option<&IdentityName>,
        factor: &FactorId,
        reason: Option<&Reason>,
    ) -> Result<Left, AppError> {
        let me = caller.identity()?;
        let identity = identity.unwrap_or(me);
        let shown = caller.factors().totp;
        let build = |_: &State, now: Timestamp| {
            let may_administer = self.rules().may(caller, Action::Administer, now);
            let (identity, factor, reason) = (identity.clone(), factor.clone(), reason.cloned());
            Ok(RemoveFactor { identity, factor, reason, may_administer, shown }.into())
        };
        let what_is_left = |state: &State, _: &super::Applied| {
            if identity != me {
                // Who has stolen the phone may have a token as well, and must not be the first to set up the next one: from
                // the very moment at which nobody needs a code of this one any more.
                self.authenticator.revoke_subject(&Subject::Identity(identity.clone()));
                self.enrolments.drop(identity);
            }
            let grants =
                state.grants().filter(|(request, grant)| request.spec.identity == *identity && grant.is_live());
            let sessions = state.live_sessions().filter(|session| session.identity == *identity);
            Left { factors: state.factors_of(identity).count(), grants: grants.count(), sessions: sessions.count() }
        };
        let left = self.engine.execute(&caller.actor(), build, what_is_left).await?;
        self.forget_secret(factor).await;
        if identity != me && left.factors == 0 {
            self.attempts.forget(identity);
        }
        Ok(left)
    }

    /// Puts aside what no fact explains.
    pub(crate) async fn sweep_factors(&self) -> Result<(), AppError> {
        let known = self.engine.read(|state, _| state.factors().map(|(_, factor)| factor.id.clone()).collect()).await?;
        let (sealed, store, now) = (Arc::clone(&self.factors), self.store(), self.engine.now());
        let sweep = move || {
            let strangers = sealed.strangers(&known);
            let removed = if strangers.is_empty() { BTreeSet::new() } else { removed(store.as_ref())? };
            sealed.sweep(&strangers, &removed, now);
            Ok(())
        };
        blocking(sweep).await
    }

    /// Refuses somebody without an authenticator whose login is not of late.
    fn fresh_enough(&self, caller: &Caller, identity: &IdentityName) -> Result<(), AppError> {
        let own = self
            .engine
            .peek(|state, now| state.factors_of(identity).next().is_some() || now < caller.issued().plus(LOGIN));
        if own {
            return Ok(());
        }
        let sentence = format!("to set up an authenticator takes a login of the last {LOGIN}");
        Err(Refusal::new("login-too-old", sentence)
            .with_hint("log in again: portcullis login; then portcullis factor add")
            .into())
    }

    /// Makes more of a token or a pass. `None`: it has ended meanwhile.
    fn raise(&self, caller: &Caller, token: &str, factor: &FactorId) -> Option<Taken> {
        let fresh = self.engine.now().plus(FRESH);
        // A pass dies with its connection, so it needs no end of its own.
        let until = if caller.through().is_some() { caller.expires() } else { fresh.min(caller.expires()) };
        let raised = Raised { factor: factor.clone(), until };
        let (info, token) = self.authenticator.raise(token, &raised, self.random())?;
        Some(Taken { until, login: token.map(|token| LoggedIn { token, info }) })
    }

    async fn forget_secret(&self, factor: &FactorId) {
        let (sealed, factor) = (Arc::clone(&self.factors), factor.clone());
        let remove = move || {
            sealed.remove(&factor);
            Ok(())
        };
        if let Err(error) = blocking(remove).await {
            tracing::warn!(%error, "a sealed secret that nobody needs any more may still be there");
        }
    }

    async fn code_refused(&self, caller: &Caller, identity: &IdentityName, why: &str) -> AppError {
        // There are few of them, and none may be lost among what else the same person is refused.
        if let Err(error) = self.keep(&caller.actor(), code_fact(caller, identity, why)).await {
            tracing::error!(%error, %identity, "a wrong code could not be kept in the ledger");
        }
        Refusal::new("code-refused", "this is no one-time code of yours now")
            .with_hint("type the code that the app shows now, and see that the clock of the phone is right")
            .into()
    }

    async fn note_code(&self, caller: &Caller, identity: &IdentityName, why: &str) {
        self.note(caller.subject(), &caller.actor(), code_fact(caller, identity, why), None).await;
    }
}

/// Says in the log what cannot be read or kept, and to the caller that there is something.
fn sealed_shut(identity: &IdentityName, error: &FactorsError) -> AppError {
    tracing::error!(%identity, "an authenticator's file cannot be used: {}", with_sources(error));
    AppError::FactorUnreadable
}

/// The authenticators that were removed.
fn removed(store: &dyn Store) -> Result<BTreeSet<FactorId>, AppError> {
    let factor = |fact| if let Fact::FactorRemoved { factor, .. } = fact { Some(factor) } else { None };
    Ok(told(store, "factor.removed", factor)?.into_iter().collect())
}

fn code_fact(caller: &Caller, identity: &IdentityName, why: &str) -> Fact {
    let (reason, address) = (why.to_owned(), caller.address().to_string());
    Fact::FactorRefused { identity: identity.clone(), reason, address }
}

/// An error with all that lies behind it, for the log.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
