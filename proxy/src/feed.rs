//! Follows the CA's facts, and does to live sessions what they say.
//!
//! A fact may arrive before the session that it hits is entered: the CA allows a session, revokes its grant, and the
//! revocation overtakes the answer. So the last facts are kept, and a session is held against those behind its own
//! place in the ledger when it enters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::Heard;
use model::{Actor, Fact, GrantEnd, LockSubject, Record, RequestId, SessionEnd, SessionId, Timestamp};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::control::{Control, ControlError};
use crate::crowd;
use crate::extensions::Extensions;
use crate::inner::Outer;
use crate::registry::{Live, Registered, Registry};
use crate::signal::Signal;
use crate::sweeper::Sweeper;
use crate::usher;
use crate::words;

/// How many facts that could hit a session are kept.
const KEPT: usize = 4096;
/// So many feeds may break at one place of the ledger. After that the fact there counts as one that cannot be heard, and
/// nobody gets in: it may be a revocation.
const FAILURES: u32 = 5;
/// A feed that has lived for so long is past whatever broke others.
const SETTLED: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the feed knows.
#[derive(Debug)]
pub(crate) struct Revocations {
    registry: Arc<Registry>,
    sweeper: Sweeper,
    state: Mutex<State>,
    /// Told whenever something was heard, or nothing will be.
    beat: Notify,
    /// Told when a CA has other keys.
    ca_changed: Notify,
}

#[derive(Debug)]
struct State {
    kept: VecDeque<(u64, Order)>,
    extensions: Extensions,
    /// Everything before this place that is not kept was heard, or was before our time.
    from: u64,
    /// The place of the next fact.
    next: u64,
    heard: Option<Instant>,
    /// How many feeds have broken since a fact was taken.
    failures: u32,
}

impl State {
    fn check(&self, within: Duration) -> Result<(), Stale> {
        if self.failures >= FAILURES {
            return Err(Stale::Stuck);
        }
        match self.heard {
            Some(heard) if heard.elapsed() <= within => Ok(()),
            Some(_) | None => Err(Stale::Silent),
        }
    }
}

/// What a fact orders.
#[derive(Clone, Debug)]
enum Order {
    EndGrant(RequestId, SessionEnd),
    Extend(RequestId, Timestamp),
    Lock(LockSubject, SessionEnd),
    Cut(SessionId, SessionEnd),
}

/// A session that must not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stale {
    #[error("the feed of revocations has been silent for too long")]
    Silent,
    #[error("the feed of revocations has moved on too far")]
    Behind,
    #[error("the feed of revocations breaks again and again at one place")]
    Stuck,
}

impl Revocations {
    pub(crate) fn new(registry: Arc<Registry>, sweeper: Sweeper) -> Arc<Self> {
        let (kept, extensions) = (VecDeque::new(), Extensions::default());
        let state = State { kept, extensions, from: 0, next: 0, heard: None, failures: 0 };
        Arc::new(Self { registry, sweeper, state: Mutex::new(state), beat: Notify::new(), ca_changed: Notify::new() })
    }

    /// Waits until the feed is fresh: at the start, and after a break, the next sign of life may be some seconds away.
    pub(crate) async fn fresh(&self, within: Duration, patience: Duration) {
        let fresh = async {
            loop {
                let beat = self.beat.notified();
                tokio::pin!(beat);
                // Registered before the look, so that no beat in between is missed.
                beat.as_mut().enable();
                if !matches!(self.lock().check(within), Err(Stale::Silent)) {
                    return;
                }
                beat.await;
            }
        };
        // Whoever enters is told why not.
        let _ = tokio::time::timeout(patience, fresh).await;
    }

