//! What the callers, the writer and the indexer share: the queue, the durable end, and the recent records.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use model::{Record, Seq};
use tokio::sync::oneshot;

use crate::sync::lock;
use crate::{Head, StoreError};

/// How many recent records stay in memory, and how many bytes of encoding they may stand for.
const RECENT_RECORDS: usize = 4096;
const RECENT_BYTES: usize = 8 << 20;
/// How much is written with one `fdatasync`, but for a single larger append.
const GROUP_BYTES: usize = 4 << 20;

/// The meeting point of all threads of a store.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The queue has something, or the store closes.
    work: Condvar,
    /// More is durable, or the store closes.
    durable: Condvar,
    /// How many records and bytes may wait.
    limits: (usize, usize),
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Pending>,
    queued_records: usize,
    queued_bytes: usize,
    tail: Seq,
    head: Head,
    recent: VecDeque<Recent>,
    recent_records: usize,
    recent_bytes: usize,
    /// Why nothing can be appended now.
    refusal: Option<StoreError>,
    closing: bool,
}

/// An append in the queue.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) records: Arc<[Record]>,
    pub(crate) encoded: Vec<Vec<u8>>,
    pub(crate) bytes: usize,
    pub(crate) done: oneshot::Sender<Result<Head, StoreError>>,
}

#[derive(Debug)]
struct Recent {
    records: Arc<[Record]>,
    bytes: usize,
}

impl Shared {
    pub(crate) fn new(head: Head, max_records: usize, max_bytes: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            queued_records: 0,
            queued_bytes: 0,
            tail: head.next,
            head,
            recent: VecDeque::new(),
            recent_records: 0,
            recent_bytes: 0,
            refusal: None,
            closing: false,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            durable: Condvar::new(),
            limits: (max_records, max_bytes),
        }
    }

    pub(crate) fn tail(&self) -> Seq {
        lock(&self.state).tail
    }

    pub(crate) fn head(&self) -> Head {
        lock(&self.state).head
    }

    /// Queues an append that expects to be at `expected`.
    pub(crate) fn enqueue(&self, expected: Seq, pending: Pending) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        if state.tail != expected {
            return Err(StoreError::Conflict { expected, actual: state.tail });
        }
        let (records, bytes) =
            (state.queued_records + pending.records.len(), state.queued_bytes.saturating_add(pending.bytes));
        // One append always fits into an empty queue, so none is refused for ever.
        if !state.queue.is_empty() && (records > self.limits.0 || bytes > self.limits.1) {
            return Err(StoreError::Busy { records: state.queued_records });
        }
        (state.queued_records, state.queued_bytes) = (records, bytes);
        state.tail = Seq(expected.0 + pending.records.len() as u64);
        state.queue.push_back(pending);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Waits for appends, and takes as many as make one group. `None`: the store closes and nothing is left.
    pub(crate) fn next_group(&self) -> Option<Vec<Pending>> {
        let mut state = lock(&self.state);
        while state.queue.is_empty() {
            if state.closing {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(pending) =
            state.queue.pop_front_if(|pending| group.is_empty() || bytes + pending.bytes <= GROUP_BYTES)
        {
            bytes += pending.bytes;
            state.queued_records -= pending.records.len();
            state.queued_bytes -= pending.bytes;
            group.push(pending);
        }
        Some(group)
    }

    /// A group is durable. Everybody hears of it after the state says so.
    pub(crate) fn committed(&self, head: Head, group: Vec<Pending>) {
        let mut state = lock(&self.state);
        state.head = head;
        for pending in &group {
            state.remember(Arc::clone(&pending.records), pending.bytes);
        }
        drop(state);
        self.durable.notify_all();
        for pending in group {
            // Nobody may be waiting any more; the records are durable all the same.
            let _ = pending.done.send(Ok(head));
        }
    }

    /// A group is not durable: it fails with everything behind it, and nothing is taken until [`Self::healed`].
    pub(crate) fn failed(&self, error: &StoreError, group: Vec<Pending>) {
        let mut state = lock(&self.state);
        let behind = std::mem::take(&mut state.queue);
        (state.queued_records, state.queued_bytes) = (0, 0);
        state.tail = state.head.next;
        state.refusal = Some(error.clone());
        drop(state);
        for pending in group.into_iter().chain(behind) {
            let _ = pending.done.send(Err(error.clone()));
        }
    }

    /// The disk takes appends again.
    pub(crate) fn healed(&self) {
        lock(&self.state).refusal = None;
    }

    /// Waits before the next try to heal; `false` when the store closes.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) =
            self.work.wait_timeout_while(state, time, |state| !state.closing).unwrap_or_else(PoisonError::into_inner);
        !state.closing
    }

    /// Waits until more than `have` records are durable, for a bounded time; `false` when the store closes.
    pub(crate) fn wait_durable(&self, have: Seq, time: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) = self
            .durable
            .wait_timeout_while(state, time, |state| !state.closing && state.head.next <= have)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closing
    }

    /// The store closes: what is queued is still written, and nothing more is taken.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        state.refusal.get_or_insert(StoreError::Closed);
        drop(state);
        self.work.notify_all();
        self.durable.notify_all();
    }

    /// Recent records from `from` on; `None` when they are not in memory.
    pub(crate) fn recent(&self, from: Seq, limit: usize) -> Option<Vec<Record>> {
        let groups: Vec<Arc<[Record]>> = {
            let state = lock(&self.state);
            let oldest = state.recent.front()?.first()?;
            if from < oldest {
                return None;
            }
            let start = state.recent.partition_point(|recent| recent.last().is_some_and(|last| last < from));
            let behind = Seq(from.0.saturating_add(limit as u64));
            state
                .recent
                .iter()
                .skip(start)
                .take_while(|recent| recent.first().is_some_and(|first| first < behind))
                .map(|recent| Arc::clone(&recent.records))
                .collect()
        };
        let records = groups.iter().flat_map(|group| group.iter()).filter(|record| record.seq >= from);
        Some(records.take(limit).cloned().collect())
    }
}

impl State {
    fn remember(&mut self, records: Arc<[Record]>, bytes: usize) {
        self.recent_records += records.len();
        self.recent_bytes += bytes;
        self.recent.push_back(Recent { records, bytes });
        while self.recent_records > RECENT_RECORDS || self.recent_bytes > RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_records -= oldest.records.len();
            self.recent_bytes -= oldest.bytes;
        }
    }
}

impl Recent {
    fn first(&self) -> Option<Seq> {
        self.records.first().map(|record| record.seq)
    }

    fn last(&self) -> Option<Seq> {
        self.records.last().map(|record| record.seq)
    }
}
