//! Listeners on the target: `-R`.
//!
//! Replies to global requests have an order and no names, on both connections. So they are dealt with one after the other.

use std::sync::Arc;

use model::{ChannelEnd, ClosedBy, Forward};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use super::{Desk, End, LISTENERS, ListenAsked};

/// Deals with what is asked until the session ends.
pub(super) async fn run(desk: Arc<Desk>, mut queue: mpsc::Receiver<Box<ListenAsked>>) {
    while let Some(asked) = queue.recv().await {
        let answering = async {
            if asked.cancel {
                cancel(&desk, *asked).await;
            } else {
                listen(&desk, *asked).await;
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

async fn listen(desk: &Desk, asked: ListenAsked) {
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
    let within = desk.gate.config.dial_timeout.to_std();
    let Ok(answer) = timeout(within, desk.target.listen(&at)).await else {
        desk.refuse(what, &format!("{} did not answer", desk.name()));
        // It may come about after all, and nobody would know of it.
        let _ = timeout(within, desk.target.unlisten(&at)).await;
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

async fn cancel(desk: &Desk, asked: ListenAsked) {
    let ListenAsked { at, reply, .. } = asked;
    // From here on nothing comes in through it, whatever the target says.
    let Some(number) = desk.live.rights().remove_listener(&at) else { return };
    desk.closed(number, ChannelEnd::default(), ClosedBy::Person);
    let within = desk.gate.config.dial_timeout.to_std();
    if matches!(timeout(within, desk.target.unlisten(&at)).await, Ok(Ok(()))) {
        reply.accept(None);
    }
}
