//! A connection of the person's through the target: `-L`, `-D`, `-W`.

use std::sync::Arc;

use model::Forward;
use russh::ChannelOpenFailure;
use tokio::time::timeout;

use crate::words::Words;

use super::{Asked, CONNECT, CONNECT_FAILED, Desk, End, PATIENCE, judge, refusal, relay};

/// Opens it and carries it until it ends.
pub(super) async fn run(desk: Arc<Desk>, asked: Asked) {
    let what = format!("a connection to {}", asked.to.shown());
    if let Some(words) = judge::bars_open(desk.live.permit(), &asked.to) {
        desk.refuse(what, words.first());
        asked.forbid(&words).await;
        return;
    }
    let (to, from) = (asked.to.clone(), asked.from.clone());
    tokio::select! {
        biased;
        () = desk.live.stop().raised() => return,
        () = desk.pace.turn() => {}
    }
    let opening = desk.target.connect(&to, from.as_ref());
    tokio::pin!(opening);
    let opened = tokio::select! {
        biased;
        () = desk.live.stop().raised() => return,
        opened = timeout(CONNECT, &mut opening) => opened,
    };
    match opened {
        Ok(Ok(channel)) => {
            let forward = Forward::Direct { to: to.shown(), from: from.as_ref().map(End::shown) };
            let number = desk.opened(forward);
            let Asked { channel: person, reply, done: _done, .. } = asked;
            reply.accept().await;
            let (end, by) = relay::run(&desk.live, &desk.handle, person, channel).await;
            desk.closed(number, end, by);
        }
        Ok(Err(error)) => {
            let (code, reason) = refusal(&error, &desk.name());
            desk.refuse(what, &reason);
            asked.refuse(code, reason).await;
        }
        Err(_) => {
            let words = Words::say(format!("{} did not connect within {} s", desk.name(), CONNECT.as_secs()));
            desk.refuse(what, words.first());
            let Asked { reply, closed, done: _done, .. } = asked;
            closed.raise();
            reply.reject(ChannelOpenFailure::Other { code: CONNECT_FAILED, reason: words.line() }).await;
            // What comes about after all is not left open at the target, and has its place until then.
            tokio::select! {
                () = desk.live.stop().raised() => {}
                late = opening => if let Ok(late) = late {
                    let _ = timeout(PATIENCE, late.close()).await;
                },
            }
        }
    }
}
