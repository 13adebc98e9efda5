//! Keys that nobody knows: how many of an address the CA is asked about. Whoever has a key can sign with it, so anybody
//! can cause such a question; and the CA's time is for those whom it knows.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::neighbourhood;

/// So many of one address at once: an agent may hold a handful, and a crowd of connections may come from one address.
const BURST: u32 = 250;
/// And then one in this time.
const EVERY: Duration = Duration::from_millis(100);
/// So many of all addresses at once, and then one in this time: less than the CA has for questions of this proxy.
const BURST_OF_ALL: u32 = 350;
const EVERY_OF_ALL: Duration = Duration::from_millis(20);
/// How many addresses are remembered; and as many networks of those that there is no room for.
const REMEMBERED: usize = 4096;

/// What each address has left, and all together.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Levels>);

#[derive(Debug, Default)]
struct Levels {
    all: Option<Level>,
    by: HashMap<IpAddr, Level>,
}

/// A question that was counted, to be given back when somebody was known.
#[derive(Debug)]
pub(crate) struct Counted(IpAddr);

/// A vessel that leaks.
#[derive(Clone, Copy, Debug)]
struct Level {
    height: u32,
    at: Instant,
}

impl Level {
    const fn empty(now: Instant) -> Self {
        Self { height: 0, at: now }
    }

    fn now(self, now: Instant, every: Duration) -> Self {
        let gone = now.saturating_duration_since(self.at).as_millis() / every.as_millis().max(1);
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        if gone >= self.height {
            return Self::empty(now);
        }
        // What has not leaked in full goes on leaking from when it began.
        Self { height: self.height - gone, at: self.at + every.saturating_mul(gone) }
    }
}

impl Strangers {
    /// Counts a question about a key that comes from this address; `None` when it is one too many. It is counted before
    /// it is asked, so that many at once are no way around it.
    pub(crate) fn count(&self, address: IpAddr) -> Option<Counted> {
        self.count_at(address, Instant::now())
    }

    /// Somebody was known, so it was no stranger.
    pub(crate) fn give_back(&self, counted: &Counted) {
        let mut levels = self.lock();
        let Levels { all, by } = &mut *levels;
        for level in all.iter_mut().chain(by.get_mut(&counted.0)) {
            level.height = level.height.saturating_sub(1);
        }
    }

    fn count_at(&self, address: IpAddr, now: Instant) -> Option<Counted> {
        let mut levels = self.lock();
        let Levels { all, by } = &mut *levels;
        let mut key = neighbourhood(address);
        if by.len() >= REMEMBERED && !by.contains_key(&key) {
            by.retain(|_, level| level.now(now, EVERY).height > 0);
            if by.len() >= REMEMBERED {
                // Whoever has that many addresses is held up with their whole network.
                key = network(address);
                if by.len() >= 2 * REMEMBERED && !by.contains_key(&key) {
                    return None;
                }
            }
        }
        let level = by.get(&key).map_or(Level::empty(now), |level| level.now(now, EVERY));
        let whole = all.map_or(Level::empty(now), |level| level.now(now, EVERY_OF_ALL));
        if level.height >= BURST || whole.height >= BURST_OF_ALL {
            return None;
        }
        by.insert(key, Level { height: level.height + 1, ..level });
        *all = Some(Level { height: whole.height + 1, ..whole });
        Some(Counted(key))
    }

    fn lock(&self) -> MutexGuard<'_, Levels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network that an address is in: of IPv4 the first 24 bits, of IPv6 the first 48, as a site gets them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() >> 8 << 8)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_with_too_many_waits_and_the_others_do_not() {
        let strangers = Strangers::default();
        let (loud, quiet) = (address("192.0.2.1"), address("192.0.2.2"));
        let now = Instant::now();
        for _ in 0..BURST {
            assert!(strangers.count_at(loud, now).is_some());
        }
        assert!(strangers.count_at(loud, now).is_none() && strangers.count_at(quiet, now).is_some());
        assert!(strangers.count_at(loud, now + EVERY / 2).is_none());
        assert!(strangers.count_at(loud, now + EVERY).is_some());
        assert!(strangers.count_at(loud, now + EVERY).is_none());
    }

    #[test]
    fn what_was_no_stranger_is_given_back() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for _ in 0..10 * BURST_OF_ALL {
            let counted = strangers.count_at(address("192.0.2.1"), now).expect("a known key is refused");
            strangers.give_back(&counted);
        }
    }

    #[test]
    fn many_addresses_together_have_an_end_too() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let strangers = &strangers;
        let admitted = |at: Instant| {
            (0..10_000_u128).filter(move |site| {
                let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | site << 64);
                strangers.count_at(IpAddr::V6(address), at).is_some()
            })
        };
        assert_eq!(admitted(now).count(), BURST_OF_ALL as usize);
        assert_eq!(admitted(now + EVERY_OF_ALL).count(), 1);
        assert!(strangers.lock().by.len() <= BURST_OF_ALL as usize + 1);
    }

    #[test]
    fn a_full_memory_forgets_nobody_and_counts_by_network() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let full = Level { height: BURST, at: now };
        let mut levels = strangers.lock();
        for number in 0..u32::try_from(REMEMBERED).unwrap() {
            levels.by.insert(IpAddr::from(number.to_be_bytes()), full);
        }
        drop(levels);
        assert!(strangers.count_at(address("0.0.0.1"), now).is_none(), "it was forgotten");
        for host in 0..BURST {
            assert!(strangers.count_at(IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]), now).is_some());
        }
        assert!(strangers.count_at(address("192.0.2.255"), now).is_none());
        assert!(strangers.count_at(address("192.0.3.200"), now).is_some());
        assert_eq!(network(address("2001:db8:1:2::3")), address("2001:db8:1::"));
    }
}
