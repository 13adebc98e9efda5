//! What a record is found by: hashed terms, and for each block of records the places where a term occurs.

use std::collections::HashMap;

use ledger::Digest;
use model::{Actor, Record, Seq, Timestamp};

use super::BLOCK;
use crate::Query;

/// A field and a value, hashed to 16 bytes. Two values with one hash cost a read: what is found is compared again.
pub(super) type Term = [u8; 16];

/// The places of all terms in one block.
pub(super) struct Postings {
    first: u64,
    terms: HashMap<Term, Vec<u16>>,
    times: Option<(Timestamp, Timestamp)>,
}

impl Postings {
    /// Those of the block that begins with record `first`.
    pub(super) fn new(first: u64) -> Self {
        Self { first, terms: HashMap::new(), times: None }
    }

    /// Adds a record of the block; in order.
    pub(super) fn add(&mut self, record: &Record) {
        let place = u16::try_from(record.seq.0.saturating_sub(self.first)).unwrap_or(u16::MAX);
        let entry = &record.entry;
        let (low, high) = self.times.unwrap_or((entry.time, entry.time));
        self.times = Some((low.min(entry.time), high.max(entry.time)));
        let kind = entry.fact.kind();
        let noun = kind.split_inclusive('.').next().unwrap_or(kind);
        let mut terms =
            vec![term('c', entry.correlation.as_str()), actor_term(&entry.actor), term('k', kind), term('k', noun)];
        terms.extend(entry.fact.subjects().iter().map(|subject| term('s', subject.as_str())));
        for term in terms {
            self.terms.entry(term).or_default().push(place);
        }
    }

    /// The number of the block.
    pub(super) const fn block(&self) -> u64 {
        self.first / BLOCK
    }

    /// The earliest and the latest time of its records, as bytes.
    pub(super) fn times(&self) -> [u8; 16] {
        let (low, high) = self.times.unwrap_or_default();
        let mut bytes = [0; 16];
        for (to, from) in
            bytes.iter_mut().zip(low.micros().to_le_bytes().into_iter().chain(high.micros().to_le_bytes()))
        {
            *to = from;
        }
        bytes
    }

    /// Each term with the bytes of its places.
    pub(super) fn into_terms(self) -> impl Iterator<Item = (Term, Vec<u8>)> {
        self.terms.into_iter().map(|(term, places)| (term, places.into_iter().flat_map(u16::to_le_bytes).collect()))
    }
}

/// The terms that a query asks for, the rarest kind first.
pub(super) fn of_query(query: &Query) -> Vec<Term> {
    let mut terms = Vec::new();
    terms.extend(query.correlation.as_ref().map(|correlation| term('c', correlation.as_str())));
    terms.extend(query.subject.as_ref().map(|subject| term('s', subject.as_str())));
    terms.extend(query.actor.as_ref().map(actor_term));
    terms.extend(query.kind.as_ref().and_then(|kind| kind_term(kind)));
    terms
}

/// The places that stored bytes say, as record numbers of a block.
pub(super) fn places(block: u64, bytes: &[u8]) -> Vec<Seq> {
    let place = |pair: &[u8]| pair.try_into().ok().map(u16::from_le_bytes);
    bytes.chunks_exact(2).filter_map(place).map(|place| Seq(block * BLOCK + u64::from(place))).collect()
}

/// Whether a block with these times can hold what the query asks for.
pub(super) fn overlaps(query: &Query, times: &[u8]) -> bool {
    let Some((low, high)) = times.split_at_checked(8) else { return true };
    let time = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| Timestamp::from_micros(u64::from_le_bytes(bytes)));
    let (Some(low), Some(high)) = (time(low), time(high)) else { return true };
    query.since.is_none_or(|since| high >= since) && query.until.is_none_or(|until| low < until)
}

/// A kind, or a noun with its dot and nothing behind it; anything else is left to the comparison.
fn kind_term(kind: &str) -> Option<Term> {
    let noun = kind.split_inclusive('.').next();
    (!kind.ends_with('.') || noun == Some(kind)).then(|| term('k', kind))
}

fn actor_term(actor: &Actor) -> Term {
    match actor {
        Actor::Identity(name) => term('i', name.as_str()),
        Actor::Proxy(name) => term('p', name.as_str()),
        Actor::System => term('y', ""),
    }
}

fn term(field: char, value: &str) -> Term {
    let mut text = String::with_capacity(value.len() + 1);
    text.push(field);
    text.push_str(value);
    // Half a hash is enough for look-ups, and the database is that much smaller.
    Digest::of(text.as_bytes()).0.first_chunk().copied().unwrap_or_default()
}
