//! One session, from the question to the CA to the receipt.

mod farewell;
mod open;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::wire::{Presence, SessionReport};
use model::{SessionEnd, Timestamp, WayIn};
use russh::server;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::{info, warn};

use crate::auth::Person;
use crate::bridge::{self, Closing, Opened};
use crate::clock::{Due, Schedule};
use crate::cut::Cutter;
use crate::destination::Destination;
use crate::dial::Target;
use crate::forward::{Asked, Forwards, Incoming, ListenAsked};
use crate::gate::Gate;
use crate::inner::Outer;
use crate::registry::{Live, Registered};
use crate::signal::Signal;
use crate::words::{self, Words};

use open::Closed;

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
