//! A store that takes facts and says that it did not: what a failing disk, or a lost answer, can come to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::{ConsistencyProof, Digest, InclusionProof};
use model::{Entry, Record, Seq};
use store::{Append, Follower, Head, Query, Store, StoreError};

/// See the module.
pub(crate) struct Doubtful {
    pub(crate) store: Arc<dyn Store>,
    /// The next facts are taken so.
    pub(crate) denies: Arc<AtomicBool>,
}

impl Store for Doubtful {
    fn tail(&self) -> Seq {
        self.store.tail()
    }

    fn durable(&self) -> Head {
        self.store.durable()
    }

    fn enqueue(&self, expected: Seq, entries: Vec<Entry>) -> Result<Append, StoreError> {
        let append = self.store.enqueue(expected, entries)?;
        if self.denies.swap(false, Ordering::SeqCst) {
            append.wait()?;
            return Err(StoreError::Busy { records: 1 });
        }
        Ok(append)
    }

    fn read(&self, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store.read(from, limit)
    }

    fn follow(&self, from: Seq) -> Follower {
        self.store.follow(from)
    }

    fn find(&self, query: &Query, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store.find(query, from, limit)
    }

    fn save_snapshot(&self, name: &str, seq: Seq, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.save_snapshot(name, seq, bytes)
    }

    fn latest_snapshot(&self, name: &str) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
        self.store.latest_snapshot(name)
    }

    fn inclusion_proof(&self, seq: Seq, size: u64) -> Result<InclusionProof, StoreError> {
        self.store.inclusion_proof(seq, size)
    }

    fn consistency_proof(&self, old: u64, new: u64) -> Result<ConsistencyProof, StoreError> {
        self.store.consistency_proof(old, new)
    }

    fn root_at(&self, size: u64) -> Result<Digest, StoreError> {
        self.store.root_at(size)
    }
}
