//! Building the state: the latest snapshot, and the records behind it.

use std::sync::mpsc::SyncSender;

use access::State;
use model::{Record, Seq, Timestamp};
use store::Store;

use super::AppError;
use super::engine::unavailable;
use super::seal::Seal;

/// The name of the state's snapshots in the store. The number changes when the state's form does.
pub(super) const SNAPSHOT: &str = "access-state-3";
/// How many records are read at a time.
const CHUNK: usize = 4096;
/// How many such chunks are read ahead.
const AHEAD: usize = 4;

/// The state that the store's durable records add up to. They are read and applied on two threads.
pub(super) fn build(store: &dyn Store, seal: &Seal) -> Result<(State, Seq, Timestamp), AppError> {
    let mut state = match store.latest_snapshot(SNAPSHOT).map_err(|error| unavailable(&error))? {
        Some((seq, bytes)) => read_snapshot(seal, seq, &bytes).unwrap_or_default(),
        None => State::default(),
    };
    let start = state.next();
    // What the snapshot covers is not read again, but facts must not go back behind its last one.
    let mut latest = last_time(store, start)?;
    let (sender, chunks) = std::sync::mpsc::sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(store, start, &sender));
        for chunk in chunks {
            for record in chunk? {
                latest = latest.max(record.entry.time);
                state.apply(&record).map_err(|corruption| AppError::Internal(corruption.to_string()))?;
            }
        }
        Ok::<(), AppError>(())
    })?;
    let next = state.next();
    Ok((state, next, latest))
}

/// Reads on until there is no more, or nobody wants it any more.
fn read_ahead(store: &dyn Store, mut from: Seq, chunks: &SyncSender<Result<Vec<Record>, AppError>>) {
    loop {
        let read = store.read(from, CHUNK).map_err(|error| unavailable(&error));
        let last = read.as_ref().ok().and_then(|records| records.last()).map(|record| record.seq);
        if read.as_ref().is_ok_and(Vec::is_empty) || chunks.send(read).is_err() {
            return;
        }
        match last {
            Some(last) => from = last.next(),
            None => return,
        }
    }
}

/// The time of the record before `next`.
fn last_time(store: &dyn Store, next: Seq) -> Result<Timestamp, AppError> {
    let Some(last) = next.0.checked_sub(1) else { return Ok(Timestamp::default()) };
    let read = store.read(Seq(last), 1).map_err(|error| unavailable(&error))?;
    Ok(read.first().map(|record| record.entry.time).unwrap_or_default())
}

/// A snapshot that cannot be read, or that is not ours, is not an error: the records have it all.
fn read_snapshot(seal: &Seal, seq: Seq, bytes: &[u8]) -> Option<State> {
    let Some(bytes) = seal.open(SNAPSHOT, seq, bytes) else {
        tracing::warn!(
            %seq,
            "the snapshot of the state is thrown away: it was not written with this ledger's key, or was changed \
             since; the whole ledger is read instead"
        );
        return None;
    };
    match serde_json::from_slice::<State>(bytes) {
        Ok(state) if state.next() == seq => Some(state),
        Ok(_) | Err(_) => {
            tracing::warn!(%seq, "the snapshot of the state cannot be read; the whole ledger is read instead");
            None
        }
    }
}
