//! Follows the CA's facts, and does to live sessions what they say.
//!
//! A fact may arrive before the session that it hits is entered: the CA allows a session, revokes its grant, and the
//! revocation overtakes the answer. So the last facts are kept, and a session is held against those behind its own
//! place in the ledger when it enters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::Heard;
use model::{Fact, GrantEnd, LockSubject, Record, RequestId, SessionEnd, SessionId, Timestamp};
use tracing::{debug, info, warn};

use crate::control::{Control, ControlError};
use crate::registry::{Live, Registered, Registry};

/// How many facts that could hit a session are kept.
const KEPT: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the feed knows.
#[derive(Debug)]
pub(crate) struct Revocations {
    registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kept: VecDeque<(u64, Order)>,
    /// Everything before this place that is not kept was heard, or was before our time.
    from: u64,
    /// The place of the next fact.
    next: u64,
    heard: Option<Instant>,
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
}

impl Revocations {
    pub(crate) fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { registry, state: Mutex::new(State { kept: VecDeque::new(), from: 0, next: 0, heard: None }) })
    }

    /// Enters a session, and does to it at once what has been ordered since the CA allowed it.
    ///
    /// # Errors
    /// The feed is not fresh enough to tell.
    pub(crate) fn enter(&self, live: &Arc<Live>, within: Duration) -> Result<Registered, Stale> {
        // The lock is held across both steps: an order is either seen here or finds the session entered.
        let state = self.lock();
        if state.heard.is_none_or(|heard| heard.elapsed() > within) {
            return Err(Stale::Silent);
        }
        if live.permit().seq() < state.from {
            return Err(Stale::Behind);
        }
        let registered = self.registry.enter(live.clone());
        for (_, order) in state.kept.iter().filter(|(seq, _)| *seq >= live.permit().seq()) {
            order.hit(live);
        }
        Ok(registered)
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
        self.lock().heard = Some(Instant::now());
        debug!(from, "following the feed of revocations");
        loop {
            let heard = feed.next().await?;
            *pause = FIRST_PAUSE;
            match heard {
                Heard::Alive => self.lock().heard = Some(Instant::now()),
                Heard::Fact(record) => self.take(&record),
            }
        }
    }

    fn take(&self, record: &Record) {
        let seq = record.seq.0;
        let order = Order::from_fact(record);
        let mut state = self.lock();
        state.heard = Some(Instant::now());
        if seq < state.next {
            return;
        }
        state.next = seq + 1;
        let Some(order) = order else { return };
        // Within the lock, so that no session enters between the look and the note. Hitting never waits.
        for live in order.targets(&self.registry) {
            order.hit(&live);
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

impl Order {
    fn from_fact(record: &Record) -> Option<Self> {
        let (at, by) = (record.entry.time, &record.entry.actor);
        match &record.entry.fact {
            Fact::GrantEnded { request, end, .. } => {
                let end = match end {
                    GrantEnd::Expired => SessionEnd::Expired,
                    GrantEnd::Revoked => SessionEnd::Revoked { by: by.clone(), at },
                    GrantEnd::Released => SessionEnd::Released { at },
                };
                Some(Self::EndGrant(request.clone(), end))
            }
            Fact::GrantExtended { request, to, .. } => Some(Self::Extend(request.clone(), *to)),
            Fact::LockPlaced { lock } => {
                Some(Self::Lock(lock.subject.clone(), SessionEnd::Locked { lock: lock.id.clone(), at }))
            }
            Fact::SessionCut { session, reason } => {
                let end = SessionEnd::Cut { by: by.clone(), reason: reason.clone(), at };
                Some(Self::Cut(session.clone(), end))
            }
            // What else happens does not touch a live session.
            Fact::LedgerOpened { .. }
            | Fact::SystemStarted { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. }
            | Fact::IdentityLoggedIn { .. }
            | Fact::IdentityLoginRefused { .. }
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
            | Fact::SessionEnded { .. }
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

    fn hit(&self, live: &Live) {
        let permit = live.permit();
        let end = match self {
            Self::Extend(grant, to) => {
                if grant == permit.request() {
                    live.extend(*to);
                }
                return;
            }
            Self::EndGrant(grant, end) if grant == permit.request() => end,
            Self::Lock(subject, end) => {
                let destination = permit.destination();
                let (target, login) = (&destination.target, &destination.login);
                if !subject.covers(permit.identity(), target, login, Some(permit.request())) {
                    return;
                }
                end
            }
            Self::Cut(session, end) if session == permit.session() => end,
            Self::EndGrant(..) | Self::Cut(..) => return,
        };
        if live.end(end.clone()) {
            info!(session = %permit.session(), ?end, "the session was ended");
        }
    }
}
