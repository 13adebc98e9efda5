//! What a record is found by: for each block of records one table of hashed terms and the places where they occur.
//!
//! | bytes | what |
//! |---|---|
//! | 8, 8 | the earliest and the latest time in the block |
//! | 4 | how many terms |
//! | 12 each | a term, sorted, and where its places end, counted from the first place of all |
//! | 2 each | places: numbers of records within the block |
//!
//! One small table per block keeps sled out of the way of the writer; a look-up asks each block in turn, which costs
//! about a millisecond in a million records.

use std::collections::BTreeMap;

use ledger::Digest;
use model::{Actor, Record, Seq, Timestamp};

use super::BLOCK;
use crate::Query;

/// A field and a value, hashed. Two values with one hash cost a read: what is found is compared again.
type Term = [u8; 8];

/// Bytes before the terms.
const HEAD: usize = 20;
/// Bytes of a term and the end of its places.
const ROW: usize = 12;

/// The places of all terms in one block, while it is made.
pub(super) struct Postings {
    first: u64,
    terms: BTreeMap<Term, Vec<u16>>,
    times: Option<(Timestamp, Timestamp)>,
}

impl Postings {
    /// Those of the block that begins with record `first`.
    pub(super) const fn new(first: u64) -> Self {
        Self { first, terms: BTreeMap::new(), times: None }
    }

    /// Adds a record of the block; in order.
    pub(super) fn add(&mut self, record: &Record) {
        let place = u16::try_from(record.seq.0.saturating_sub(self.first)).unwrap_or(u16::MAX);
        let entry = &record.entry;
        let (low, high) = self.times.unwrap_or((entry.time, entry.time));
        self.times = Some((low.min(entry.time), high.max(entry.time)));
        let kind = entry.fact.kind();
        let mut terms = vec![
            term('c', entry.correlation.as_str()),
            actor_term(&entry.actor),
            term('k', kind),
            term('k', noun(kind)),
        ];
        terms.extend(entry.fact.subjects().iter().map(|subject| term('s', subject.as_str())));
        for term in terms {
            self.terms.entry(term).or_default().push(place);
        }
    }

    /// The number of the block.
    pub(super) const fn block(&self) -> u64 {
        self.first / BLOCK
    }

    /// The table as it is stored.
    pub(super) fn to_table(&self) -> Vec<u8> {
        let (low, high) = self.times.unwrap_or_default();
        let mut table = Vec::with_capacity(HEAD + self.terms.len() * (ROW + 4));
        table.extend_from_slice(&low.micros().to_le_bytes());
        table.extend_from_slice(&high.micros().to_le_bytes());
        table.extend_from_slice(&u32::try_from(self.terms.len()).unwrap_or(u32::MAX).to_le_bytes());
        let mut end = 0u32;
        for (term, places) in &self.terms {
            end = end.saturating_add(u32::try_from(places.len()).unwrap_or(u32::MAX));
            table.extend_from_slice(term);
            table.extend_from_slice(&end.to_le_bytes());
        }
        table.extend(self.terms.values().flatten().flat_map(|place| place.to_le_bytes()));
        table
    }
}

/// A query as it is put to tables.
pub(super) struct Wanted {
    terms: Vec<Term>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// What a table says of a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hits {
    /// Nothing in the block fits.
    None,
    /// Only these may fit.
    Some(Vec<Seq>),
    /// Any record of the block may fit.
    All,
}

impl Wanted {
    pub(super) fn new(query: &Query) -> Self {
        let mut terms = Vec::new();
        terms.extend(query.correlation.as_ref().map(|correlation| term('c', correlation.as_str())));
        terms.extend(query.subject.as_ref().map(|subject| term('s', subject.as_str())));
        terms.extend(query.actor.as_ref().map(actor_term));
        // Anything but a kind, or a noun with its dot, is left to the comparison of what is found.
        let kind = query.kind.as_deref().filter(|kind| !kind.ends_with('.') || noun(kind) == *kind);
        terms.extend(kind.map(|kind| term('k', kind)));
        Self { terms, since: query.since, until: query.until }
    }

    /// Asks the table of a block. One that makes no sense rules nothing out.
    pub(super) fn ask(&self, block: u64, table: &[u8]) -> Hits {
        self.try_ask(block, table).unwrap_or(Hits::All)
    }

