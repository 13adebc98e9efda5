//! Following the ledger as it grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Record, Seq};
use tokio::sync::watch;

use crate::StoreError;
use crate::sync::block_on_until;

/// How many records a follower takes at once.
const BATCH: usize = 256;

/// Hands out each durable record once and in order. A slow follower reads from the disk what it missed; nothing is
/// ever dropped, and nobody waits for it.
pub struct Follower {
    source: Arc<dyn Source>,
    durable: watch::Receiver<Seq>,
    next: Seq,
    buffer: VecDeque<Record>,
}

/// Where a follower reads.
pub(crate) trait Source: Send + Sync {
    /// Recent records, without the disk; `None` when `from` is not recent.
    fn recent(&self, from: Seq, limit: usize) -> Option<Vec<Record>>;

    /// Durable records, from the disk if need be.
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError>;
}

impl Follower {
    pub(crate) fn new(source: Arc<dyn Source>, durable: watch::Receiver<Seq>, from: Seq) -> Self {
        Self { source, durable, next: from, buffer: VecDeque::new() }
    }

    /// The number of the record that comes next.
    #[must_use]
    pub const fn position(&self) -> Seq {
        self.next
    }

    /// The next record, as soon as it is durable. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`crate::Store::read`], or [`StoreError::Closed`] when no more will come.
    pub async fn next(&mut self) -> Result<Record, StoreError> {
        loop {
            if let Some(record) = self.buffer.pop_front() {
                self.next = record.seq.next();
                return Ok(record);
            }
            let durable = *self.durable.borrow_and_update();
            if self.next < durable {
                self.buffer = self.fetch().await?.into();
            } else if self.durable.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }

    /// As [`Self::next`], waiting on this thread for at most `limit`; `None` when nothing came in that time.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Record>, StoreError> {
        let deadline = Instant::now().checked_add(limit);
        block_on_until(self.next(), deadline).transpose()
    }

    async fn fetch(&self) -> Result<Vec<Record>, StoreError> {
        let next = self.next;
        if let Some(records) = self.source.recent(next, BATCH) {
            return Ok(records);
        }
        let source = Arc::clone(&self.source);
        let read = move || source.read(next, BATCH);
        // Reading a disk must not hold up a runtime's thread; without a runtime it holds up only the caller.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(read).await.unwrap_or(Err(StoreError::Closed)),
            Err(_) => read(),
        }
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("next", &self.next).finish_non_exhaustive()
    }
}
