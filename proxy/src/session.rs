//! One session, from the question to the CA to the receipt.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::wire::{EnterByPass, OpenSession, OpenedSession, Presence, SessionReport};
use model::{SessionEnd, SessionId, Timestamp, WayIn};
use russh::{Disconnect, server};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::auth::{Person, Shown};
use crate::bridge::{self, Closing, Opened};
use crate::clock::{Due, STRETCH, Schedule};
use crate::control::ControlError;
use crate::cut::Cutter;
use crate::desk::{self, Missing, Outcome};
use crate::destination::Destination;
use crate::dial::{self, Target};
use crate::forward::{Asked, Forwards, Incoming, ListenAsked};
use crate::gate::Gate;
use crate::inner::Outer;
use crate::permit::Permit;
use crate::record::chain;
use crate::registry::{Live, Registered};
use crate::signal::Signal;
use crate::words::{self, Words};

/// How long a person who is turned away may take to read why.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long they may stay at all.
const STAY: Duration = Duration::from_secs(30);
/// How long a person who was told why not may take to hang up.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the recordings of a session may take to be closed.
const CLOSING: Duration = Duration::from_secs(60);

/// A person who has logged in and wants to go somewhere.
pub(crate) struct Visit {
    pub(crate) gate: Arc<Gate>,
    pub(crate) person: Person,
    /// Their log-in to this connection; spent already where it has bought a pass.
    pub(crate) presence: Option<Presence>,
    pub(crate) destination: Destination,
    pub(crate) address: IpAddr,
    pub(crate) way: WayIn,
    /// The person's connection.
    pub(crate) cutter: Cutter,
    pub(crate) handle: server::Handle,
    /// Raised when the person's connection is gone.
    pub(crate) gone: Signal,
    /// The connection that this one runs inside of.
    pub(crate) outer: Option<Arc<Outer>>,
}

/// What a person does within a session. Boxed, since a queue makes room for 32 of them.
pub(crate) enum Wish {
    /// Open a session channel.
    Channel(Box<Opened>),
    /// Connect from the target to somewhere.
    Forward(Box<Asked>),
    /// Have the target listen, or listen no more.
    Listen(Box<ListenAsked>),
}

impl Wish {
    /// Says no to a forward or a listener, in these words where the protocol has room for any.
    pub(crate) async fn decline(self, words: &Words) {
        match self {
            Self::Channel(opened) => bridge::refuse(*opened, words, PATIENCE).await,
            Self::Forward(asked) => asked.forbid(words).await,
            Self::Listen(asked) => asked.reply.reject(),
        }
    }
}

/// Carries a session from beginning to end. What comes before and behind its long middle is boxed while it runs, so that
/// thousands of sessions at rest do not carry room for it.
pub(crate) async fn run(visit: Visit, mut wishes: mpsc::Receiver<Wish>) {
    // Held to the end, whatever comes: somebody who is turned away takes a place too.
    let place = visit.gate.people.take(visit.person.identity.clone());
    let mut early = Vec::new();
    let (words, stay) = if place.is_some() {
        match Box::pin(visit.open()).await {
            Ok(session) => return visit.carry(session, early, &mut wishes).await,
            Err(Closed { words, missing: None }) => (words, STAY),
            Err(Closed { words, missing: Some(missing) }) => {
                match Box::pin(visit.supplied(&mut wishes, &mut early, words, missing)).await {
                    Ok((session, first)) => {
                        early.push(Wish::Channel(Box::new(first)));
                        return visit.carry(session, early, &mut wishes).await;
                    }
                    Err(turned_away) => turned_away,
                }
            }
        }
    } else {
        let most = visit.gate.config.max_sessions_per_person;
        let words = Words::say(format!("{} has {most} sessions at a time already", visit.person.identity));
        (words.hint("close one of them first"), SETTLE)
    };
    info!(person = %visit.person.identity, asked = %visit.destination, "turned away: {}", words.first());
    for wish in early {
        wish.decline(&words).await;
    }
    Box::pin(visit.turn_away(&mut wishes, &words, stay)).await;
}

/// Why there is no session.
struct Closed {
    words: Words,
    /// What alone is missing, where the person may be asked for it right here.
    missing: Option<Missing>,
}

impl From<Words> for Closed {
    fn from(words: Words) -> Self {
        Self { words, missing: None }
    }
}

