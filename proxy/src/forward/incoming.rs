//! What the target opens towards the person: connections to its listeners, to the agent, and to the screen.
//!
//! A target may be hostile, and opens what it likes. Only what the person asked for, and was granted, reaches them.

use std::net::IpAddr;
use std::sync::Arc;

use model::Forward;
use russh::{ChannelOpenFailure, client, server};
use tokio::time::timeout;

use crate::inner::PROHIBITED;
use crate::words::Words;

use super::{CONNECT, CONNECT_FAILED, Desk, End, PATIENCE, refusal, relay};

/// A channel that the target has opened.
pub(crate) struct Incoming {
    pub(crate) what: Arrived,
    pub(crate) channel: russh::Channel<client::Msg>,
    pub(crate) reply: client::ChannelOpenHandle,
}

/// What it is for, as the target says.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// A connection to a listener.
    Forwarded { at: End, from: Option<End> },
    /// A question to the agent.
    Agent,
    /// A window.
    X11 { from: End },
}

impl Arrived {
    fn forward(&self) -> Forward {
        match self {
            Self::Forwarded { at, from } => Forward::Forwarded { at: at.shown(), from: from.as_ref().map(End::shown) },
            Self::Agent => Forward::Agent,
            Self::X11 { from } => Forward::X11 { from: from.shown() },
        }
    }
}

/// Looks at it, and carries it until it ends.
pub(super) async fn run(desk: Arc<Desk>, incoming: Incoming) {
    let Incoming { what, channel, reply } = incoming;
    let forward = what.forward();
    let Ok(_place) = desk.places.clone().try_acquire_owned() else {
        desk.refuse_target(&forward, "the target has too many open already");
        reply.reject(ChannelOpenFailure::ResourceShortage).await;
        return;
    };
    let admitted = tokio::select! {
        biased;
        () = desk.live.stop().raised() => return,
        admitted = async {
            // Looked at last: what was asked for may be taken back while one waits for one's turn.
            desk.pace.turn().await;
            admits(&desk, &what).await
        } => admitted,
    };
    if let Err(why) = admitted {
        desk.refuse_target(&forward, why);
        let reason = Words::say(why).line();
        reply.reject(ChannelOpenFailure::Other { code: PROHIBITED, reason }).await;
        return;
    }
    let opening = open(&desk.handle, &what);
    tokio::pin!(opening);
    let opened = tokio::select! {
        biased;
        () = desk.live.stop().raised() => return,
        opened = timeout(CONNECT, &mut opening) => opened,
    };
    match opened {
        Ok(Ok(person)) => {
            let number = desk.opened(forward);
            reply.accept().await;
            let (end, by) = relay::run(&desk.live, &desk.handle, person, channel).await;
            desk.closed(number, end, by);
        }
        Ok(Err(error)) => {
            let (code, reason) = refusal(&error, "the client");
            desk.refuse_target(&forward, &reason);
            reply.reject(ChannelOpenFailure::Other { code, reason }).await;
        }
        Err(_) => {
            let reason = Words::say("the client did not answer").line();
            desk.refuse_target(&forward, &reason);
            reply.reject(ChannelOpenFailure::Other { code: CONNECT_FAILED, reason }).await;
            tokio::select! {
                () = desk.live.stop().raised() => {}
                late = opening => if let Ok(late) = late {
                    let _ = timeout(PATIENCE, late.close()).await;
                },
            }
        }
    }
}

/// Whether the person wants it; why not, otherwise.
async fn admits(desk: &Desk, what: &Arrived) -> Result<(), &'static str> {
    let rights = desk.live.rights();
    let wanted = match what {
        Arrived::Forwarded { at, .. } => {
            rights.settled().await;
            rights.listens(at)
        }
        Arrived::Agent => rights.has_agent(),
        Arrived::X11 { .. } => rights.take_x11(),
    };
    if wanted { Ok(()) } else { Err("the target opened it, and nobody here asked for it") }
}

async fn open(handle: &server::Handle, what: &Arrived) -> Result<russh::Channel<server::Msg>, russh::Error> {
    match what {
        Arrived::Forwarded { at: End::Tcp { host, port }, from } => {
            let (address, from_port) = originator(from.as_ref());
            handle.channel_open_forwarded_tcpip(host, *port, address, from_port).await
        }
        Arrived::Forwarded { at: End::Socket(path), .. } => handle.channel_open_forwarded_streamlocal(path).await,
        Arrived::Agent => handle.channel_open_agent().await,
        Arrived::X11 { from } => {
            let (address, port) = originator(Some(from));
            handle.channel_open_x11(address, port).await
        }
    }
}

/// Where it comes from, for the client's own log: an address, and nothing else that a target may say there.
fn originator(from: Option<&End>) -> (String, u32) {
    match from {
        Some(End::Tcp { host, port }) if host.parse::<IpAddr>().is_ok() => (host.clone(), *port),
        Some(End::Tcp { .. } | End::Socket(_)) | None => (String::new(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_an_address_or_nothing() {
        let from = |host: &str| originator(Some(&End::Tcp { host: host.to_owned(), port: 7 }));
        assert_eq!(from("10.0.0.1"), ("10.0.0.1".to_owned(), 7));
        assert_eq!(from("::1"), ("::1".to_owned(), 7));
        for host in ["\x1b[2J", "localhost", "", "10.0.0.1\n"] {
            assert_eq!(from(host), (String::new(), 0), "{host:?}");
        }
    }
}
