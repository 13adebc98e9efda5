//! Forwards: ports, sockets, the agent and X11, in both directions, each judged by the grant.
//!
//! A session has any number of them on one connection, and needs no other channel for them. What passes is counted and
//! not recorded. The person opens what [`direct`] carries; the target opens what [`incoming`] carries, and only as the
//! [`Rights`] say, which the person's own requests make.
//!
//! Each forward is a task of its own, so that one which waits, for a dead destination or for a peer that reads nothing,
//! holds up no other. All of them end with the session.

mod direct;
mod incoming;
mod judge;
mod listen;
mod pace;
mod relay;
mod rights;

use std::sync::Arc;
use std::time::Duration;

use api::wire::SessionReport;
use model::{ChannelEnd, ChannelKind, ClosedBy, Forward, Peer, SessionEnd};
use russh::{ChannelOpenFailure, server};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use crate::dial::Target;
use crate::gate::Gate;
use crate::inner::PROHIBITED;
use crate::refusals::Asker;
use crate::registry::Live;
use crate::signal::{RaiseOnDrop, Signal};
use crate::words::Words;

pub(crate) use incoming::{Arrived, Incoming};
pub(crate) use judge::{bars_agent, bars_x11};
pub(crate) use rights::Rights;

use pace::Pace;

/// How many channels a target may have open towards the person at a time. With the listeners and the channels that the
/// person opens they are as many as the ledger takes.
const INCOMING: usize = 32;
/// Where a person's listeners on the target end.
const LISTENERS: usize = 32;
/// How many channels of a target may wait to be looked at.
pub(crate) const WAITING: usize = 32;
/// How long whoever connects to the end of a forward may take. A kernel gives up before that.
const CONNECT: Duration = Duration::from_secs(150);
/// How long a close may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// The reason code of "connect failed" (RFC 4254, section 5.1), with words of our own.
const CONNECT_FAILED: u32 = 2;

/// An end of a forward, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// TCP.
    Tcp { host: String, port: u32 },
    /// A Unix-domain socket.
    Socket(String),
}

impl End {
    fn peer(&self) -> Peer<'_> {
        match self {
            Self::Tcp { host, port } => Peer::Tcp { host, port: *port },
            Self::Socket(path) => Peer::Socket(path),
        }
    }

    /// As it is shown, without control characters.
    fn shown(&self) -> String {
        self.peer().to_string()
    }
}

/// A connection that a person wants from the target.
pub(crate) struct Asked {
    pub(crate) to: End,
    /// Where it comes from, as the client says.
    pub(crate) from: Option<End>,
    pub(crate) channel: russh::Channel<server::Msg>,
    pub(crate) reply: server::ChannelOpenHandle,
    /// Raised when the person has closed it; a channel that does not come about is never closed.
    pub(crate) closed: Signal,
    /// Raised when it has ended here, and the ledger is told.
    pub(crate) done: RaiseOnDrop,
}

impl Asked {
    /// Says no, with the reason where ssh shows it.
    pub(crate) async fn refuse(self, code: u32, reason: String) {
        self.closed.raise();
        self.reply.reject(ChannelOpenFailure::Other { code, reason }).await;
    }

    /// Says why not.
    pub(crate) async fn forbid(self, words: &Words) {
        self.refuse(PROHIBITED, words.line()).await;
    }
}

/// What a person wants the target to do about a listener.
pub(crate) struct ListenAsked {
    pub(crate) at: End,
    /// It is to end.
    pub(crate) cancel: bool,
    pub(crate) reply: server::GlobalRequestReply,
}

/// All forwards of one session.
pub(crate) struct Forwards {
    desk: Arc<Desk>,
    tasks: JoinSet<()>,
    /// To the task that deals with listeners one after the other, since replies have an order and no names. Few sessions
    /// have one.
    listens: Option<mpsc::Sender<Box<listen::Due>>>,
    listening: JoinSet<()>,
}

/// What every forward of a session needs.
struct Desk {
    gate: Arc<Gate>,
    live: Arc<Live>,
    target: Arc<Target>,
    handle: server::Handle,
    /// Places for what the target opens.
    places: Arc<Semaphore>,
    pace: Pace,
}

impl Forwards {
    pub(crate) fn new(gate: Arc<Gate>, live: Arc<Live>, target: Arc<Target>, handle: server::Handle) -> Self {
        let places = Arc::new(Semaphore::new(INCOMING));
        let desk = Arc::new(Desk { gate, live, target, handle, places, pace: Pace::new() });
        Self { desk, tasks: JoinSet::new(), listens: None, listening: JoinSet::new() }
    }

