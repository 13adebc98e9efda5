//! Listeners on the target: `-R`.
//!
//! Replies to global requests have an order and no names, on both connections. So they are dealt with one after the other.
//! What a person asks behind one waits for it, and a client's own sign of life (`keepalive@openssh.com`) is such a request:
//! so each is answered within a bound, whatever the target does.

use std::sync::Arc;
use std::time::Duration;

use model::{ChannelEnd, ClosedBy, Forward};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{Desk, End, LISTENERS, ListenAsked};

/// The longest that a person waits for the answer, and every later one with it. OpenSSH with `ServerAliveInterval 15` gives
/// up after a minute without an answer, and some clients earlier.
const ANSWER: Duration = Duration::from_secs(5);

/// What is asked, and when its answer is due: those that wait for each other do not add up.
pub(super) struct Due {
    asked: ListenAsked,
    at: Instant,
}

impl Due {
    pub(super) fn new(asked: ListenAsked) -> Self {
        Self { asked, at: Instant::now() + ANSWER }
    }
}

/// Deals with what is asked until the session ends.
pub(super) async fn run(desk: Arc<Desk>, mut queue: mpsc::Receiver<Box<Due>>) {
    // Listeners whose answer came too late, or has not come yet: they are taken back.
    let mut late = JoinSet::new();
    while let Some(next) = queue.recv().await {
        let Due { asked, at: due } = *next;
        while late.try_join_next().is_some() {}
        let answering = async {
            if asked.cancel {
                cancel(&desk, asked, due).await;
            } else {
                listen(&desk, asked, due, &mut late).await;
            }
        };
        tokio::select! {
            biased;
            () = desk.live.stop().raised() => return,
            () = answering => {}
        }
        desk.live.rights().listen_answered();
    }
}

async fn listen(desk: &Arc<Desk>, asked: ListenAsked, due: Instant, late: &mut JoinSet<()>) {
    let ListenAsked { at, reply, .. } = asked;
    let what = format!("a listener on {}", at.shown());
    let rights = desk.live.rights();
    if rights.listeners() >= LISTENERS {
        desk.refuse(what, &format!("the session has {LISTENERS} listeners, which is the limit"));
        return;
    }
    if rights.listens(&at) {
        desk.refuse(what, "it is there already");
        return;
    }
    // A target that answers nothing is not asked more and more.
    if Instant::now() >= due || late.len() >= LISTENERS {
        desk.refuse(what, &format!("{} has not answered others yet", desk.name()));
        return;
    }
    let (target, end) = (desk.target.clone(), at.clone());
    let mut call = Box::pin(async move { target.listen(&end).await });
    let Ok(answer) = timeout_at(due, &mut call).await else {
        desk.refuse(what, &format!("{} did not answer within {} s", desk.name(), ANSWER.as_secs()));
        // It may come about after all, and nobody would know of it.
        let desk = desk.clone();
        late.spawn(async move {
            if let Ok(port) = call.await {
                let _ = timeout(desk.gate.config.dial_timeout.to_std(), desk.target.unlisten(&bound(at, port))).await;
            }
        });
        return;
    };
    let (bound, port) = match (answer, at) {
        (Ok(port), End::Tcp { host, port: 0 }) if (1..=u32::from(u16::MAX)).contains(&port) => {
            (End::Tcp { host, port }, Some(port))
        }
        (Ok(_), End::Tcp { port: 0, .. }) => {
            desk.refuse(what, &format!("{} does not say on which port", desk.name()));
            return;
        }
        (Ok(_), at) => (at, None),
        (Err(error), at) => {
            debug!(at = %at.shown(), "the target does not listen: {error}");
            desk.refuse(what, &format!("{} does not listen there", desk.name()));
            return;
        }
    };
    let number = desk.opened(Forward::Listener { at: bound.shown() });
    // A target that gives the same port twice has one listener there.
    if let Some(before) = rights.remove_listener(&bound) {
        desk.closed(before, ChannelEnd::default(), ClosedBy::Target);
    }
    rights.add_listener(bound, number);
    reply.accept(port);
}

/// Where a listener is whose port was left open.
fn bound(at: End, port: u32) -> End {
    match at {
        End::Tcp { host, port: 0 } => End::Tcp { host, port },
        at @ (End::Tcp { .. } | End::Socket(_)) => at,
    }
}

async fn cancel(desk: &Desk, asked: ListenAsked, due: Instant) {
    let ListenAsked { at, reply, .. } = asked;
    // From here on nothing comes in through it, whatever the target says.
    let Some(number) = desk.live.rights().remove_listener(&at) else { return };
    desk.closed(number, ChannelEnd::default(), ClosedBy::Person);
    if matches!(timeout_at(due, desk.target.unlisten(&at)).await, Ok(Ok(()))) {
        reply.accept(None);
    }
}
