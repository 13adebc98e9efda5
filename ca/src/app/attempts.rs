//! Wrong codes: so many, and then nobody may try for a while; and so many a day. A code has a million values and three of
//! an authenticator are good at a time: guessing takes decades with one, and years with as many as one may have.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{IdentityName, Span, Timestamp};

use super::AppError;

/// How many wrong codes somebody has in [`WINDOW`].
const MOST: usize = 5;
/// For how long a wrong code counts.
const WINDOW: Span = Span::from_minutes(15);
/// How many wrong codes somebody has in a [`DAY`].
const MOST_A_DAY: usize = 20;
/// For how long a wrong code counts among those.
const DAY: Span = Span::from_hours(24);

/// The wrong codes of late, of people who have an authenticator. In memory: who starts the CA anew gives five more.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IdentityName, Vec<Timestamp>>>);

impl Attempts {
    /// Counts a code as wrong before it is looked at, so that many at once are no way around it.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn count(&self, identity: &IdentityName, now: Timestamp) -> Result<(), AppError> {
        let mut all = self.lock();
        let own = all.entry(identity.clone()).or_default();
        own.retain(|at| now < at.plus(DAY));
        for (most, within) in [(MOST, WINDOW), (MOST_A_DAY, DAY)] {
            // In order of their coming: when the one that is so many back counts no more, there is room.
            let back = own.len().checked_sub(most).and_then(|at| own.get(at));
            if let Some(until) = back.map(|at| at.plus(within)).filter(|until| now < *until) {
                return Err(AppError::TooMany(format!(
                    "{identity} gave {most} wrong codes within {within}; the next one is looked at from {} on",
                    until.to_second()
                )));
            }
        }
        own.push(now);
        Ok(())
    }

    /// The latest one that was counted was a good one.
    pub(super) fn give_back(&self, identity: &IdentityName) {
        if let Some(own) = self.lock().get_mut(identity) {
            own.pop();
        }
    }

    /// Forgets the wrong codes of somebody who has nothing left that they could have been for. Only where somebody else took it
    /// away: who guesses must not begin anew by setting another one up.
    pub(super) fn forget(&self, identity: &IdentityName) {
        self.lock().remove(identity);
    }

    /// Forgets what counts no more.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.lock().retain(|_, own| {
            own.retain(|at| now < at.plus(DAY));
            !own.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IdentityName, Vec<Timestamp>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_wrong_code_waits_and_nobody_else_does() {
        let (attempts, at) = (Attempts::default(), Timestamp::from_seconds);
        let (alice, bob): (IdentityName, IdentityName) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        for second in 0..5 {
            attempts.count(&alice, at(1000 + second)).unwrap();
        }
        assert!(matches!(attempts.count(&alice, at(1010)), Err(AppError::TooMany(_))));
        attempts.count(&bob, at(1010)).unwrap();
        assert!(attempts.count(&alice, at(1899)).is_err());
        attempts.count(&alice, at(1900)).unwrap();
        assert!(attempts.count(&alice, at(1900)).is_err(), "one has left the window, and no more");
    }

    #[test]
    fn who_paces_their_guesses_has_so_many_a_day() {
        let (attempts, alice) = (Attempts::default(), "alice".parse().unwrap());
        let taken = |second| attempts.count(&alice, Timestamp::from_seconds(second)).is_ok();
        // Four in each window, all day long.
        let tries = (0..96).flat_map(|window| (0..4).map(move |nth| window * 900 + nth));
        assert_eq!(tries.filter(|second| taken(*second)).count(), MOST_A_DAY);
        assert!(taken(86_400), "the first counts no more");
    }

    #[test]
    fn good_codes_are_not_counted() {
        let (attempts, alice) = (Attempts::default(), "alice".parse().unwrap());
        for second in 0..100 {
            attempts.count(&alice, Timestamp::from_seconds(second)).unwrap();
            attempts.give_back(&alice);
        }
        attempts.count(&alice, Timestamp::from_seconds(100)).unwrap();
        attempts.sweep(Timestamp::from_seconds(100_000));
        assert!(attempts.lock().is_empty());
    }
}
