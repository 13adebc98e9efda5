//! Live sessions, and how they end.
//!
//! Ending one is out of band: [`Live::cut`] ends the target's socket in the caller's own thread, and stops what the
//! person's carries; it ends that too when the target's output is still on its way through it. It waits for nobody.
//! Whoever ends many cuts them all before the first of them is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use api::wire::SessionReport;
use bytes::Bytes;
use model::{LockSubject, RequestId, SessionEnd, SessionId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::auth::Person;
use crate::cut::Cutter;
use crate::forward::Rights;
use crate::inner::Outer;
use crate::permit::Permit;
use crate::refusals::{Asker, Count, Refusals};
use crate::signal::Signal;
use crate::words::Words;

/// How many things that were refused are kept for a greeting.
const REGRETS: usize = 8;

/// One live session.
#[derive(Debug)]
pub(crate) struct Live {
    permit: Permit,
    ended: OnceLock<SessionEnd>,
    /// Nothing may pass any more.
    shut: AtomicBool,
    /// When nothing passed any more.
    cut: OnceLock<Instant>,
    /// How many messages of the target are on their way through the person's connection.
    passing: Arc<AtomicUsize>,
    /// Raised when the session's last words may be said, or cannot be.
    words: Signal,
    /// Raised when the person's connection is closed.
    gone: Signal,
    /// Raised when those who were cut together with this one are gone, too.
    crowd: OnceLock<Signal>,
    stop: Signal,
    deadline: watch::Sender<Timestamp>,
    notices: watch::Sender<Option<Arc<Words>>>,
    /// The person's side, once something passes.
    person: OnceLock<Cutter>,
    /// The connection that the person's runs inside of.
    outer: Option<Arc<Outer>>,
    target: OnceLock<Cutter>,
    began: Instant,
    refusals: Mutex<Refusals>,
    /// How often more time was asked for.
    questions: Mutex<Count>,
    /// The place of the one question for more time that may stand.
    asking: Arc<Semaphore>,
    /// What was refused before anybody could be told.
    regrets: Mutex<Vec<Words>>,
    /// What the target may open towards the person.
    rights: Rights,
    /// How many channels it has had.
    channels: AtomicU32,
    /// When the last byte passed, in milliseconds since `began`.
    touched: AtomicU64,
}

impl Live {
    pub(crate) fn new(permit: Permit, outer: Option<Arc<Outer>>) -> Arc<Self> {
        Arc::new(Self {
            deadline: watch::Sender::new(permit.deadline()),
            permit,
            ended: OnceLock::new(),
            shut: AtomicBool::new(false),
            cut: OnceLock::new(),
            passing: Arc::default(),
            words: Signal::default(),
            gone: Signal::default(),
            crowd: OnceLock::new(),
            stop: Signal::default(),
            notices: watch::Sender::new(None),
            person: OnceLock::new(),
            outer,
            target: OnceLock::new(),
            began: Instant::now(),
            refusals: Mutex::default(),
            questions: Mutex::default(),
            asking: Arc::new(Semaphore::new(1)),
            regrets: Mutex::default(),
            rights: Rights::default(),
            channels: AtomicU32::new(0),
            touched: AtomicU64::new(0),
        })
    }

    pub(crate) const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Ends the session; `false` when it had ended before. Nothing passes any more when this returns.
    pub(crate) fn end(&self, end: SessionEnd) -> bool {
        let first = self.cut(end);
        if first {
            self.dismiss();
        }
        first
    }

    /// The first half of an end, after which nothing passes any more; `false` when it had ended before.
    /// [`dismiss`](Self::dismiss) is the other half.
    pub(crate) fn cut(&self, end: SessionEnd) -> bool {
        let taken_away = taken_away(&end);
        if self.ended.set(end).is_err() {
            return false;
        }
        if !taken_away {
            self.cut_target();
            if let Some(person) = self.person.get() {
                // What has been passed on already may arrive.
                person.speak();
                if person.is_blocked() {
                    person.cut();
                }
            }
            return true;
        }
        self.shut.store(true, Ordering::SeqCst);
        let clear = self.person.get().is_none_or(Cutter::hush) && self.outer_is_clear();
        self.cut_target();
        if !clear || self.passing.load(Ordering::SeqCst) > 0 {
            self.person.get().inspect(|person| person.sever());
        }
        let _ = self.cut.set(Instant::now());
        true
    }

    /// Whether nothing is left in the connection that the person's runs inside of; it is ended when something is.
    pub(crate) fn outer_is_clear(&self) -> bool {
        self.outer.as_ref().is_none_or(|outer| outer.clear())
    }

    /// Wakes those who carry the session, so that they say its last words and go.
    pub(crate) fn dismiss(&self) {
        self.stop.raise();
        for side in [self.person.get(), self.target.get()].into_iter().flatten() {
            side.rouse();
        }
    }

    /// Closes the person's connection, unless it is closed already. Whoever closes many of them wakes their users with
    /// [`rouse_person`](Self::rouse_person) when all are closed.
    pub(crate) fn sever_person(&self) {
        self.person.get().inspect(|person| person.sever());
    }

    /// Wakes who uses the person's connection, to see what has become of it.
    pub(crate) fn rouse_person(&self) {
        self.person.get().inspect(|person| person.rouse());
    }

    /// What the target says, on its way to the person; `None` once nothing may pass any more.
    pub(crate) fn pass(&self, data: Bytes) -> Option<Bytes> {
        // Counted before the look, so that whoever cuts the session sees the message or is seen.
        let message = Passing::new(self.passing.clone(), data);
        (!self.shut.load(Ordering::SeqCst)).then(|| Bytes::from_owner(message))
    }

    /// Raised when the session's last words may be said, or cannot be.
    pub(crate) const fn words(&self) -> &Signal {
        &self.words
    }

    /// Raised when the session has said its last words, or did not get to them.
    pub(crate) const fn gone(&self) -> &Signal {
        &self.gone
    }

    /// Names the signal of those who were cut together with this one.
    pub(crate) fn join_crowd(&self, gone: &Signal) {
        let _ = self.crowd.set(gone.clone());
    }

    /// Waits until all who were cut together with this one are gone; whoever was cut alone waits for nobody.
    pub(crate) async fn crowd_gone(&self) {
        if let Some(crowd) = self.crowd.get() {
            crowd.raised().await;
        }
    }

    fn cut_target(&self) {
        if let Some(target) = self.target.get() {
            target.sever();
        }
    }

    /// Why the session ended, once it has.
    pub(crate) fn ended(&self) -> Option<&SessionEnd> {
        self.ended.get()
    }

    /// How long nothing has passed any more; `None` while something may.
    pub(crate) fn cut_for(&self) -> Option<Duration> {
        self.cut.get().map(Instant::elapsed)
    }

    /// How long the person's connection has been closed; `None` while it is open.
    pub(crate) fn dropped_for(&self) -> Option<Duration> {
        self.person.get()?.ended_for()
    }

    /// Raised when the session ends.
    pub(crate) const fn stop(&self) -> &Signal {
        &self.stop
    }

    /// Names the person's side, from where on something may pass.
    pub(crate) fn carry(&self, person: &Cutter) {
        let _ = self.person.set(person.clone());
        // Whoever cut the session in between did not find it.
        if self.shut.load(Ordering::SeqCst) {
            person.hush();
            person.rouse();
        }
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

    /// Tells whoever has a terminal that something was refused; when nobody has one yet, it is kept for the first.
    pub(crate) fn regret(&self, words: Words) {
        if self.notices.receiver_count() > 0 {
            return self.tell(words);
        }
        let mut regrets = self.regrets.lock().unwrap_or_else(PoisonError::into_inner);
        if regrets.len() < REGRETS {
            regrets.push(words);
        }
    }

    /// What was kept.
    pub(crate) fn regrets(&self) -> Vec<Words> {
        std::mem::take(&mut *self.regrets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the target may open towards the person.
    pub(crate) const fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The number of its next channel, from 0.
    pub(crate) fn next_channel(&self) -> u32 {
        self.channels.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for a question for more time, of which a session has one at a time, and as many as a person could mean.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn may_ask(&self) -> Result<OwnedSemaphorePermit, Words> {
        let place = self.asking.clone().try_acquire_owned();
        let place = place.map_err(|_| Words::say("more time is being asked for already, in this session"))?;
        let room = self.questions.lock().unwrap_or_else(PoisonError::into_inner).list(self.began.elapsed());
        room.then_some(place).ok_or_else(|| Words::say("that was asked too often").hint("wait a moment"))
    }

    /// The fact of a refusal; `None` when there were so many that this one is only counted.
    pub(crate) fn refusal(&self, by: Asker, asked: String, reason: &str) -> Option<SessionReport> {
        let listed = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).list(by, self.began.elapsed());
        listed.then(|| SessionReport::ChannelRefused { asked, reason: reason.to_owned() })
    }

    /// The facts of all refusals that were only counted.
    pub(crate) fn more_refusals(&self) -> impl Iterator<Item = SessionReport> {
        let more = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).take_more();
        let told = more.into_iter().zip(["", " by the target"]).filter(|(more, _)| *more > 0);
        told.map(|(more, by)| SessionReport::ChannelRefused {
            asked: format!("{more} more{by}"),
            reason: "they came too fast to be listed".to_owned(),
        })
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

/// Whether an end takes the session away from its person: then nothing passes behind it, not even what was on its way.
const fn taken_away(end: &SessionEnd) -> bool {
    match end {
        SessionEnd::Expired
        | SessionEnd::Revoked { .. }
        | SessionEnd::Released { .. }
        | SessionEnd::Locked { .. }
        | SessionEnd::Cut { .. } => true,
        SessionEnd::Client
        | SessionEnd::Target { .. }
        | SessionEnd::Idle
        | SessionEnd::Recording { .. }
        | SessionEnd::Proxy { .. } => false,
    }
}

/// A message that is counted until the person's connection has taken it.
struct Passing {
    count: Arc<AtomicUsize>,
    data: Bytes,
}

impl Passing {
    fn new(count: Arc<AtomicUsize>, data: Bytes) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self { count, data }
    }
}

impl AsRef<[u8]> for Passing {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
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