    fn try_ask(&self, block: u64, table: &[u8]) -> Option<Hits> {
        let (low, rest) = table.split_first_chunk()?;
        let (high, rest) = rest.split_first_chunk()?;
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        let early = self.since.is_some_and(|since| high < since.micros());
        let late = self.until.is_some_and(|until| low >= until.micros());
        if early || late {
            return Some(Hits::None);
        }
        let (count, rest) = rest.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (rows, places) = rest.split_at_checked(count.checked_mul(ROW)?)?;
        let rows: (&[[u8; ROW]], _) = rows.as_chunks();
        let places: (&[[u8; 2]], _) = places.as_chunks();
        let mut hits: Option<Vec<Seq>> = None;
        for term in &self.terms {
            let Ok(row) = rows.0.binary_search_by(|row| row.first_chunk::<8>().cmp(&Some(term))) else {
                return Some(Hits::None);
            };
            let start = match row.checked_sub(1) {
                Some(before) => end_of(rows.0.get(before)?)?,
                None => 0,
            };
            let here = places.0.get(start..end_of(rows.0.get(row)?)?)?;
            let here = here.iter().map(|place| Seq(block * BLOCK + u64::from(u16::from_le_bytes(*place))));
            hits = Some(match hits {
                None => here.collect(),
                Some(hits) => {
                    let here: Vec<Seq> = here.collect();
                    hits.into_iter().filter(|seq| here.binary_search(seq).is_ok()).collect()
                }
            });
        }
        Some(match hits {
            None => Hits::All,
            Some(hits) if hits.is_empty() => Hits::None,
            Some(hits) => Hits::Some(hits),
        })
    }
}

fn end_of(row: &[u8; ROW]) -> Option<usize> {
    let end = row.last_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*end)).ok()
}

/// "session." for "session.opened".
fn noun(kind: &str) -> &str {
    kind.split_inclusive('.').next().unwrap_or(kind)
}

fn actor_term(actor: &Actor) -> Term {
    match actor {
        // Whoever asks for what a person did means however they came.
        Actor::Identity(name) | Actor::Through { identity: name, .. } => term('i', name.as_str()),
        Actor::Proxy(name) => term('p', name.as_str()),
        Actor::System => term('y', ""),
    }
}

fn term(field: char, value: &str) -> Term {
    let mut text = String::with_capacity(value.len() + 1);
    text.push(field);
    text.push_str(value);
    Digest::of(text.as_bytes()).0.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::{Correlation, Entry, Fact, Record};
    use proptest::prelude::*;

    use super::*;

    fn record(seq: u64, correlation: &str, version: bool) -> Record {
        let fact = if version {
            Fact::SystemStarted { version: String::new() }
        } else {
            Fact::PolicyLoaded { sha256: String::new(), policies: 0 }
        };
        let entry = Entry {
            time: Timestamp::from_seconds(seq),
            actor: Actor::System,
            correlation: Correlation::from_text(correlation),
            fact,
        };
        Record { seq: Seq(seq), entry }
    }

    #[test]
    fn a_table_answers_for_its_block() {
        let mut postings = Postings::new(BLOCK);
        for place in 0..10 {
            postings.add(&record(BLOCK + place, if place % 2 == 0 { "even" } else { "odd" }, place % 3 == 0));
        }
        let table = postings.to_table();
        let ask = |query: Query| Wanted::new(&query).ask(postings.block(), &table);
        let places = |places: &[u64]| Hits::Some(places.iter().map(|place| Seq(BLOCK + place)).collect());
        let even = Some(Correlation::from_text("even"));
        assert_eq!(ask(Query::default()), Hits::All);
        assert_eq!(ask(Query { correlation: even.clone(), ..Query::default() }), places(&[0, 2, 4, 6, 8]));
        let kind = Some("system.".to_owned());
        assert_eq!(ask(Query { correlation: even.clone(), kind, ..Query::default() }), places(&[0, 6]));
        let kind = Some("system.stopped".to_owned());
        assert_eq!(ask(Query { kind, ..Query::default() }), Hits::None);
        let since = Some(Timestamp::from_seconds(BLOCK + 10));
        assert_eq!(ask(Query { since, ..Query::default() }), Hits::None);
        let until = Some(Timestamp::from_seconds(BLOCK));
        assert_eq!(ask(Query { correlation: even, until, ..Query::default() }), Hits::None);
    }

    proptest! {
        #[test]
        fn a_damaged_table_rules_nothing_out_or_answers(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0u32..20) {
            let mut bytes = bytes;
            if bytes.len() > HEAD {
                bytes[16..20].copy_from_slice(&count.to_le_bytes());
            }
            let query = Query { actor: Some(Actor::System), ..Query::default() };
            let _ = Wanted::new(&query).ask(7, &bytes);
        }
    }
}
