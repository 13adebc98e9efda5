//! Carries bytes between two channels, in both directions, until either side closes or the session ends.
//!
//! Every wait is for a window, and windows open only as the other side takes what was sent: so what waits in here is
//! bounded by them. The end of one direction is passed on by itself, and a close only behind all data before it.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{ChannelEnd, ClosedBy};
use russh::{ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client, server};
use tokio::time::timeout;

use crate::bridge::wants_reply;
use crate::registry::Live;

use super::PATIENCE;

/// Carries until the end; what passed, and who ended it.
pub(super) async fn run(
    live: &Live,
    handle: &server::Handle,
    person: russh::Channel<server::Msg>,
    target: russh::Channel<client::Msg>,
) -> (ChannelEnd, ClosedBy) {
    let (bytes_in, bytes_out) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut person_read, person) = person.split();
    let (mut target_read, target) = target.split();
    let by = tokio::select! {
        biased;
        () = live.stop().raised() => ClosedBy::Session,
        by = down(live, &mut target_read, &person, &bytes_out) => by,
        () = up(live, handle, person.id(), &mut person_read, &target, &bytes_in) => ClosedBy::Person,
    };
    match by {
        ClosedBy::Person => {
            let _ = timeout(PATIENCE, target.close()).await;
        }
        ClosedBy::Target => {
            let _ = timeout(PATIENCE, person.close()).await;
        }
        // Both connections end. Until the session's last words may be said, nothing is given up here: to open a window
        // again is a packet, and while one is on its way, nothing is said.
        ClosedBy::Session => drop(timeout(PATIENCE, live.words().raised()).await),
    }
    let count = |bytes: AtomicU64| bytes.into_inner();
    (ChannelEnd { bytes_in: count(bytes_in), bytes_out: count(bytes_out), ..ChannelEnd::default() }, by)
}

/// From the person to the target.
async fn up(
    live: &Live,
    handle: &server::Handle,
    id: ChannelId,
    person: &mut ChannelReadHalf,
    target: &ChannelWriteHalf<client::Msg>,
    bytes: &AtomicU64,
) {
    while let Some(msg) = person.wait().await {
        let sent = if let ChannelMsg::Data { data } = msg {
            live.touch();
            bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            target.data_bytes(data).await
        } else if matches!(msg, ChannelMsg::Eof) {
            target.eof().await
        } else if matches!(msg, ChannelMsg::Close) {
            return;
        } else {
            // A forward knows no requests.
            if wants_reply(&msg) {
                let _ = handle.channel_failure(id).await;
            }
            Ok(())
        };
        if sent.is_err() {
            // What the target said before it went is still on its way down.
            return std::future::pending().await;
        }
    }
}

/// From the target to the person.
async fn down(
    live: &Live,
    target: &mut ChannelReadHalf,
    person: &ChannelWriteHalf<server::Msg>,
    bytes: &AtomicU64,
) -> ClosedBy {
    while let Some(msg) = target.wait().await {
        let sent = if let ChannelMsg::Data { data } = msg {
            live.touch();
            bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            let Some(data) = live.pass(data) else { return ClosedBy::Session };
            person.data_bytes(data).await
        } else if matches!(msg, ChannelMsg::Eof) {
            person.eof().await
        } else if matches!(msg, ChannelMsg::Close) {
            return ClosedBy::Target;
        } else {
            Ok(())
        };
        if sent.is_err() {
            return ClosedBy::Person;
        }
    }
    ClosedBy::Target
}