    /// How long nothing was heard of the feed; `None` when nothing ever was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.lock().heard.map(|heard| heard.elapsed())
    }

    /// Waits until the feed says that a CA has other keys. What was said while nobody waited is not lost.
    pub(crate) async fn ca_changed(&self) {
        self.ca_changed.notified().await;
    }

    /// Enters a session, and does to it at once what has been ordered since the CA allowed it.
    ///
    /// # Errors
    /// The feed is not fresh enough to tell.
    pub(crate) fn enter(&self, live: &Arc<Live>, within: Duration) -> Result<Registered, Stale> {
        // The lock is held across both steps: an order is either seen here or finds the session entered.
        let state = self.lock();
        state.check(within)?;
        if live.permit().seq() < state.from {
            return Err(Stale::Behind);
        }
        let registered = self.registry.enter(live.clone());
        for (_, order) in state.kept.iter().filter(|(seq, _)| *seq >= live.permit().seq()) {
            if order.cut(live) {
                live.dismiss();
            }
        }
        Ok(registered)
    }

    /// The request that would extend a grant, when one is pending as far as was heard.
    pub(crate) fn extension(&self, grant: &RequestId) -> Option<RequestId> {
        self.lock().extensions.of(grant).cloned()
    }

    /// Follows the feed for ever, from the ledger's present end on.
    pub(crate) async fn follow(self: Arc<Self>, control: Arc<dyn Control>) {
        let mut pause = FIRST_PAUSE;
        let mut started = false;
        loop {
            let why = match self.run(control.as_ref(), &mut started, &mut pause).await {
                Err(error) => error.to_string(),
                Ok(never) => match never {},
            };
            warn!("the feed of revocations broke: {why}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run(
        &self,
        control: &dyn Control,
        started: &mut bool,
        pause: &mut Duration,
    ) -> Result<std::convert::Infallible, ControlError> {
        if !*started {
            let position = control.position().await?;
            let mut state = self.lock();
            (state.from, state.next) = (position, position);
            *started = true;
        }
        let from = self.lock().next;
        let mut feed = control.follow(from).await?;
        // That a feed opens says nothing: it may break at its first fact.
        let opened = Instant::now();
        debug!(from, "following the feed of revocations");
        loop {
            let heard = match feed.next().await {
                Ok(heard) => heard,
                Err(error) => {
                    let mut state = self.lock();
                    state.failures = state.failures.saturating_add(1);
                    drop(state);
                    self.beat.notify_waiters();
                    return Err(error);
                }
            };
            match heard {
                Heard::Alive => {
                    let mut state = self.lock();
                    state.heard = Some(Instant::now());
                    if opened.elapsed() >= SETTLED {
                        state.failures = 0;
                    }
                    // A feed that breaks again at once is not opened again at once.
                    if state.failures == 0 {
                        *pause = FIRST_PAUSE;
                    }
                }
                Heard::Fact(record) => {
                    self.take(&record);
                    *pause = FIRST_PAUSE;
                }
            }
            self.beat.notify_waiters();
        }
    }

    fn take(&self, record: &Record) {
        let seq = record.seq.0;
        let order = Order::from_fact(record);
        let mut state = self.lock();
        if seq < state.next {
            return;
        }
        state.heard = Some(Instant::now());
        state.failures = 0;
        state.next = seq + 1;
        if let Some((grant, why)) = state.extensions.hear(&record.entry.fact) {
            for live in self.registry.of_grant(&grant) {
                let ends = *live.deadline().borrow();
                live.tell(words::not_extended(why, ends, live.permit()));
            }
        }
        if turns_a_ca(&record.entry.fact) {
            self.ca_changed.notify_one();
        }
        let Some(order) = order else { return };
        // Within the lock, so that no session enters between the look and the note. Cutting never waits. All are cut
        // before the first is told: telling takes the processor from those that still pass something.
        let hit = order.cut_all(&order.targets(&self.registry));
        for outer in order.fronts(&self.registry) {
            outer.dismiss();
        }
        if !hit.is_empty() {
            info!(seq, sessions = hit.len(), "sessions were cut");
            let gone = Signal::default();
            hit.iter().for_each(|live| live.join_crowd(&gone));
            self.sweeper.sweep(hit.clone(), gone.clone());
            usher::see_off(hit, self.sweeper.notice(), gone);
        }
        if is_old_news(&record.entry.fact) {
            return;
        }
        state.kept.push_back((seq, order));
        while state.kept.len() > KEPT {
            if let Some((gone, _)) = state.kept.pop_front() {
                state.from = gone + 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a CA has other keys by this fact: what they are is asked for.
const fn turns_a_ca(fact: &Fact) -> bool {
    matches!(fact, Fact::CaStaged { .. } | Fact::CaActivated { .. } | Fact::CaRetired { .. } | Fact::CaCancelled { .. })
}

/// Whether a fact can hit no session that enters later: an end that the proxy told itself. Kept, so many of them would
/// push out what can. An end that the CA enters for a lost session is the proxy's in the ledger, and is kept.
fn is_old_news(fact: &Fact) -> bool {
    matches!(fact, Fact::SessionEnded { end, .. } if !matches!(end, SessionEnd::Proxy { .. }))
}

impl Order {
    fn from_fact(record: &Record) -> Option<Self> {
        let (at, by) = (record.entry.time, &record.entry.actor);
        match &record.entry.fact {
            Fact::GrantEnded { request, end, reason } => {
                let end = match end {
                    GrantEnd::Expired => SessionEnd::Expired,
                    GrantEnd::Revoked => SessionEnd::Revoked { by: by.clone(), at, reason: reason.clone() },
                    GrantEnd::Released => SessionEnd::Released { at },
                };
                Some(Self::EndGrant(request.clone(), end))
            }
            Fact::GrantExtended { request, to, .. } => Some(Self::Extend(request.clone(), *to)),
            Fact::LockPlaced { lock } => {
                let end = SessionEnd::Locked { lock: lock.id.clone(), at, reason: Some(lock.reason.clone()) };
                Some(Self::Lock(lock.subject.clone(), end))
            }
            Fact::SessionCut { session, reason } => {
                let end = SessionEnd::Cut { by: by.clone(), reason: reason.clone(), at };
                Some(Self::Cut(session.clone(), end))
            }
            // Of a session that goes on here it can only be the CA's own: it took it for lost, and takes nothing more of
            // what happens in it.
            Fact::SessionEnded { session, end, .. } => {
                let reason = format!("it has ended in the ledger: {end}");
                Some(Self::Cut(session.clone(), SessionEnd::Cut { by: Actor::System, reason, at }))
            }
            // What else happens does not touch a live session.
            Fact::LedgerOpened { .. }
            | Fact::SystemStarted { .. }
            | Fact::FrontCaLoaded { .. }
            | Fact::CaStaged { .. }
            | Fact::CaActivated { .. }
            | Fact::CaRetired { .. }
            | Fact::CaCancelled { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. }
            | Fact::TargetKeyMade { .. }
            | Fact::TargetKeyDestroyed { .. }
            | Fact::TargetKeyUsed { .. }
            | Fact::IdentityLoggedIn { .. }
            | Fact::IdentityLoginRefused { .. }
            | Fact::FactorAdded { .. }
            | Fact::FactorRemoved { .. }
            | Fact::FactorUsed { .. }
            | Fact::FactorRefused { .. }
            | Fact::RequestFiled { .. }
            | Fact::RequestRefused { .. }
            | Fact::RequestReviewed { .. }
            | Fact::ReviewWithdrawn { .. }
            | Fact::RequestApproved { .. }
            | Fact::RequestDenied { .. }
            | Fact::RequestCancelled { .. }
            | Fact::RequestExpired { .. }
            | Fact::GrantActivated { .. }
            | Fact::CertificateIntended { .. }
            | Fact::CertificateIssued { .. }
            | Fact::CertificateFailed { .. }
            | Fact::SessionOpened { .. }
            | Fact::SessionRefused { .. }
            | Fact::ChannelOpened { .. }
            | Fact::ChannelRefused { .. }
            | Fact::ChannelClosed { .. }
            | Fact::RecordingStarted { .. }
            | Fact::RecordingClosed { .. }
            | Fact::RecordingFailed { .. }
            | Fact::RecordingReplayed { .. }
            | Fact::LockLifted { .. } => None,
        }
    }

    fn targets(&self, registry: &Registry) -> Vec<Arc<Live>> {
        match self {
            Self::EndGrant(grant, _) | Self::Extend(grant, _) => registry.of_grant(grant),
            Self::Lock(subject, _) => registry.covered_by(subject),
            Self::Cut(session, _) => registry.session(session).into_iter().collect(),
        }
    }

    /// The connections that may carry others and have no more business here.
    fn fronts(&self, registry: &Registry) -> Vec<Arc<Outer>> {
        match self {
            Self::EndGrant(grant, _) | Self::Lock(LockSubject::Grant(grant), _) => {
                registry.fronts(|person| person.grant.as_ref() == Some(grant))
            }
            Self::Lock(LockSubject::Identity(name), _) => registry.fronts(|person| person.identity == *name),
            Self::Lock(LockSubject::Everything, _) => registry.fronts(|_| true),
            Self::Lock(LockSubject::Target(_) | LockSubject::Login(..), _) | Self::Extend(..) | Self::Cut(..) => {
                Vec::new()
            }
        }
    }

    /// Does to sessions what is ordered, a crowd of them in several threads; returns those that were cut.
    fn cut_all(&self, sessions: &[Arc<Live>]) -> Vec<Arc<Live>> {
        crowd::in_parts(sessions, |part| part.iter().filter(|live| self.cut(live)).cloned().collect())
    }

    /// Does to a session what is ordered; whether it was cut.
    fn cut(&self, live: &Live) -> bool {
        let permit = live.permit();
        let end = match self {
            Self::Extend(grant, to) => {
                if grant == permit.request() {
                    live.extend(*to);
                }
                return false;
            }
            Self::EndGrant(grant, end) if grant == permit.request() => end,
            Self::Lock(subject, end) => {
                let destination = permit.destination();
                let (target, login) = (&destination.target, &destination.login);
                if !subject.covers(permit.identity(), target, login, Some(permit.request())) {
                    return false;
                }
                end
            }
            Self::Cut(session, end) if session == permit.session() => end,
            Self::EndGrant(..) | Self::Cut(..) => return false,
        };
        live.cut(end.clone())
    }
}
