//! Live sessions, and how they end.
//!
//! Ending one is out of band: [`Live::end`] shuts the target's socket down in the caller's own thread, and the
//! person's too when they have stopped reading. It waits for nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use api::wire::SessionReport;
use model::{LockSubject, RequestId, SessionEnd, SessionId, Timestamp};
use tokio::sync::watch;

use crate::auth::Person;
use crate::cut::Cutter;
use crate::inner::Outer;
use crate::permit::Permit;
use crate::refusals::Refusals;
use crate::signal::Signal;
use crate::words::Words;

/// One live session.
#[derive(Debug)]
pub(crate) struct Live {
    permit: Permit,
    ended: OnceLock<SessionEnd>,
    /// When nothing passed any more.
    cut: OnceLock<Instant>,
    stop: Signal,
    deadline: watch::Sender<Timestamp>,
    notices: watch::Sender<Option<Arc<Words>>>,
    person: Cutter,
    target: OnceLock<Cutter>,
    began: Instant,
    refusals: Mutex<Refusals>,
    /// When the last byte passed, in milliseconds since `began`.
    touched: AtomicU64,
}

impl Live {
    pub(crate) fn new(permit: Permit, person: Cutter) -> Arc<Self> {
        Arc::new(Self {
            deadline: watch::Sender::new(permit.deadline()),
            permit,
            ended: OnceLock::new(),
            cut: OnceLock::new(),
            stop: Signal::default(),
            notices: watch::Sender::new(None),
            person,
            target: OnceLock::new(),
            began: Instant::now(),
            refusals: Mutex::default(),
            touched: AtomicU64::new(0),
        })
    }

    pub(crate) const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Ends the session; `false` when it had ended before. Nothing passes any more when this returns.
    pub(crate) fn end(&self, end: SessionEnd) -> bool {
        if self.ended.set(end).is_err() {
            return false;
        }
        if let Some(target) = self.target.get() {
            target.cut();
        }
        if self.person.is_blocked() {
            self.person.cut();
        }
        let _ = self.cut.set(Instant::now());
        self.stop.raise();
        true
    }

    /// Why the session ended, once it has.
    pub(crate) fn ended(&self) -> Option<&SessionEnd> {
        self.ended.get()
    }

    /// How long nothing has passed any more; `None` while something may.
    pub(crate) fn cut_for(&self) -> Option<Duration> {
        self.cut.get().map(Instant::elapsed)
    }

    /// Raised when the session ends.
    pub(crate) const fn stop(&self) -> &Signal {
        &self.stop
    }

    /// Names the target's side, which dies with the session; at once, when the session has ended meanwhile.
    pub(crate) fn reach(&self, target: &Cutter) {
        let late = self.target.set(target.clone()).is_err();
        if late || self.ended.get().is_some() {
            target.cut();
        }
    }

    /// When the grant ends.
    pub(crate) fn deadline(&self) -> watch::Receiver<Timestamp> {
        self.deadline.subscribe()
    }

    /// Moves the end of the grant.
    pub(crate) fn extend(&self, to: Timestamp) {
        self.deadline.send_replace(to);
    }

    /// Tells everybody with a terminal.
    pub(crate) fn tell(&self, words: Words) {
        self.notices.send_replace(Some(Arc::new(words)));
    }

    /// What everybody with a terminal is told from now on.
    pub(crate) fn notices(&self) -> watch::Receiver<Option<Arc<Words>>> {
        self.notices.subscribe()
    }

    /// The fact of a refusal; `None` when there were so many that this one is only counted.
    pub(crate) fn refusal(&self, asked: String, reason: &str) -> Option<SessionReport> {
        let listed = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).list(self.began.elapsed());
        listed.then(|| SessionReport::ChannelRefused { asked, reason: reason.to_owned() })
    }

    /// The fact of all refusals that were only counted; `None` when there are none.
    pub(crate) fn more_refusals(&self) -> Option<SessionReport> {
        match self.refusals.lock().unwrap_or_else(PoisonError::into_inner).take_more() {
            0 => None,
            more => Some(SessionReport::ChannelRefused {
                asked: format!("{more} more"),
                reason: "they came too fast to be listed".to_owned(),
            }),
        }
    }

    /// Notes that a byte passed.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.touched.store(now, Ordering::Relaxed);
    }

    /// How long no byte has passed.
    pub(crate) fn idle(&self) -> Duration {
        let touched = Duration::from_millis(self.touched.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(touched)
    }
}

/// All live sessions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<Sessions>,
    /// Connections that may carry others.
    fronts: Mutex<Vec<Weak<Outer>>>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_id: HashMap<SessionId, Arc<Live>>,
    by_grant: HashMap<RequestId, Vec<SessionId>>,
}

/// A session's place in the registry, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Arc<Registry>,
    live: Arc<Live>,
}

impl Registry {
    /// Enters a session.
    pub(crate) fn enter(self: &Arc<Self>, live: Arc<Live>) -> Registered {
        let mut sessions = self.lock();
        let id = live.permit.session().clone();
        sessions.by_grant.entry(live.permit.request().clone()).or_default().push(id.clone());
        sessions.by_id.insert(id, live.clone());
        drop(sessions);
        Registered { registry: self.clone(), live }
    }

    /// The ids of all live sessions.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.lock().by_id.keys().cloned().collect()
    }

    /// One session.
    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<Live>> {
        self.lock().by_id.get(id).cloned()
    }

    /// The sessions under one grant.
    pub(crate) fn of_grant(&self, grant: &RequestId) -> Vec<Arc<Live>> {
        let sessions = self.lock();
        let ids = sessions.by_grant.get(grant).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| sessions.by_id.get(id).cloned()).collect()
    }

    /// The sessions that a lock hits.
    pub(crate) fn covered_by(&self, subject: &LockSubject) -> Vec<Arc<Live>> {
        let covered = |live: &&Arc<Live>| {
            let permit = &live.permit;
            let destination = permit.destination();
            subject.covers(permit.identity(), &destination.target, &destination.login, Some(permit.request()))
        };
        self.lock().by_id.values().filter(covered).cloned().collect()
    }

    /// Enters a connection that may carry others, for as long as it lasts.
    pub(crate) fn enter_front(&self, outer: &Arc<Outer>) {
        let mut fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        fronts.retain(|front| front.strong_count() > 0);
        fronts.push(Arc::downgrade(outer));
    }

    /// The connections that may carry others, of these people.
    pub(crate) fn fronts(&self, of: impl Fn(&Person) -> bool) -> Vec<Arc<Outer>> {
        let fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        fronts.iter().filter_map(Weak::upgrade).filter(|outer| of(outer.person())).collect()
    }

    /// Every session.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.lock().by_id.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let (id, grant) = (self.live.permit.session(), self.live.permit.request());
        let mut sessions = self.registry.lock();
        sessions.by_id.remove(id);
        if let Some(ids) = sessions.by_grant.get_mut(grant) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                sessions.by_grant.remove(grant);
            }
        }
    }
}
