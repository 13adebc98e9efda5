//! Look-ups: the index says where to look, the records say what is found.

use std::ops::ControlFlow;
use std::sync::Arc;

use model::{Record, Seq};

use super::terms::{Hits, Wanted};
use super::{BLOCK, Index, Open, decode_stored};
use crate::segments::log::Stored;
use crate::sync::lock;
use crate::{Query, StoreError};

impl Index {
    /// As [`crate::Store::find`].
    pub(crate) fn find(&self, query: &Query, from: Seq, limit: usize, durable: Seq) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        let mut next = from;
        if let Some(open) = self.current() {
            match self.find_indexed(&open, query, from, limit, durable, &mut found) {
                Ok(behind) => next = behind.max(from),
                Err(error @ StoreError::Index(_)) => {
                    self.give_up(&error.to_string());
                    found.clear();
                }
                Err(error) => return Err(error),
            }
        }
        if found.len() < limit && next < durable {
            self.log.walk(next, durable, |stored| pick(stored, query, limit, &mut found))?;
        }
        Ok(found)
    }

    /// Finds among the indexed records, and says where the indexed ones end.
    fn find_indexed(
        &self,
        open: &Open,
        query: &Query,
        from: Seq,
        limit: usize,
        durable: Seq,
        found: &mut Vec<Record>,
    ) -> Result<Seq, StoreError> {
        match self.catch_up(durable, &mut |_, _| {}) {
            // What is not indexed for want of room is scanned.
            Ok(()) | Err(StoreError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        let indexed = Seq(lock(&open.progress).tree.size());
        let wanted = Arc::new(Wanted::new(query));
        let mut block = from.0 / BLOCK;
        while found.len() < limit && block * BLOCK < indexed.0 {
            let asked = Arc::clone(&wanted);
            let next = open.db.run(move |db| db.next_block(&asked, block, indexed.0 / BLOCK));
            let Some((hit, hits)) = next.map_err(StoreError::Index)? else { break };
            block = hit + 1;
            let first = Seq(hit * BLOCK);
            let (low, high) = match &hits {
                Hits::None => continue,
                Hits::All => (Some(first), Some(Seq(first.0 + BLOCK - 1))),
                Hits::Some(places) => (places.first().copied(), places.last().copied()),
            };
            let (Some(low), Some(high)) = (low, high) else { continue };
            self.log.walk(low.max(from), high.next(), |stored| {
                let skipped = matches!(&hits, Hits::Some(places) if places.binary_search(&stored.header.seq).is_err());
                if skipped { Ok(ControlFlow::Continue(())) } else { pick(stored, query, limit, found) }
            })?;
        }
        Ok(indexed)
    }
}

/// Takes a record that fits, until there are enough.
fn pick(
    stored: &Stored<'_>,
    query: &Query,
    limit: usize,
    found: &mut Vec<Record>,
) -> Result<ControlFlow<()>, StoreError> {
    if found.len() >= limit {
        return Ok(ControlFlow::Break(()));
    }
    let record = decode_stored(stored)?;
    if query.matches(&record) {
        found.push(record);
    }
    Ok(if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
}
