//! Keys that nobody knows: how many of an address the CA is asked about. Whoever has a key can sign with it, so anybody
//! can cause such a question; and the CA's time is for those whom it knows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::neighbourhood;

/// So many at once: an agent may hold a handful, and a crowd of connections may come from one address.
const BURST: u32 = 1000;
/// And then one in this time.
const EVERY: Duration = Duration::from_millis(100);
/// How many addresses are remembered.
const REMEMBERED: usize = 4096;

/// What each address has left.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<IpAddr, Level>>);

/// A vessel that leaks.
#[derive(Clone, Copy, Debug)]
struct Level {
    height: u32,
    at: Instant,
}

impl Level {
    fn now(self, now: Instant) -> Self {
        let gone = now.saturating_duration_since(self.at).as_millis() / EVERY.as_millis();
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        // What has not leaked in full goes on leaking from when it began.
        Self { height: self.height.saturating_sub(gone), at: self.at + EVERY.saturating_mul(gone.min(self.height)) }
    }
}

impl Strangers {
    /// Whether one more key of this address may be asked about.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.admits_at(address, Instant::now())
    }

    /// One was asked about, and nobody knew it.
    pub(crate) fn note(&self, address: IpAddr) {
        self.note_at(address, Instant::now());
    }

    fn admits_at(&self, address: IpAddr, now: Instant) -> bool {
        self.lock().get(&neighbourhood(address)).is_none_or(|level| level.now(now).height < BURST)
    }

    fn note_at(&self, address: IpAddr, now: Instant) {
        let mut levels = self.lock();
        let address = neighbourhood(address);
        if levels.len() >= REMEMBERED && !levels.contains_key(&address) {
            levels.retain(|_, level| level.now(now).height > 0);
            // Whoever has that many addresses is not held up by this; all others are not either, then.
            if levels.len() >= REMEMBERED {
                levels.clear();
            }
        }
        let level = levels.get(&address).map_or(Level { height: 0, at: now }, |level| level.now(now));
        let at = if level.height == 0 { now } else { level.at };
        levels.insert(address, Level { height: level.height.saturating_add(1), at });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Level>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_too_many_waits_and_the_others_do_not() {
        let strangers = Strangers::default();
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..BURST {
            assert!(strangers.admits_at(loud, now));
            strangers.note_at(loud, now);
        }
        assert!(!strangers.admits_at(loud, now) && strangers.admits_at(quiet, now));
        assert!(!strangers.admits_at(loud, now + EVERY / 2));
        assert!(strangers.admits_at(loud, now + EVERY));
        strangers.note_at(loud, now + EVERY);
        assert!(!strangers.admits_at(loud, now + EVERY));
    }

    #[test]
    fn no_more_than_so_many_addresses_are_remembered() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for number in 0..2 * u32::try_from(REMEMBERED).unwrap() {
            strangers.note_at(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(strangers.lock().len() <= REMEMBERED);
    }
}