/// A session that the CA allowed and whose target is reached.
struct Session {
    live: Arc<Live>,
    target: Arc<Target>,
    /// What the target opens.
    arriving: mpsc::Receiver<Box<Incoming>>,
    _registered: Registered,
}

/// When a session ended.
#[derive(Clone, Copy)]
struct Gone {
    /// When nothing passed any more.
    cut: Option<Timestamp>,
    /// When the person's socket was closed.
    dropped: Timestamp,
}

impl Gone {
    /// As far as it is gone by now.
    fn by_now(gate: &Gate, live: &Live) -> Self {
        let now = gate.now();
        // Counted back from here, so that a clock which is set in between does not turn their order round.
        let ago = |ago: Duration| {
            Timestamp::from_micros(now.micros().saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)))
        };
        let dropped = live.dropped_for().map_or(now, ago);
        // Where nothing was taken away, what was on its way passed until the end.
        Self { cut: Some(live.cut_for().map_or(dropped, ago)), dropped }
    }
}

impl Visit {
    /// Asks the CA and reaches the target.
    async fn open(&self) -> Result<Session, Closed> {
        let gate = &self.gate;
        let asked = &self.destination;
        let key = Arc::new(self.ephemeral_key().map_err(|error| Words::say(format!("no key could be made: {error}")))?);
        let answer = self.ask(&key).await.map_err(|error| self.closed(&error))?;
        let session = answer.session.clone();
        let permit = match Permit::from_answer(answer, &self.person, asked, key) {
            Ok(permit) => permit,
            Err(error) => {
                let why = chain(&error);
                self.close_unused(&session, &why);
                return Err(Words::say(why).into());
            }
        };
        let live = Live::new(permit, self.outer.clone());
        gate.revocations.fresh(gate.config.feed_freshness.to_std(), gate.config.ca_timeout.to_std()).await;
        let registered = match gate.revocations.enter(&live, gate.config.feed_freshness.to_std()) {
            Ok(registered) => registered,
            Err(stale) => {
                self.close_unused(&session, &stale.to_string());
                return Err(Words::say(format!("no session can be opened now: {stale}"))
                    .hint("try again in a moment")
                    .into());
            }
        };
        let dialling = dial::dial(live.permit(), gate, |cutter| live.reach(&cutter));
        let dialled = tokio::select! {
            biased;
            () = live.stop().raised() => None,
            () = self.time_is_up(&live) => None,
            dialled = dialling => Some(dialled),
        };
        let blamed = match dialled {
            Some(Ok((target, arriving))) => {
                live.carry(&self.cutter);
                return Ok(Session { live, target: Arc::new(target), arriving, _registered: registered });
            }
            Some(Err(error)) => {
                let words = error.words();
                warn!(%session, "{}", words.line());
                // Certificates end with the second in which their grant does, and the target looks at them.
                let late = gate.now().seconds() >= live.deadline().borrow().seconds();
                let target = SessionEnd::Target { error: Some(chain(&error)) };
                let blamed = live.end(if late { SessionEnd::Expired } else { target }) && !late;
                blamed.then_some(words)
            }
            None => {
                live.end(SessionEnd::Expired);
                None
            }
        };
        // A target that is not reached because the session has ended is not to blame.
        let words = blamed
            .or_else(|| live.ended().and_then(|end| words::ended(end, live.permit())))
            .unwrap_or_else(|| Words::say("the session has ended"));
        self.receipt(&live, Gone::by_now(gate, &live));
        Err(words.into())
    }

    /// What the CA's refusal means for this person.
    fn closed(&self, error: &ControlError) -> Closed {
        let words = words::refused(error, &self.destination);
        let code = if let ControlError::Refused { code, .. } = error { code.as_str() } else { "" };
        match (&self.person.shown, code) {
            (Shown::Key(_), "no-active-grant") => {
                let words = words.hint("or come back with a terminal, ssh -t, and ask right here");
                Closed { words, missing: Some(Missing::Grant) }
            }
            (Shown::Key(pass), "factor-needed") if pass.authenticator() => {
                Closed { words, missing: Some(Missing::Code) }
            }
            (Shown::Key(_) | Shown::Certificate(_), _) => words.into(),
        }
    }

