//! What a store can do, whichever engine is behind it.

use ledger::{ConsistencyProof, Digest, InclusionProof};
use model::{Entry, Record, Seq};

use crate::{Append, Follower, Query, StoreError};

/// The durable end of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the next record; so many are durable.
    pub next: Seq,
    /// The chain hash behind the last durable record.
    pub chain: Digest,
    /// The root of the Merkle tree of the durable records.
    pub root: Digest,
}

/// The append-only log of facts, and what can be asked of it.
///
/// Nothing here waits for the disk but reads; an append is a future. Reads, look-ups and proofs see durable records
/// only.
pub trait Store: Send + Sync {
    /// The number that the next append gets, counting appends that are not durable yet.
    fn tail(&self) -> Seq;

    /// The durable end.
    fn durable(&self) -> Head;

    /// Hands in facts, to be written behind all that were handed in before, as a whole or not at all.
    ///
    /// It does not wait: the facts are durable when the returned [`Append`] resolves. When that fails, the facts and
    /// all that were handed in behind them are not in the ledger, and the tail is back at the durable end.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when `expected` is not the tail; [`StoreError::Busy`] when too much is waiting;
    /// [`StoreError::Full`] or [`StoreError::Io`] as long as the disk does not take anything; [`StoreError::Encode`],
    /// [`StoreError::TooLarge`] or [`StoreError::Empty`] for facts that can never be written.
    fn enqueue(&self, expected: Seq, entries: Vec<Entry>) -> Result<Append, StoreError>;

    /// Up to `limit` durable records from `from` on; none when it is behind the durable end.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the place, or what the system says.
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Follows the ledger from `from` on: each durable record once and in order, however slow the follower is.
    fn follow(&self, from: Seq) -> Follower;

    /// Up to `limit` durable records from `from` on that fit the query, in order.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn find(&self, query: &Query, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Keeps what the first `seq` records add up to, under a name. Older ones of the same name go, but for one. It
    /// waits for the disk, so call it where waiting is allowed.
    ///
    /// # Errors
    /// [`StoreError::Range`] when `seq` is behind the durable end, [`StoreError::Index`] when the index does not work.
    /// A snapshot saves time at a start, and nothing else depends on it.
    fn save_snapshot(&self, name: &str, seq: Seq, bytes: &[u8]) -> Result<(), StoreError>;

    /// The latest whole snapshot of that name that belongs to this ledger, and how many records it covers.
    ///
    /// # Errors
    /// What the system says. A damaged snapshot is passed over.
    fn latest_snapshot(&self, name: &str) -> Result<Option<(Seq, Vec<u8>)>, StoreError>;

    /// Proves that record `seq` is among the first `size` (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// [`StoreError::Range`] when `seq < size <= durable` does not hold; otherwise as [`Self::read`].
    fn inclusion_proof(&self, seq: Seq, size: u64) -> Result<InclusionProof, StoreError>;

    /// Proves that the first `new` records begin with the first `old` (RFC 6962, section 2.1.2).
    ///
    /// # Errors
    /// [`StoreError::Range`] when `old <= new <= durable` does not hold; otherwise as [`Self::read`].
    fn consistency_proof(&self, old: u64, new: u64) -> Result<ConsistencyProof, StoreError>;

    /// The root of the Merkle tree of the first `size` records.
    ///
    /// # Errors
    /// [`StoreError::Range`] when there are fewer; otherwise as [`Self::read`].
    fn root_at(&self, size: u64) -> Result<Digest, StoreError>;
}

/// Appends many entries fast, many to a disk write, and waits until all are durable. For benchmarks and imports;
/// nobody else may append at the same time.
///
/// # Errors
/// As [`Store::enqueue`].
pub fn fill(store: &dyn Store, entries: impl IntoIterator<Item = Entry>) -> Result<Head, StoreError> {
    const BATCH: usize = 1024;
    /// Enough to keep the disk busy while the next ones are encoded.
    const UNDER_WAY: usize = 4;
    let mut entries = entries.into_iter();
    let mut waiting = std::collections::VecDeque::new();
    loop {
        let batch: Vec<Entry> = entries.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        waiting.push_back(store.enqueue(store.tail(), batch)?);
        if waiting.len() > UNDER_WAY
            && let Some(first) = waiting.pop_front()
        {
            first.wait()?;
        }
    }
    for append in waiting {
        append.wait()?;
    }
    Ok(store.durable())
}
