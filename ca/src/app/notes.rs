//! Facts that change nothing but must be kept: logins and refusals. What strangers can cause is limited, so that
//! nobody fills the ledger.

use std::num::NonZeroU32;

use access::{Note, SessionState, State};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use identity::Subject;
use model::{Actor, Fact, ProxyName, RequestId, SessionId};

use super::{App, AppError};

/// How many refusals of one subject are kept at once, and one more each second.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

/// The limits.
pub(super) struct Notes {
    by_subject: DefaultKeyedRateLimiter<Subject>,
    logins: DefaultKeyedRateLimiter<Subject>,
    passes: DefaultKeyedRateLimiter<Subject>,
    extensions: DefaultKeyedRateLimiter<Subject>,
    offers: DefaultKeyedRateLimiter<Subject>,
}

/// How many requests for more time may come of one person's live sessions in a minute. A proxy says that they want it.
const EXTENSIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(5);

/// How often in a minute a proxy may ask for one person how much more time there could be. Each time policy is asked.
const OFFERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// How many passes one may buy for each login that one may do: every connection with a plain key buys one.
const PASSES: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

impl Notes {
    /// With so many logins a minute for each identity.
    pub(super) fn new(logins: NonZeroU32) -> Self {
        let refusals = Quota::per_second(NonZeroU32::MIN).allow_burst(BURST);
        Self {
            by_subject: RateLimiter::keyed(refusals),
            logins: RateLimiter::keyed(Quota::per_minute(logins)),
            passes: RateLimiter::keyed(Quota::per_minute(logins.saturating_mul(PASSES))),
            extensions: RateLimiter::keyed(Quota::per_minute(EXTENSIONS)),
            offers: RateLimiter::keyed(Quota::per_minute(OFFERS)),
        }
    }

    /// Counts a login that would be a fact.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn admit_login(&self, subject: &Subject) -> Result<(), AppError> {
        let counted = self.logins.check_key(subject);
        counted.map_err(|_| AppError::TooMany(format!("{subject} logs in too often; keep the token that you have")))
    }

    /// Counts a pass, whose purchase is a fact.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn admit_pass(&self, subject: &Subject) -> Result<(), AppError> {
        let counted = self.passes.check_key(subject);
        counted.map_err(|_| AppError::TooMany(format!("{subject} connects too often; wait a moment")))
    }

    /// Counts a request for more time that comes of a live session.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn admit_extension(&self, subject: &Subject) -> Result<(), AppError> {
        let counted = self.extensions.check_key(subject);
        counted.map_err(|_| AppError::TooMany(format!("{subject} asks for more time too often; wait a minute")))
    }

    /// Counts a look at how much more time there could be.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn admit_offer(&self, subject: &Subject) -> Result<(), AppError> {
        let counted = self.offers.check_key(subject);
        counted.map_err(|_| AppError::TooMany(format!("{subject} asks too often; wait a moment")))
    }

    /// Forgets who has been quiet.
    pub(super) fn sweep(&self) {
        self.by_subject.retain_recent();
        self.logins.retain_recent();
        self.passes.retain_recent();
        self.extensions.retain_recent();
        self.offers.retain_recent();
    }
}

impl App {
    /// Keeps in the ledger that a proxy asked for something in a session that it may not have.
    pub(super) async fn note_in_session(&self, proxy: &ProxyName, id: &SessionId, reason: String) {
        let known = |state: &State, _| {
            state.session(id).map(|session| {
                let fact = Fact::SessionRefused {
                    identity: session.identity.clone(),
                    target: session.target.to_string(),
                    login: session.login.to_string(),
                    address: session.address.clone(),
                    reason: reason.clone(),
                };
                let live = session.state == SessionState::Live;
                (fact, session.request.clone(), live)
            })
        };
        let Some((fact, request, live)) = self.engine.peek(known) else { return };
        tracing::warn!(session = %id, by = %proxy, live, "{reason}");
        let about = Subject::Proxy(proxy.clone());
        self.note(&about, &Actor::Proxy(proxy.clone()), fact, Some(request)).await;
    }

    /// Keeps a refusal in the ledger, if `about` has not caused too many. The refusal itself stands either way, so an
    /// error here is only logged.
    pub(super) async fn note(&self, about: &Subject, actor: &Actor, fact: Fact, request: Option<RequestId>) {
        if self.notes.by_subject.check_key(about).is_err() {
            tracing::warn!(subject = %about, "too many refusals in a short time; this one is not in the ledger");
            return;
        }
        let build = |_: &_, _| Ok(Note { fact: fact.clone(), request: request.clone() }.into());
        if let Err(error) = self.engine.execute(actor, build, |_, _| ()).await {
            tracing::error!(%error, subject = %about, "a refusal could not be kept in the ledger");
        }
    }
}
