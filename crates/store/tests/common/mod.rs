//! What the tests of the store share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test binary uses its part of it"
)]

use std::path::Path;

use ledger::Verifier;
use model::{Actor, Correlation, Entry, Fact, RequestId, RequestSpec, SessionId, Timestamp};
use portcullis_store::{Checked, Embedded, Options, Store, verify};

/// Entry number `number`: a mix of kinds, actors, subjects and lengths that depends on the number alone.
pub fn entry(number: u64) -> Entry {
    let request = RequestId::from_random(number / 10);
    let person = ["alice", "bob", "carol"][usize::try_from(number % 3).unwrap()];
    let fact = match number % 5 {
        0 => Fact::GrantActivated { request: request.clone() },
        1 => Fact::SystemStarted { version: "v".repeat(usize::try_from(number * 31 % 700).unwrap()) },
        2 => Fact::SessionCut { session: SessionId::from_random(number), reason: format!("reason {number}") },
        3 => Fact::RequestRefused {
            spec: RequestSpec {
                identity: person.parse().unwrap(),
                target: format!("web{}", number % 4).parse().unwrap(),
                login: "root".parse().unwrap(),
                duration: model::Span::from_minutes(30),
                reason: "look into the logs".parse().unwrap(),
                ticket: None,
                command: None,
                start: None,
                extends: None,
            },
            reason: "nothing matches".to_owned(),
        },
        _ => Fact::SystemStopped {},
    };
    let actor = if number.is_multiple_of(7) { Actor::System } else { Actor::Identity(person.parse().unwrap()) };
    let correlation = if number.is_multiple_of(11) { Correlation::system() } else { Correlation::from(&request) };
    Entry { time: Timestamp::from_seconds(1_000_000 + number), actor, correlation, fact }
}

pub fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

pub fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Options::default(), &mut |_| {}).unwrap()
}

/// Segments so small that a few hundred records make several.
pub fn small() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

/// Appends numbers in order from the tail on, a few to each append, and waits for them.
pub fn append(store: &dyn Store, count: u64) {
    let mut next = store.tail().0;
    let end = next + count;
    let mut waiting = Vec::new();
    while next < end {
        let stop = (next + 1 + next % 4).min(end);
        waiting.push(store.enqueue(model::Seq(next), entries(next..stop)).unwrap());
        next = stop;
    }
    for append in waiting {
        append.wait().unwrap();
    }
}

/// Checks that the store holds exactly the entries 0.. up to its end.
pub fn check_all(store: &dyn Store) -> u64 {
    let head = store.durable();
    let records = store.read(model::Seq(0), usize::MAX).unwrap();
    assert_eq!(records.len() as u64, head.next.0);
    for (number, record) in (0..).zip(&records) {
        assert_eq!((record.seq.0, &record.entry), (number, &entry(number)));
    }
    head.next.0
}

pub fn verify_whole(dir: &Path) -> Checked {
    verify(dir, Verifier::new(), &mut |_, _| {}).unwrap()
}
