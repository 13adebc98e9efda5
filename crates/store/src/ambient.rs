//! The one clock and the one source of randomness. Everything else gets time and random bits as arguments.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use model::{Span, Timestamp};

use crate::sync::lock;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now. It may step back when the system's clock is set.
    fn now(&self) -> Timestamp;

    /// The time since some moment, on a clock that nobody can set. It may stand still while the machine sleeps.
    fn uptime(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// Gives random bits that nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// 64 random bits.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
        let now = std::time::SystemTime::now();
        // A clock before 1970 is a broken clock; the epoch is as good an answer as any.
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    shown: AtomicU64,
    passed: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { shown: AtomicU64::new(now.micros()), passed: AtomicU64::new(0) }
    }

    /// Sets the clock; no time passes.
    pub fn set(&self, now: Timestamp) {
        self.shown.store(now.micros(), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, span: Span) {
        self.set(self.now().plus(span));
        self.passed.fetch_add(u64::from(span.seconds()).saturating_mul(1_000_000), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.shown.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.passed.load(Ordering::SeqCst))
    }
}

/// The random source of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the random source")]
        let filled = getrandom::fill(bytes);
        if let Err(error) = filled {
            // Ids, serials and nonces that can be guessed are worse than no service at all.
            tracing::error!(%error, "the operating system gives no random bytes");
            std::process::abort();
        }
    }
}

/// Random bits that a test can repeat (SplitMix64). Never for anything that must not be guessed.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
    }

    fn u64(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = *state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_a_clock_and_random_bits() {
        let year_2025: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        assert!(SystemClock.now() > year_2025);
        assert!(SystemClock.uptime() <= SystemClock.uptime());
        assert_ne!(SystemEntropy.u64(), SystemEntropy.u64());
    }

    #[test]
    fn a_manual_clock_moves_when_it_is_told() {
        let clock = ManualClock::new(Timestamp::from_seconds(5));
        clock.advance(Span::from_seconds(2));
        assert_eq!((clock.now(), clock.uptime()), (Timestamp::from_seconds(7), Duration::from_secs(2)));
        clock.set(Timestamp::from_seconds(1));
        assert_eq!((clock.now(), clock.uptime()), (Timestamp::from_seconds(1), Duration::from_secs(2)));
    }

    #[test]
    fn seeded_bits_repeat() {
        let (a, b) = (SeededEntropy::new(1), SeededEntropy::new(1));
        assert_eq!((a.u64(), a.u64()), (b.u64(), b.u64()));
        assert_ne!(SeededEntropy::new(2).u64(), SeededEntropy::new(1).u64());
    }
}