    /// Has the person supply what is missing, where they have a terminal, and opens the session then. Otherwise why not,
    /// and how long they may stay to read it.
    async fn supplied(
        &self,
        wishes: &mut mpsc::Receiver<Wish>,
        early: &mut Vec<Wish>,
        mut words: Words,
        missing: Missing,
    ) -> Result<(Session, Opened), (Words, Duration)> {
        let mut outcome = desk::at_the_door(self, wishes, early, &words, missing).await;
        let mut may_ask_again = missing == Missing::Grant;
        loop {
            let first = match outcome {
                Outcome::Granted(first) => first,
                Outcome::Told => return Err((words, SETTLE)),
                Outcome::Nobody => return Err((words, STAY)),
            };
            match self.open().await {
                Ok(session) => return Ok((session, first)),
                // A grant that was asked for elsewhere may take a code here.
                Err(Closed { words: why, missing: Some(Missing::Code) }) if may_ask_again => {
                    may_ask_again = false;
                    words = why;
                    outcome = desk::once_more(self, first, &words, Missing::Code).await;
                }
                Err(Closed { words, .. }) => {
                    bridge::refuse(first, &words, PATIENCE).await;
                    return Err((words, SETTLE));
                }
            }
        }
    }

    /// Waits until the grant's time is up.
    async fn time_is_up(&self, live: &Live) {
        let mut deadline = live.deadline();
        loop {
            let left = deadline.borrow_and_update().since(self.gate.now());
            if left.is_zero() {
                return;
            }
            // The clock of the machine may be set while one waits.
            let _ = tokio::time::timeout(left.min(STRETCH), deadline.changed()).await;
        }
    }

