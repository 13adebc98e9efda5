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
    _place: Place<IdentityName>,
}

/// The reason code of "administratively prohibited" (RFC 4254, section 5.1), with words of our own.
const PROHIBITED: u32 = 1;

impl Outer {
    pub(crate) fn new(person: Person, cutter: Cutter, gone: Signal, place: Place<IdentityName>) -> Arc<Self> {
        Arc::new(Self { person, cutter, gone, inners: AtomicUsize::new(0), _place: place })
    }

    /// Who opened it.
    pub(crate) const fn person(&self) -> &Person {
        &self.person
    }

    /// How many connections it carries.
    pub(crate) fn carries(&self) -> usize {
        self.inners.load(Ordering::Relaxed)
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
    outer: Arc<Outer>,
    target: TargetName,
    address: std::net::IpAddr,
    channel: russh::Channel<server::Msg>,
    reply: server::ChannelOpenHandle,
) {
    outer.inners.fetch_add(1, Ordering::Relaxed);
    let _count = Counted(outer.clone());
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

struct Counted(Arc<Outer>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.inners.fetch_sub(1, Ordering::Relaxed);
    }
}
