//! Sees a crowd off that was cut at once: some at a time.
//!
//! To be told why takes a session some ten turns of its tasks. When a thousand of them are woken together, each turn
//! waits behind a thousand others, and all of them are told at the very end, or not at all before their time is over. One
//! handful after the other, those who are first are gone while the last still wait, and more are told. What is left to do
//! behind somebody who is gone, recordings to close and facts to report, waits for the last of the crowd.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::registry::Live;
use crate::signal::Signal;

/// How many are seen off at a time.
const HANDFUL: usize = 16;
/// The longest that one handful may hold up the next.
const TURN: Duration = Duration::from_millis(5);

/// Dismisses sessions that were cut now, and raises `gone` when all of them are. Nobody is waited for any more once
/// `notice` is over; then it is the sweeper who raises it.
pub(crate) fn see_off(crowd: Vec<Arc<Live>>, notice: Duration, gone: Signal) {
    let until = Instant::now() + notice;
    if crowd.len() <= HANDFUL {
        crowd.iter().for_each(|live| live.dismiss());
        gone.raise();
        return;
    }
    tokio::spawn(async move {
        for handful in crowd.chunks(HANDFUL) {
            handful.iter().for_each(|live| live.dismiss());
            let left = until.saturating_duration_since(Instant::now());
            // Whoever takes longer goes on, beside the next.
            let _ = timeout(TURN.min(left), all_gone(handful)).await;
        }
        if timeout_at(until, all_gone(&crowd)).await.is_ok() {
            gone.raise();
        }
    });
}

async fn all_gone(crowd: &[Arc<Live>]) {
    for live in crowd {
        live.gone().raised().await;
    }
}
