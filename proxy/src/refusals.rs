//! How many refusals of one session the ledger gets: a client that asks in a loop must not fill it.

use std::time::Duration;

/// So many at once.
const BURST: u64 = 20;
/// And then one in this time.
const EVERY: Duration = Duration::from_secs(1);

/// The refusals of one session: the first are listed, the rest is counted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    listed: u64,
    /// Room that was not used: it does not pile up.
    lapsed: u64,
    more: u64,
}

impl Refusals {
    /// Whether one that comes so long after the session's beginning is listed; else it is counted.
    pub(crate) fn list(&mut self, at: Duration) -> bool {
        let earned = u64::try_from(at.as_nanos() / EVERY.as_nanos()).unwrap_or(u64::MAX);
        let room = BURST.saturating_add(earned).saturating_sub(self.listed).saturating_sub(self.lapsed);
        self.lapsed = self.lapsed.saturating_add(room.saturating_sub(BURST));
        let listed = room > 0;
        let count = if listed { &mut self.listed } else { &mut self.more };
        *count = count.saturating_add(1);
        listed
    }

    /// How many were only counted, since this was last asked.
    pub(crate) fn take_more(&mut self) -> u64 {
        std::mem::take(&mut self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_listed_then_one_a_second_and_the_rest_is_counted() {
        let mut refusals = Refusals::default();
        let mut listed = |seconds, times| (0..times).filter(|_| refusals.list(Duration::from_secs(seconds))).count();
        assert_eq!(listed(0, 30), 20);
        assert_eq!(listed(1, 30), 1);
        assert_eq!(listed(3, 30), 2);
        assert_eq!(listed(10_000, 30), 20, "room does not pile up");
        assert_eq!(listed(10_001, 2), 1);
        assert_eq!(refusals.take_more(), 10 + 29 + 28 + 10 + 1);
        assert_eq!(refusals.take_more(), 0);
    }
}
