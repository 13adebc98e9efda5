//! The recording of one channel while it runs.

mod shared;
mod sink;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ExitReport, RecordingClosed, RecordingId};
use sftp::Operation;

use self::shared::{Outcome, STALL, Shared, State};
use self::sink::Sink;
use crate::encode::Encoder;
use crate::place::Place;
use crate::pool::{Job, Pool};
use crate::{RecordError, Stream};

/// Beyond this many bytes that wait to be written, whoever records waits too.
const PENDING: usize = 256 * 1024;

/// From this many bytes on they are written without waiting for more.
const BATCH: usize = 64 * 1024;

/// Records one channel. Made by [`Vault::create`](crate::Vault::create).
///
/// All methods take `&self`, so that both directions of a channel can share one recorder in an [`Arc`]. What is recorded is
/// in the file within a second. A recorder that is dropped without [`finish`](Self::finish) leaves its file as a
/// crash would, for [`Vault::recover`](crate::Vault::recover).
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl Recorder {
    pub(crate) fn new(
        file: File,
        written: &[u8],
        encoder: Encoder,
        limit: u64,
        place: Place,
        root: PathBuf,
        pool: Arc<Pool>,
    ) -> Self {
        let size = u64::try_from(written.len()).unwrap_or(u64::MAX);
        let shared = Shared::new(State::new(encoder, size, limit), Sink::new(file, written), place, root);
        Self { shared: Arc::new(shared), pool }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &RecordingId {
        &self.shared.place.recording
    }

    /// The file, as long as the recording runs.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Records standard output of the target. Waits while the disk is behind.
    ///
    /// # Errors
    /// When the recording has failed, now or before, or is closed.
    pub async fn output(&self, bytes: &[u8]) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.data(Stream::Out, bytes, at, out)).await
    }

    /// Records standard error of the target (`SSH_EXTENDED_DATA_STDERR`, RFC 4254, section 5.2).
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn stderr(&self, bytes: &[u8]) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.data(Stream::Err, bytes, at, out)).await
    }

    /// Counts what the person sends, and records it: on a terminal what the target echoes, where the policy asks for
    /// input; to a shell without a terminal all of it; to a command without one where the policy asks. Call it before
    /// the target gets the bytes.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn input(&self, bytes: &[u8]) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.data(Stream::In, bytes, at, out)).await
    }

    /// Counts bytes that pass and are not to be kept: the content of files, whose operations go to [`file`](Self::file).
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn count(&self, stream: Stream, bytes: u64) -> Result<(), RecordError> {
        self.append(|encoder, _, _| encoder.count(stream, bytes)).await
    }

    /// Records what was done to a file. Call it before the person or the target gets what it is about.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn file(&self, operation: &Operation) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.file(operation, at, out)).await
    }

    /// Records the terminal's new size in columns and rows, as it comes from the wire; it is clamped to 1..=65535.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn resize(&self, columns: u32, rows: u32) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.resize(columns, rows, at, out)).await
    }

    /// Records a remark, which players show on the time line.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub async fn marker(&self, label: &str) -> Result<(), RecordError> {
        self.append(|encoder, at, out| encoder.marker(label, at, out)).await
    }

    /// Whether something was left out because of a limit. Right behind a call that records, it says whether all of
    /// what that call brought was kept, unless something was left out before.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.shared.lock().truncated()
    }

    /// Resolves when the recording fails, and never when it does not: a strict session ends with it.
    pub fn failed(&self) -> impl Future<Output = RecordError> + Send + use<> {
        let mut outcome = self.shared.outcome.subscribe();
        async move {
            loop {
                if let Outcome::Failed(error) = &*outcome.borrow_and_update() {
                    return error.clone();
                }
                if outcome.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Closes the recording: writes its last events, syncs it to the disk, and returns what goes into the ledger. Once it is
    /// there, call [`Vault::entered`](crate::Vault::entered).
    ///
    /// It is closed even if the returned future is dropped, and a second call answers as the first. `exit` says how
    /// the process finished.
    ///
    /// # Errors
    /// When the recording has failed, now or before.
    pub async fn finish(&self, exit: Option<&ExitReport>) -> Result<RecordingClosed, RecordError> {
        let mut outcome = self.shared.outcome.subscribe();
        if self.shared.close(exit) {
            self.pool.now(self.job());
        }
        let wait = async {
            loop {
                match &*outcome.borrow_and_update() {
                    Outcome::Running => {}
                    Outcome::Failed(error) => return Err(error.clone()),
                    Outcome::Closed(closed) => return Ok(closed.clone()),
                }
                if outcome.changed().await.is_err() {
                    return Err(RecordError::Closed { path: self.shared.path.clone() });
                }
            }
        };
        match tokio::time::timeout(STALL, wait).await {
            Ok(result) => result,
            Err(_) => Err(self.shared.stalled()),
        }
    }

    async fn append(
        &self,
        mut write: impl FnMut(&mut Encoder, Duration, &mut Vec<u8>) + Send,
    ) -> Result<(), RecordError> {
        if self.try_append(&mut write)? {
            return Ok(());
        }
        loop {
            // Taken before the look at the room, so that no wake-up between the two is missed.
            let room = self.shared.room.notified();
            if self.try_append(&mut write)? {
                return Ok(());
            }
            if tokio::time::timeout(STALL, room).await.is_err() {
                return Err(self.shared.stalled());
            }
        }
    }

    /// Appends, unless there is no room.
    fn try_append(
        &self,
        write: &mut (impl FnMut(&mut Encoder, Duration, &mut Vec<u8>) + Send),
    ) -> Result<bool, RecordError> {
        let mut state = self.shared.lock();
        state.check(&self.shared.path)?;
        let now = Instant::now();
        if state.waiting_since.is_some_and(|since| now.saturating_duration_since(since) > STALL) {
            drop(state);
            return Err(self.shared.stalled());
        }
        if state.buffer.len().saturating_add(state.in_flight) >= PENDING {
            return Ok(false);
        }
        let at = now.saturating_duration_since(self.shared.epoch);
        let State { encoder, buffer, .. } = &mut *state;
        let before = buffer.len();
        write(encoder, at, buffer);
        let more = buffer.len().saturating_sub(before);
        state.grow(more, at);
        if state.buffer.is_empty() {
            return Ok(true);
        }
        state.waiting_since.get_or_insert(now);
        let now = state.buffer.len() >= BATCH && !std::mem::replace(&mut state.queued, true);
        let later = !now && !std::mem::replace(&mut state.timer, true);
        drop(state);
        if now {
            self.pool.now(self.job());
        } else if later {
            self.pool.later(self.job());
        }
        Ok(true)
    }

    fn job(&self) -> Arc<dyn Job> {
        Arc::clone(&self.shared) as Arc<dyn Job>
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.shared.abandon() {
            self.pool.now(self.job());
        }
    }
}

#[cfg(test)]
mod tests;
