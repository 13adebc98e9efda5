//! The clock and the random source, which come from the edge.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Jump, Steady, Timestamp};
use tracing::warn;

/// What the proxy takes from the machine that it runs on.
pub trait Ambient: Send + Sync + 'static {
    /// The time of day. It may step back when the system's clock is set.
    fn now(&self) -> Timestamp;

    /// The time since some moment, on a clock that nobody can set.
    fn uptime(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }

    /// Fills `bytes` with random bytes fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// 64 random bits, for an id.
pub(crate) fn random_bits(ambient: &dyn Ambient) -> u64 {
    let mut bytes = [0; 8];
    ambient.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A key under which the CA takes a request once, however often it is sent.
pub(crate) fn random_key(ambient: &dyn Ambient) -> String {
    let mut bits = [0; 16];
    ambient.fill(&mut bits);
    hex::encode(bits)
}

/// The time of day that sessions and certificates end by. When the machine's clock is set back, it goes on as if it
/// had not been, so nothing lives longer for it; when it is set forward, all that is due ends.
pub(crate) struct Timekeeper {
    ambient: Arc<dyn Ambient>,
    steady: Mutex<Steady>,
}

impl Timekeeper {
    pub(crate) fn new(ambient: Arc<dyn Ambient>) -> Self {
        let wall = ambient.now();
        let steady = Mutex::new(Steady::new(wall, wall, ambient.uptime()));
        Self { ambient, steady }
    }
}

/// What is done with a steady clock in the place of the machine's own.
impl Ambient for Timekeeper {
    fn now(&self) -> Timestamp {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        // The wall clock first: what passes between the two readings must not count as time.
        let wall = self.ambient.now();
        let (now, jump) = steady.read(wall, self.ambient.uptime());
        drop(steady);
        match jump {
            Some(Jump::Back(by)) => warn!(
                %now, %wall,
                "THE CLOCK WAS SET BACK by {} s: time goes on as if it had not been, and nothing ends later for it",
                by.as_secs()
            ),
            Some(Jump::Forward(by)) => warn!(
                %now,
                "the clock went forward by {} s, or the machine slept: whatever was due until then ends now",
                by.as_secs()
            ),
            None => {}
        }
        now
    }

    fn uptime(&self) -> Duration {
        self.ambient.uptime()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.ambient.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What is logged meanwhile.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What reading this clock writes to the log.
    fn logged(time: &Timekeeper) -> String {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || time.now());
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// A clock as a test sets it.
    struct Hands(Mutex<(u64, u64)>);

    impl Ambient for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(1_700_000_000 + self.0.lock().unwrap().0)
        }

        fn fill(&self, _: &mut [u8]) {}

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.0.lock().unwrap().1)
        }
    }

    #[test]
    fn a_clock_that_is_set_back_lets_no_session_live_longer() {
        let hands = Arc::new(Hands(Mutex::new((3600, 0))));
        let time = Timekeeper::new(hands.clone());
        let begin = time.now();
        *hands.0.lock().unwrap() = (0, 60);
        assert_eq!(time.now().since(begin), Duration::from_secs(60));
        *hands.0.lock().unwrap() = (9000, 61);
        assert_eq!(time.now().since(begin), Duration::from_secs(5400), "and one that is set forward ends what is due");
    }

    #[test]
    fn a_clock_that_is_set_is_reported_once_in_either_direction_and_one_that_goes_never() {
        let hands = Arc::new(Hands(Mutex::new((3600, 0))));
        let time = Timekeeper::new(hands.clone());
        assert_eq!(logged(&time), "");
        *hands.0.lock().unwrap() = (3660, 60);
        assert_eq!(logged(&time), "", "a minute has passed");
        *hands.0.lock().unwrap() = (60, 60);
        let back = logged(&time);
        assert!(back.contains("WARN") && back.contains("THE CLOCK WAS SET BACK by 3600 s"), "{back}");
        assert_eq!(logged(&time), "", "it was said");
        *hands.0.lock().unwrap() = (9060, 60);
        let forward = logged(&time);
        assert!(forward.contains("WARN") && forward.contains("the clock went forward by"), "{forward}");
        assert_eq!(logged(&time), "", "it was said");
    }
}
