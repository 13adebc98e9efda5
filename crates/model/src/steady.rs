//! Time that nobody can turn back.

use std::time::Duration;

use crate::Timestamp;

/// A clock that moves by less than this against the other is only being read, not set.
const STEP: i128 = 1_000_000;

/// Time put together from two clocks: the one on the wall, which says what time it is and can be set, and one that
/// counts from some moment on and cannot.
///
/// It never runs back, it never falls behind the wall clock, and it never passes more slowly than the other clock
/// counts. So nothing that ends at a time lives longer than it should when the wall clock is set back, and all that is
/// due ends when it is set forward.
#[derive(Clone, Debug)]
pub struct Steady {
    /// The wall clock's reading less the other's, in microseconds, when both were last read.
    apart: i128,
    /// The most that the two were ever apart.
    most: i128,
    latest: Timestamp,
}

/// The wall clock was set, or the machine slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// It was set back by so much; time goes on from where it was.
    Back(Duration),
    /// It is further by so much than the time that passed; time goes with it.
    Forward(Duration),
}

impl Steady {
    /// Time that is not before `latest`, at a moment when the wall clock shows `wall` and the other `uptime`.
    #[must_use]
    pub fn new(latest: Timestamp, wall: Timestamp, uptime: Duration) -> Self {
        let mut steady = Self { apart: apart(wall, uptime), most: apart(wall, uptime), latest };
        steady.reach(latest, uptime);
        steady
    }

    /// The time, when the wall clock shows `wall` and the other, read right behind it, `uptime`; and whether the wall
    /// clock has jumped by a second or more since they were last read.
    pub fn read(&mut self, wall: Timestamp, uptime: Duration) -> (Timestamp, Option<Jump>) {
        let apart = apart(wall, uptime);
        let moved = apart.saturating_sub(self.apart);
        self.apart = apart;
        self.most = self.most.max(apart);
        let now = self.most.saturating_add(micros(uptime)).max(0);
        self.latest = self.latest.max(Timestamp::from_micros(u64::try_from(now).unwrap_or(u64::MAX)));
        let by = Duration::from_micros(u64::try_from(moved.unsigned_abs()).unwrap_or(u64::MAX));
        let jump = if moved.abs() < STEP {
            None
        } else if moved < 0 {
            Some(Jump::Back(by))
        } else {
            Some(Jump::Forward(by))
        };
        (self.latest, jump)
    }

    /// Takes it that it is `at` at the earliest when the clock that counts shows `uptime`: somebody else's record says
    /// so.
    pub fn reach(&mut self, at: Timestamp, uptime: Duration) {
        self.most = self.most.max(apart(at, uptime));
        self.latest = self.latest.max(at);
    }
}

fn apart(wall: Timestamp, uptime: Duration) -> i128 {
    i128::from(wall.micros()).saturating_sub(micros(uptime))
}

fn micros(time: Duration) -> i128 {
    i128::try_from(time.as_micros()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    const fn wall(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    const fn up(seconds: u64) -> Duration {
        Duration::from_secs(77 + seconds)
    }

    #[test]
    fn without_jumps_it_is_the_wall_clock() {
        let mut time = Steady::new(Timestamp::default(), wall(0), up(0));
        assert_eq!(time.read(wall(5), up(5)), (wall(5), None));
        assert_eq!(time.read(wall(HOUR), up(HOUR)), (wall(HOUR), None));
    }

    #[test]
    fn a_clock_that_is_set_back_buys_no_time() {
        let mut time = Steady::new(Timestamp::default(), wall(2 * HOUR), up(0));
        let (now, jump) = time.read(wall(HOUR + 10), up(10));
        assert_eq!((now, jump), (wall(2 * HOUR + 10), Some(Jump::Back(Duration::from_secs(HOUR)))));
        assert_eq!(time.read(wall(HOUR + 20), up(20)), (wall(2 * HOUR + 20), None), "said once");
        // Set right again, nothing more happens.
        let (now, jump) = time.read(wall(2 * HOUR + 30), up(30));
        assert_eq!((now, jump), (wall(2 * HOUR + 30), Some(Jump::Forward(Duration::from_secs(HOUR)))));
    }

    #[test]
    fn a_clock_that_is_set_forward_takes_time_along() {
        let mut time = Steady::new(Timestamp::default(), wall(0), up(0));
        let (now, jump) = time.read(wall(HOUR), up(1));
        assert_eq!((now, jump), (wall(HOUR), Some(Jump::Forward(Duration::from_secs(HOUR - 1)))));
    }

    #[test]
    fn time_goes_on_from_a_record_that_is_ahead_of_the_clock() {
        let mut time = Steady::new(wall(HOUR), wall(0), up(0));
        assert_eq!(time.read(wall(10), up(10)).0, wall(HOUR + 10), "it does not stand still");
        time.reach(wall(2 * HOUR), up(10));
        assert_eq!(time.read(wall(11), up(11)).0, wall(2 * HOUR + 1));
    }

    proptest::proptest! {
        /// Whatever is done to the wall clock: time does not run back, is not behind the wall, and passes at least as
        /// fast as the clock that counts; and it is never ahead of both.
        #[test]
        fn nothing_lives_longer_than_it_should(steps in proptest::collection::vec((0_u64..10_000_000, 0_u64..4_000_000_000_000), 1..50)) {
            let mut uptime = Duration::ZERO;
            let mut time = Steady::new(Timestamp::default(), wall(0), uptime);
            let (mut last, mut furthest) = (wall(0), i128::from(wall(0).micros()));
            for (passed, shown) in steps {
                uptime += Duration::from_micros(passed);
                let shown = Timestamp::from_micros(shown);
                let (now, _) = time.read(shown, uptime);
                proptest::prop_assert!(now >= shown);
                proptest::prop_assert!(now.micros() >= last.micros() + passed);
                furthest = furthest.max(i128::from(shown.micros()) - micros(uptime));
                proptest::prop_assert_eq!(i128::from(now.micros()), furthest + micros(uptime));
                last = now;
            }
        }
    }
}