    /// A person wants a connection.
    pub(crate) fn open(&mut self, asked: Asked) {
        self.tasks.spawn(direct::run(self.desk.clone(), asked));
    }

    /// A person wants a listener, or to be rid of one.
    pub(crate) fn listen(&mut self, asked: ListenAsked) {
        if !asked.cancel
            && let Some(words) = judge::bars_listen(self.desk.live.permit(), &asked.at)
        {
            self.desk.refuse(format!("a listener on {}", asked.at.shown()), words.first());
            self.desk.live.regret(words);
            asked.reply.reject();
            return;
        }
        self.desk.live.rights().listen_asked();
        let listens = self.listens.get_or_insert_with(|| {
            let (listens, queue) = mpsc::channel(LISTENERS);
            self.listening.spawn(listen::run(self.desk.clone(), queue));
            listens
        });
        // Whoever asks faster than the target answers is refused.
        if listens.try_send(Box::new(listen::Due::new(asked))).is_err() {
            self.desk.live.rights().listen_answered();
        }
    }

    /// The target has opened a channel.
    pub(crate) fn arrived(&mut self, incoming: Incoming) {
        self.tasks.spawn(incoming::run(self.desk.clone(), incoming));
    }

    /// Whether none is open, nor about to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for one to end; `None` when there is none.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        let ended = self.tasks.join_next().await?;
        if let Err(error) = ended {
            warn!("a forward's task failed: {error}");
        }
        Some(())
    }

    /// Notes what was asked too late to be judged while the session lasted, if it would have been refused.
    pub(crate) fn too_late(&self, asked: &End, listen: bool) {
        let permit = self.desk.live.permit();
        let (what, words) = if listen {
            ("a listener on", judge::bars_listen(permit, asked))
        } else {
            ("a connection to", judge::bars_open(permit, asked))
        };
        if let Some(words) = words {
            self.desk.refuse(format!("{what} {}", asked.shown()), words.first());
        }
    }

    /// Waits until all have ended, and tells the ledger of the listeners that went with the session.
    pub(crate) async fn finish(&mut self) {
        while self.ended().await.is_some() {}
        for number in self.desk.live.rights().clear() {
            self.desk.closed(number, ChannelEnd::default(), ClosedBy::Session);
        }
    }
}

impl Desk {
    /// The ledger learns of a forward, which gets its number.
    fn opened(&self, forward: Forward) -> u32 {
        let channel = self.live.next_channel();
        let channel_kind = ChannelKind::Forward(forward);
        self.report(SessionReport::ChannelOpened { channel, channel_kind, pty: None });
        channel
    }

    /// The ledger learns how a forward ended.
    fn closed(&self, channel: u32, end: ChannelEnd, by: ClosedBy) {
        let end = ChannelEnd { closed_by: Some(by), ..end };
        self.report(SessionReport::ChannelClosed { channel, end });
    }

    /// The ledger learns what the person was refused, unless it hears of too much of that.
    fn refuse(&self, asked: String, reason: &str) {
        self.refused(Asker::Person, asked, reason);
    }

    /// The same of what the target was refused.
    fn refuse_target(&self, asked: &Forward, reason: &str) {
        self.refused(Asker::Target, asked.to_string(), reason);
    }

    fn refused(&self, by: Asker, asked: String, reason: &str) {
        if let Some(refused) = self.live.refusal(by, asked, reason) {
            self.report(refused);
        }
    }

    /// Tells the ledger. A session whose story the ledger does not take ends.
    fn report(&self, report: SessionReport) {
        if let Err(backlog) = self.gate.reporter.send(self.live.permit().session(), report) {
            warn!(session = %self.live.permit().session(), "{backlog}");
            self.live.end(SessionEnd::Proxy { reason: backlog.to_string() });
        }
    }

    /// The target's name.
    fn name(&self) -> String {
        self.live.permit().destination().target.to_string()
    }
}

/// How a peer refused to open a channel: with its own code and in its own words, which are text and have an end.
fn refusal(error: &russh::Error, who: &str) -> (u32, String) {
    if let russh::Error::ChannelOpenFailure(failure) = error {
        let said = Words::say(format!("{who} says: {}", failure.description()));
        return (failure.code(), said.line());
    }
    (CONNECT_FAILED, Words::say(format!("{who} opens nothing: {error}")).line())
}
