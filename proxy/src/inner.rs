//! The way in through `ssh -J`: a connection inside a connection, which ends here and not at the target.
//!
//! The person's own client asks the proxy, as a jump host, for a connection to the target. It gets one to a second SSH
//! server in this process, which shows a host certificate for the target's name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{IdentityName, TargetName};
use russh::{ChannelOpenFailure, server};
use tracing::debug;

use crate::auth::Person;
use crate::control::ControlError;
use crate::cut::{Cuttable, Cutter};
use crate::gate::Gate;
use crate::limits::Place;
use crate::server::{Position, serve};
use crate::signal::Signal;

/// A connection that carries others.
#[derive(Debug)]
pub(crate) struct Outer {
    person: Person,
    cutter: Cutter,
    gone: Signal,
    inners: AtomicUsize,
    /// Raised when it has no more business here: it ends with the last connection that it carries.
    leaving: Signal,
    _place: Place<IdentityName>,
}

/// The reason code of "administratively prohibited" (RFC 4254, section 5.1), with words of our own.
pub(crate) const PROHIBITED: u32 = 1;
/// The reason code of "resource shortage" (RFC 4254, section 5.1), with words of our own.
pub(crate) const SHORTAGE: u32 = 4;
/// How long the last words of what it carried may take to get out of a connection that is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Outer {
    pub(crate) fn new(person: Person, cutter: Cutter, gone: Signal, place: Place<IdentityName>) -> Arc<Self> {
        Arc::new(Self { person, cutter, gone, inners: AtomicUsize::new(0), leaving: Signal::default(), _place: place })
    }

    /// Who opened it.
    pub(crate) const fn person(&self) -> &Person {
        &self.person
    }

    /// How many connections it carries.
    pub(crate) fn carries(&self) -> usize {
        self.inners.load(Ordering::SeqCst)
    }

    /// Takes a place for one more connection inside; `None` when it carries this many, or is about to end.
    pub(crate) fn carry(self: &Arc<Self>, most: usize) -> Option<Carried> {
        let one_more = |carries: usize| (carries < most).then_some(carries + 1);
        self.inners.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        let carried = Carried(self.clone());
        // Looked at behind the count, so that whoever dismisses it sees the one or is seen.
        (!self.leaving.is_raised()).then_some(carried)
    }

    /// Ends it: at once when it carries nothing, else with the last that it carries.
    pub(crate) fn dismiss(&self) {
        self.leaving.raise();
        if self.carries() == 0 {
            self.cutter.cut();
        }
    }

    /// A session inside was taken away: what it sent before must not arrive behind that. Ends the connection when it
    /// still holds something, whoever else is in it, since nobody can tell whose that is; `false` then.
    pub(crate) fn clear(&self) -> bool {
        let clear = self.cutter.is_clear();
        if !clear {
            self.cutter.cut();
        }
        clear
    }

    /// A session inside was ended from our side. A client that does not hang up the outer connection by itself, within
    /// the time that a notice has, loses it, unless it carries something else.
    pub(crate) fn leave(self: &Arc<Self>, within: Duration) {
        if self.cutter.is_blocked() && self.carries() <= 1 {
            self.cutter.cut();
            return;
        }
        let outer = self.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(within, outer.gone.raised()).await.is_err() && outer.carries() == 0 {
                outer.cutter.cut();
            }
        });
    }
}

/// A connection that a person asked for through the jump host.
pub(crate) async fn enter(
    gate: Arc<Gate>,
    carried: Carried,
    target: TargetName,
    address: std::net::IpAddr,
    channel: russh::Channel<server::Msg>,
    reply: server::ChannelOpenHandle,
) {
    let outer = carried.0.clone();
    carry(gate, outer.clone(), target, address, channel, reply).await;
    drop(carried);
    if outer.leaving.is_raised() {
        outer.leave(LAST_WORDS);
    }
}

async fn carry(
    gate: Arc<Gate>,
    outer: Arc<Outer>,
    target: TargetName,
    address: std::net::IpAddr,
    channel: russh::Channel<server::Msg>,
    reply: server::ChannelOpenHandle,
) {
    let config = match gate.hosts.face(Some(&target)).await {
        Ok(config) => config,
        Err(error) => {
            let reason = match error {
                ControlError::Refused { sentence, .. } => format!("portcullis: {sentence}"),
                ControlError::Unavailable(why) => format!("portcullis: {target} cannot be reached now: {why}"),
            };
            debug!(%target, "a jump is refused: {reason}");
            reply.reject(ChannelOpenFailure::Other { code: PROHIBITED, reason }).await;
            return;
        }
    };
    reply.accept().await;
    let (stream, cutter) = Cuttable::new(channel.into_stream());
    let position = Position::Behind { target, outer: outer.clone() };
    let serving = serve(gate, config, stream, cutter.clone(), position, address, None);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = outer.gone.raised() => {
            // Nobody opens the window of a connection that is gone, so whoever waits for it must be told.
            cutter.cut();
            serving.await;
        }
    }
}

/// The place of one connection inside of another.
#[derive(Debug)]
pub(crate) struct Carried(Arc<Outer>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.inners.fetch_sub(1, Ordering::SeqCst);
    }
}
