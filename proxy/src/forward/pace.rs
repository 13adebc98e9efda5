//! How fast forwards come about: each is two facts in the ledger, and a loop around `-L` must not fill it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often one may come about in the long run.
const EVERY: Duration = Duration::from_millis(20);
/// How many may come about at once after a rest, in the time that they would take: a browser opens dozens.
const BURST: Duration = Duration::from_secs(10);

/// The pace of one session. Whoever is faster waits; nobody is refused for it.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Instant>);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let due = take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        tokio::time::sleep_until(due).await;
    }
}

/// Takes the next turn; when it is. `full` is the moment at which all turns that were taken would have been earned.
fn take(full: &mut Instant, now: Instant) -> Instant {
    *full = (*full).max(now) + EVERY;
    full.checked_sub(BURST).unwrap_or(now).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_its_pace() {
        let begin = Instant::now() + BURST;
        let mut full = begin;
        assert!((0..500).all(|_| take(&mut full, begin) == begin));
        for turn in 1..100 {
            assert_eq!(take(&mut full, begin), begin + EVERY * turn);
        }
        // Room that was not used comes back, and does not pile up.
        let rested = begin + BURST * 9;
        assert!((0..500).all(|_| take(&mut full, rested) == rested));
        assert_eq!(take(&mut full, rested), rested + EVERY);
    }
}
