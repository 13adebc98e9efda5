//! What is due in a session, and when. Pure: the time comes in as an argument.

use std::time::Duration;

use model::{Span, Timestamp};

/// The clock of the machine may be set while one waits, so nobody waits longer than this at a stretch.
pub(crate) const STRETCH: Duration = Duration::from_secs(30);

/// What is due in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The grant's time is up.
    Expired,
    /// Nothing has passed for too long.
    Idle,
    /// The person is to be told that so much time is left.
    Warning(Span),
    /// Nothing, for this long.
    Nothing(Duration),
}

/// The times of one session.
#[derive(Debug)]
pub(crate) struct Schedule {
    warnings: Vec<Span>,
    idle_limit: Option<Duration>,
    /// Warnings that were due before this moment were given, or came too early to be given.
    told: Timestamp,
}

impl Schedule {
    /// The times of a session that begins now.
    pub(crate) fn new(warnings: &[Span], idle_limit: Option<Span>, now: Timestamp) -> Self {
        Self { warnings: warnings.to_vec(), idle_limit: idle_limit.map(Span::to_std), told: now }
    }

    /// What is due, when the grant ends at `deadline` and nothing has passed for `idle`.
    pub(crate) fn due(&mut self, now: Timestamp, deadline: Timestamp, idle: Duration) -> Due {
        if now >= deadline {
            return Due::Expired;
        }
        let mut wait = deadline.since(now).min(STRETCH);
        if let Some(limit) = self.idle_limit {
            if idle >= limit {
                return Due::Idle;
            }
            wait = wait.min(limit.saturating_sub(idle));
        }
        let times = self.warnings.iter().map(|left| (deadline.minus(*left), *left));
        let late = times.clone().filter(|(at, _)| self.told < *at && *at <= now).map(|(_, left)| left).min();
        if let Some(left) = late {
            self.told = now;
            return Due::Warning(left);
        }
        let next = times.filter(|(at, _)| *at > now).map(|(at, _)| at.since(now)).min();
        Due::Nothing(next.map_or(wait, |next| wait.min(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    const NONE: Duration = Duration::ZERO;

    fn schedule() -> Schedule {
        Schedule::new(&[Span::from_minutes(5), Span::from_minutes(1)], Some(Span::from_minutes(15)), at(0))
    }

    #[test]
    fn warnings_come_once_each_and_then_the_end() {
        let mut schedule = schedule();
        let end = at(1800);
        assert_eq!(schedule.due(at(0), end, NONE), Due::Nothing(STRETCH));
        assert_eq!(schedule.due(at(1495), end, NONE), Due::Nothing(Duration::from_secs(5)));
        assert_eq!(schedule.due(at(1500), end, NONE), Due::Warning(Span::from_minutes(5)));
        assert_eq!(schedule.due(at(1500), end, NONE), Due::Nothing(STRETCH));
        assert_eq!(schedule.due(at(1745), end, NONE), Due::Warning(Span::from_minutes(1)), "late, but told");
        assert_eq!(schedule.due(at(1790), end, NONE), Due::Nothing(Duration::from_secs(10)));
        assert_eq!(schedule.due(at(1800), end, NONE), Due::Expired);
    }

    #[test]
    fn an_extension_brings_the_warnings_back() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(1500), at(1800), NONE), Due::Warning(Span::from_minutes(5)));
        assert_eq!(schedule.due(at(1510), at(3600), NONE), Due::Nothing(STRETCH));
        assert_eq!(schedule.due(at(3300), at(3600), NONE), Due::Warning(Span::from_minutes(5)));
    }

    #[test]
    fn a_short_session_is_not_greeted_with_a_warning() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(1), at(100), NONE), Due::Nothing(STRETCH));
        assert_eq!(schedule.due(at(40), at(100), NONE), Due::Warning(Span::from_minutes(1)));
    }

    #[test]
    fn idleness_ends_it() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(at(10), at(1800), Duration::from_secs(895)), Due::Nothing(Duration::from_secs(5)));
        assert_eq!(schedule.due(at(10), at(1800), Duration::from_secs(900)), Due::Idle);
        assert_eq!(Schedule::new(&[], None, at(0)).due(at(10), at(1800), Duration::MAX), Due::Nothing(STRETCH));
    }
}
