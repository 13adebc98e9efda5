//! How many refusals of one session the ledger gets: whoever asks in a loop must not fill it. What a target asks for and
//! what its person asks for are counted apart, so that neither drowns what the other was refused. Questions for more time
//! are counted alike, because each is a call to the CA.

use std::time::Duration;

/// So many at once.
const BURST: u64 = 20;
/// And then one in this time.
const EVERY: Duration = Duration::from_secs(1);

/// Who asked for what was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Person,
    Target,
}

/// The refusals of one session.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    person: Count,
    target: Count,
}

impl Refusals {
    /// Whether one that comes so long after the session's beginning is listed; else it is counted.
    pub(crate) fn list(&mut self, by: Asker, at: Duration) -> bool {
        match by {
            Asker::Person => self.person.list(at),
            Asker::Target => self.target.list(at),
        }
    }

    /// How many were only counted, since this was last asked: of the person, and of the target.
    pub(crate) fn take_more(&mut self) -> [u64; 2] {
        [self.person.take_more(), self.target.take_more()]
    }
}

/// What one asker does: the first have room, then one a second, and the rest is counted.
#[derive(Debug, Default)]
pub(crate) struct Count {
    listed: u64,
    /// Room that was not used: it does not pile up.
    lapsed: u64,
    more: u64,
}

impl Count {
    /// Whether there is room for one that comes so long after the session's beginning; else it is counted.
    pub(crate) fn list(&mut self, at: Duration) -> bool {
        let earned = u64::try_from(at.as_nanos() / EVERY.as_nanos()).unwrap_or(u64::MAX);
        let room = BURST.saturating_add(earned).saturating_sub(self.listed).saturating_sub(self.lapsed);
        self.lapsed = self.lapsed.saturating_add(room.saturating_sub(BURST));
        let listed = room > 0;
        let count = if listed { &mut self.listed } else { &mut self.more };
        *count = count.saturating_add(1);
        listed
    }

    fn take_more(&mut self) -> u64 {
        std::mem::take(&mut self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_listed_then_one_a_second_and_the_rest_is_counted() {
        let mut refusals = Count::default();
        let mut listed = |seconds, times| (0..times).filter(|_| refusals.list(Duration::from_secs(seconds))).count();
        assert_eq!(listed(0, 30), 20);
        assert_eq!(listed(1, 30), 1);
        assert_eq!(listed(3, 30), 2);
        assert_eq!(listed(10_000, 30), 20, "room does not pile up");
        assert_eq!(listed(10_001, 2), 1);
        assert_eq!(refusals.take_more(), 10 + 29 + 28 + 10 + 1);
        assert_eq!(refusals.take_more(), 0);
    }

    #[test]
    fn a_target_that_asks_without_end_drowns_nothing_that_its_person_is_refused() {
        let mut refusals = Refusals::default();
        assert_eq!((0..1000).filter(|_| refusals.list(Asker::Target, Duration::ZERO)).count(), 20);
        assert!(refusals.list(Asker::Person, Duration::ZERO));
        assert_eq!(refusals.take_more(), [0, 980]);
    }
}
