//! Sees a crowd off that was cut at once: some at a time.
//!
//! To be told why takes a session some ten turns of its tasks. When a thousand of them are woken together, each turn
//! waits behind a thousand others, and all of them are told at the very end, or not at all before their time is over. One
//! handful after the other, those who are first are gone while the last still wait, and more are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::registry::Live;

/// How many are seen off at a time.
const HANDFUL: usize = 16;
/// The longest that one handful may hold up the next.
const TURN: Duration = Duration::from_millis(5);

/// Dismisses sessions that were cut now. Nobody is waited for any more once `notice` is over.
pub(crate) fn see_off(crowd: Vec<Arc<Live>>, notice: Duration) {
    let until = Instant::now() + notice;
    if crowd.len() <= HANDFUL {
        return crowd.iter().for_each(|live| live.dismiss());
    }
    tokio::spawn(async move {
        for handful in crowd.chunks(HANDFUL) {
            handful.iter().for_each(|live| live.dismiss());
            let gone = async {
                for live in handful {
                    live.gone().raised().await;
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            // Whoever takes longer goes on, beside the next.
            let _ = timeout(TURN.min(left), gone).await;
        }
    });
}
