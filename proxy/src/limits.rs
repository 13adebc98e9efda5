//! How many may stand before the door.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Counts what is in use, all in all and by key, and refuses more than is allowed.
#[derive(Debug)]
pub(crate) struct Limit<K> {
    most: usize,
    most_per_key: usize,
    counts: Mutex<Counts<K>>,
}

#[derive(Debug)]
struct Counts<K> {
    total: usize,
    by_key: HashMap<K, usize>,
}

/// One place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash + Clone> {
    limit: Arc<Limit<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Limit<K> {
    pub(crate) fn new(most: usize, most_per_key: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_key, counts: Mutex::new(Counts { total: 0, by_key: HashMap::new() }) })
    }

    /// Takes a place; `None` when there is none left.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut counts = self.lock();
        let taken = counts.by_key.get(&key).copied().unwrap_or(0);
        if counts.total >= self.most || taken >= self.most_per_key {
            return None;
        }
        counts.total += 1;
        counts.by_key.insert(key.clone(), taken + 1);
        drop(counts);
        Some(Place { limit: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Counts<K>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.limit.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(taken) = counts.by_key.get_mut(&self.key) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                counts.by_key.remove(&self.key);
            }
        }
    }
}

/// So many things at a time for each key, where the next one waits. A room is there as long as somebody uses it.
#[derive(Debug)]
pub(crate) struct Rooms<K> {
    each: usize,
    rooms: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Eq + Hash> Rooms<K> {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, rooms: Mutex::default() }
    }

    /// The room of this key.
    pub(crate) fn of(&self, key: K) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&key).and_then(Weak::upgrade) {
            return room;
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(self.each));
        rooms.insert(key, Arc::downgrade(&room));
        room
    }
}

/// What counts as one address: a host gets a whole /64 of IPv6.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_and_come_back() {
        let limit = Limit::new(3, 2);
        let first = limit.take("a").unwrap();
        let _second = limit.take("a").unwrap();
        assert!(limit.take("a").is_none(), "two for one key");
        let _third = limit.take("b").unwrap();
        assert!(limit.take("c").is_none(), "three in all");
        drop(first);
        assert!(limit.take("c").is_some());
        assert!(limit.take("a").is_some());
        assert_eq!(limit.lock().by_key.len(), 2, "nothing is kept of what is gone");
    }

    #[test]
    fn neighbours_share_their_places() {
        let near = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(near("2001:db8::1"), near("2001:db8::ffff:1"));
        assert_ne!(near("2001:db8::1"), near("2001:db8:0:1::1"));
        assert_eq!(near("::ffff:192.0.2.1"), near("192.0.2.1"));
        assert_ne!(near("192.0.2.1"), near("192.0.2.2"));
    }

    #[test]
    fn a_room_is_everybodys_who_has_its_key_while_somebody_is_in_it() {
        let rooms = Rooms::new(2);
        let (one, other) = (rooms.of("alice"), rooms.of("bob"));
        let place = one.clone().try_acquire_owned().unwrap();
        drop(one);
        assert_eq!(rooms.of("alice").available_permits(), 1, "a place outlives whoever asked for it");
        drop((place, other));
        assert_eq!(rooms.of("alice").available_permits(), 2);
        assert_eq!(rooms.rooms.lock().unwrap().len(), 1, "empty rooms are not kept");
    }
}
