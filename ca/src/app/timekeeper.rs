//! The engine's time, and what is said when the clock cannot be trusted: grants and locks end by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{Jump, Steady, Timestamp};
use store::Clock;

/// A clock that differs from the last fact by more than this, at a start, or jumps by more, is worth a loud word.
const SKEW: Duration = Duration::from_secs(300);

/// Time that never goes back: not behind the last fact of the ledger, and not when the clock is set back. It passes at
/// least as fast as the machine counts, so a clock that is set back, or stands still, lengthens nobody's grant; and a
/// clock that is set forward takes time along, so that whatever is due then ends.
pub(super) struct Timekeeper {
    clock: Arc<dyn Clock>,
    steady: Steady,
}

impl Timekeeper {
    /// Time behind a ledger whose last fact is of `latest`. Says so when the clock does not go with it.
    pub(super) fn start(clock: Arc<dyn Clock>, latest: Timestamp) -> Self {
        let (wall, uptime) = (clock.now(), clock.uptime());
        match Skew::between(wall, latest) {
            Some(skew @ Skew::Behind(_)) => tracing::error!(now = %wall, last = %latest, "{skew}"),
            Some(skew @ Skew::Ahead(_)) => tracing::warn!(now = %wall, last = %latest, "{skew}"),
            None => {}
        }
        Self { clock, steady: Steady::new(latest, wall, uptime) }
    }

    /// The time. Says so when the clock has jumped.
    pub(super) fn now(&mut self) -> Timestamp {
        // The wall clock first: what passes between the two readings must not count as time.
        let wall = self.clock.now();
        let (now, jump) = self.steady.read(wall, self.clock.uptime());
        match jump {
            Some(Jump::Back(by)) if by > SKEW => tracing::error!(%now, %wall, "{}", Back(by)),
            Some(Jump::Back(by)) => tracing::warn!(%now, %wall, "{}", Back(by)),
            Some(Jump::Forward(by)) => tracing::warn!(%now, "{}", Forward(by)),
            None => {}
        }
        now
    }

    /// Goes on from a fact of `latest` at the earliest.
    pub(super) fn reach(&mut self, latest: Timestamp) {
        self.steady.reach(latest, self.clock.uptime());
    }
}

/// How a clock differs from the last fact at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skew {
    Behind(Duration),
    Ahead(Duration),
}

impl Skew {
    fn between(wall: Timestamp, latest: Timestamp) -> Option<Self> {
        let (behind, ahead) = (latest.since(wall), wall.since(latest));
        if behind > SKEW {
            Some(Self::Behind(behind))
        } else if ahead > SKEW && latest > Timestamp::default() {
            Some(Self::Ahead(ahead))
        } else {
            None
        }
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(by) => write!(
                f,
                "THE CLOCK IS WRONG, or was when the last fact was written: it is {} s behind the ledger. Time goes on \
                 from the last fact, and certificates are dated ahead of the clock, so that nobody takes them. Set the \
                 clock; if it is right now, stop the CA until the clock has passed the last fact",
                by.as_secs()
            ),
            Self::Ahead(by) => write!(
                f,
                "the last fact is {} s old: if the CA did not stand still for so long, the clock is wrong",
                by.as_secs()
            ),
        }
    }
}

struct Back(Duration);

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "THE CLOCK WAS SET BACK by {} s: time goes on as if it had not been, and nothing ends later for it. Until \
             the clock has caught up or the CA starts anew, certificates are dated ahead of it",
            self.0.as_secs()
        )
    }
}

struct Forward(Duration);

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock went forward by {} s, or the machine slept: whatever was due until then ends now",
            self.0.as_secs()
        )
    }
}

#[cfg(test)]
mod tests;