    /// Asks the CA. A call that takes too long is not forgotten: the session that it may open is closed again.
    async fn ask(&self, key: &PrivateKey) -> Result<OpenedSession, ControlError> {
        let public_key = key
            .public_key()
            .to_openssh()
            .map_err(|error| ControlError::Unavailable(format!("the key cannot be written: {error}")))?;
        let (target, login) = (self.destination.target.to_string(), self.destination.login.to_string());
        let (control, way) = (self.gate.control.clone(), self.way);
        let mut call = match (&self.person.shown, &self.presence) {
            (Shown::Key(pass), _) => {
                let (pass, ask) = (pass.clone(), EnterByPass { target, login, way, public_key });
                tokio::spawn(async move { control.enter(pass.token(), &ask).await })
            }
            (Shown::Certificate(certificate), Some(presence)) => {
                let (certificate, presence) = (certificate.clone(), presence.clone());
                let address = self.address.to_string();
                let ask = OpenSession { certificate, target, login, address, way, public_key, presence };
                tokio::spawn(async move { control.open(&ask).await })
            }
            (Shown::Certificate(_), None) => {
                return Err(ControlError::Unavailable("the log-in was used already".to_owned()));
            }
        };
        let timeout = self.gate.config.ca_timeout.to_std();
        match tokio::time::timeout(timeout, &mut call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ControlError::Unavailable("the call was given up".to_owned())),
            Err(_) => {
                let gate = self.gate.clone();
                tokio::spawn(async move {
                    if let Ok(Ok(late)) = call.await {
                        close_unused(&gate, &late.session, "the CA's answer came too late");
                    }
                });
                Err(ControlError::Unavailable(format!("no answer within {} s", timeout.as_secs())))
            }
        }
    }

    fn ephemeral_key(&self) -> Result<PrivateKey, ssh_key::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        self.gate.ambient.fill(seed.as_mut_slice());
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "")
    }

    fn close_unused(&self, session: &SessionId, why: &str) {
        close_unused(&self.gate, session, why);
    }

    /// The last fact of a session.
    fn receipt(&self, live: &Live, gone: Gone) {
        let Some(end) = live.ended() else { return };
        info!(session = %live.permit().session(), %end, "the session has ended");
        let Gone { cut, dropped } = gone;
        let ended = SessionReport::Ended { end: end.clone(), cut: cut.map(Into::into), dropped: dropped.into() };
        // The end of a session is always taken.
        let _ = self.gate.reporter.send(live.permit().session(), ended);
    }

    /// Carries the session until it ends.
    ///
    /// What was wished for `early` comes first.
    async fn carry(&self, session: Session, early: Vec<Wish>, wishes: &mut mpsc::Receiver<Wish>) {
        let Session { live, target, mut arriving, _registered } = session;
        let permit = live.permit();
        info!(session = %permit.session(), person = %permit.identity(), where_to = %permit.destination(), "a session begins");
        let mut channels = JoinSet::new();
        let mut closings = JoinSet::new();
        let mut forwards = Forwards::new(self.gate.clone(), live.clone(), target.clone(), self.handle.clone());
        for wish in early {
            self.fulfil(wish, &live, &target, &mut channels, &mut forwards);
        }
        self.attend(&live, &target, wishes, &mut arriving, &mut channels, &mut closings, &mut forwards).await;
        // What a person asked for and could not have is noted even if they left at once.
        while let Ok(wish) = wishes.try_recv() {
            match wish {
                Wish::Channel(_) => {}
                Wish::Forward(asked) => forwards.too_late(&asked.to, false),
                Wish::Listen(asked) => forwards.too_late(&asked.at, true),
            }
        }
        let gone = Box::pin(self.farewell(&live, &mut channels, &mut closings)).await;

        let rest = async {
            while let Some(closed) = channels.join_next().await {
                finish(&mut closings, closed);
            }
            while closings.join_next().await.is_some() {}
            forwards.finish().await;
        };
        if tokio::time::timeout(CLOSING, rest).await.is_err() {
            warn!(session = %permit.session(), "some recordings are not closed");
        }
        for more in live.more_refusals() {
            if let Err(backlog) = self.gate.reporter.send(permit.session(), more) {
                warn!(session = %permit.session(), "the number of refusals is not reported: {backlog}");
            }
        }
        self.receipt(&live, gone);
    }

    /// Opens channels and watches the clock, until the session ends.
    #[allow(clippy::too_many_arguments, reason = "they are what a session has, and each ends in its own way")]
    async fn attend(
        &self,
        live: &Arc<Live>,
        target: &Arc<Target>,
        wishes: &mut mpsc::Receiver<Wish>,
        arriving: &mut mpsc::Receiver<Box<Incoming>>,
        channels: &mut JoinSet<Closing>,
        closings: &mut JoinSet<()>,
        forwards: &mut Forwards,
    ) {
        let (gate, permit) = (&self.gate, live.permit());
        let mut schedule = Schedule::new(&gate.config.warnings, permit.obligations().idle_limit, gate.now());
        let mut deadline = live.deadline();
        let mut told = *deadline.borrow();
        let mut target_gone = false;
        loop {
            let ends = *deadline.borrow_and_update();
            if ends > told {
                live.tell(words::extended(ends, gate.now(), permit));
            }
            told = ends;
            let wait = match schedule.due(gate.now(), ends, live.idle()) {
                Due::Nothing(wait) => wait,
                Due::Warning(left) => {
                    live.tell(words::warning(left, ends, gate.now(), permit, gate.config.escape));
                    continue;
                }
                Due::Expired => {
                    live.end(SessionEnd::Expired);
                    return;
                }
                Due::Idle => {
                    live.end(SessionEnd::Idle);
                    return;
                }
            };
            tokio::select! {
                biased;
                () = live.stop().raised() => return,
                () = self.gone.raised() => {
                    live.end(SessionEnd::Client);
                    return;
                }
                () = target.gone().wait(), if !target_gone => target_gone = true,
                Some(closed) = channels.join_next() => finish(closings, closed),
                Some(_) = closings.join_next() => {}
                Some(()) = forwards.ended() => {}
                Some(wish) = wishes.recv() => self.fulfil(wish, live, target, channels, forwards),
                Some(incoming) = arriving.recv() => forwards.arrived(*incoming),
                _ = deadline.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            // What the target said last is passed on to the end before the session goes.
            if target_gone && channels.is_empty() && forwards.is_empty() {
                live.end(SessionEnd::Target { error: target.gone().why() });
            }
        }
    }

    /// Sets about what a person wants; nothing is waited for.
    fn fulfil(
        &self,
        wish: Wish,
        live: &Arc<Live>,
        target: &Arc<Target>,
        channels: &mut JoinSet<Closing>,
        forwards: &mut Forwards,
    ) {
        match wish {
            Wish::Channel(opened) => {
                let (gate, live, target) = (self.gate.clone(), live.clone(), target.clone());
                let number = live.next_channel();
                channels.spawn(bridge::run(gate, live, number, target, *opened));
            }
            Wish::Forward(asked) => forwards.open(*asked),
            Wish::Listen(asked) => forwards.listen(*asked),
        }
    }

    /// Says why the session ends, as far as the person takes it in time, and closes their connection. Returns when
    /// that was.
    async fn farewell(&self, live: &Live, channels: &mut JoinSet<Closing>, closings: &mut JoinSet<()>) -> Gone {
        // The time runs from the cut, however late this task comes to it.
        let late = live.cut_for().unwrap_or_default();
        let until = Instant::now() + self.gate.config.notice.to_std().saturating_sub(late);
        let words = live.ended().and_then(|end| words::ended(end, live.permit()));
        let mut ended = Vec::new();
        let said = match &words {
            Some(words) => {
                let notice = self.say(live, words, channels, &mut ended);
                tokio::time::timeout_at(until, notice).await.unwrap_or(false)
            }
            None => false,
        };
        if said {
            self.cutter.close();
        } else {
            self.cutter.cut();
        }
        live.words().raise();
        live.gone().raise();
        let gone = Gone::by_now(&self.gate, live);
        if words.is_some()
            && let Some(outer) = &self.outer
        {
            outer.leave(until.into_std().saturating_duration_since(std::time::Instant::now()));
        }
        // Recordings are closed behind it: the disk must not take the processor from those who are still to be dropped.
        ended.into_iter().for_each(|closed| finish(closings, closed));
        gone
    }

    /// Has every channel say its last words, and waits until they are with the kernel; `false` when nothing may be said.
    async fn say(
        &self,
        live: &Live,
        words: &Words,
        channels: &mut JoinSet<Closing>,
        ended: &mut Vec<Result<Closing, JoinError>>,
    ) -> bool {
        // Behind a cut no byte of the target may pass, so nothing is said to somebody who is still being sent some.
        if live.cut_for().is_some() && !(self.cutter.settled().await && live.outer_is_clear()) {
            return false;
        }
        self.cutter.speak();
        live.words().raise();
        while let Some(closed) = channels.join_next().await {
            ended.push(closed);
        }
        // Whoever was told on a channel gets no disconnect message behind it: a client that reads both at once throws
        // away what it has not printed.
        if ended.is_empty() {
            let said = self.handle.disconnect(Disconnect::ByApplication, words.line(), String::new());
            let _ = said.await;
        }
        self.cutter.leave();
        self.cutter.finished().await;
        true
    }

    /// Tells a person why not, on every channel that they open, and hangs up.
    async fn turn_away(&self, wishes: &mut mpsc::Receiver<Wish>, words: &Words, stay: Duration) {
        let mut told = JoinSet::new();
        // Channels that are opened without end do not put it off.
        let end = Instant::now() + stay;
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = self.gone.raised() => return,
                () = &mut patience => break,
                () = tokio::time::sleep_until(end) => break,
                Some(wish) = wishes.recv() => {
                    let words = words.clone();
                    if let Wish::Listen(asked) = wish {
                        asked.reply.reject();
                    } else {
                        told.spawn(async move { wish.decline(&words).await });
                    }
                }
                // A client drops what it has not yet printed when it is disconnected, so it is left to hang up by itself.
                Some(_) = told.join_next() => patience.as_mut().reset(Instant::now() + SETTLE),
            }
        }
        self.hang_up(words).await;
    }

    /// Says why, within the time that a notice has, and closes the person's connection.
    async fn hang_up(&self, words: &Words) {
        let notice = async {
            let said = self.handle.disconnect(Disconnect::ByApplication, words.line(), String::new());
            let _ = said.await;
            self.cutter.finished().await;
        };
        match tokio::time::timeout(self.gate.config.notice.to_std(), notice).await {
            Ok(()) => self.cutter.close(),
            Err(_) => self.cutter.cut(),
        }
    }
}

/// Closes a session that the CA opened and nobody will use.
fn close_unused(gate: &Gate, session: &SessionId, why: &str) {
    warn!(%session, "a session is closed unused: {why}");
    let end = SessionEnd::Proxy { reason: why.to_owned() };
    // The end of a session is always taken.
    let _ = gate.reporter.send(session, SessionReport::Ended { end, cut: None, dropped: gate.now().into() });
}

/// A channel that has ended is closed in the background, so that the disk holds up nothing.
fn finish(closings: &mut JoinSet<()>, closed: Result<Closing, JoinError>) {
    match closed {
        Ok(closing) => {
            closings.spawn(closing.finish());
        }
        Err(error) => warn!("a channel's task failed: {error}"),
    }
}
