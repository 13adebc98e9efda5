//! The recording of one channel while it runs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{ExitReport, RecordingClosed, RecordingId, RecordingStatus};
use sftp::Operation;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};

use crate::encode::Encoder;
use crate::place::{Place, Stage};
use crate::pool::{Job, Pool};
use crate::{RecordError, Stream};

/// Beyond this many bytes that wait to be written, whoever records waits too.
const PENDING: usize = 256 * 1024;

/// From this many bytes on they are written without waiting for more.
const BATCH: usize = 64 * 1024;

/// For so long the disk may take nothing before the recording counts as failed.
const STALL: Duration = Duration::from_secs(30);

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
        let path = place.path(&root, Stage::Part);
        let state = State {
            encoder,
            size: u64::try_from(written.len()).unwrap_or(u64::MAX),
            limit,
            buffer: Vec::new(),
            in_flight: 0,
            timer: false,
            queued: false,
            waiting_since: None,
            phase: Phase::Open,
        };
        let shared = Shared {
            path,
            root,
            place,
            epoch: Instant::now(),
            state: Mutex::new(state),
            sink: Mutex::new(Some(Sink::new(file, written))),
            room: Notify::new(),
            outcome: watch::Sender::new(Outcome::Running),
        };
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

#[derive(Clone, Debug)]
enum Outcome {
    Running,
    Failed(RecordError),
    Closed(RecordingClosed),
}

#[derive(Debug)]
enum Phase {
    Open,
    /// The last events are in the buffer.
    Closing,
    /// The recorder was dropped: what is in the buffer is written, and the file stays as it is.
    Abandoned,
    Failed(RecordError),
    Closed,
}

#[derive(Debug)]
struct State {
    encoder: Encoder,
    /// How many bytes the file has, or will have.
    size: u64,
    /// So many it may have.
    limit: u64,
    buffer: Vec<u8>,
    /// Bytes that a thread is writing at this moment.
    in_flight: usize,
    /// Queued to be written later.
    timer: bool,
    /// Queued to be written at once.
    queued: bool,
    /// Since when the oldest bytes wait.
    waiting_since: Option<Instant>,
    phase: Phase,
}

impl State {
    /// Counts what was put into the buffer, and says in the file where it ends when it was the last.
    fn grow(&mut self, more: usize, at: Duration) {
        let was_full = self.is_full();
        self.size = self.size.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        if self.is_full() && !was_full {
            let words = format!("the recording has reached its limit of {} bytes: what followed is lost", self.limit);
            self.encoder.marker(&words, at, &mut self.buffer);
        }
    }

    const fn is_full(&self) -> bool {
        self.size >= self.limit
    }

    const fn truncated(&self) -> bool {
        self.is_full() || self.encoder.truncated()
    }

    fn check(&self, path: &Path) -> Result<(), RecordError> {
        match &self.phase {
            Phase::Open if self.is_full() => Err(RecordError::Full { limit: self.limit }),
            Phase::Open => Ok(()),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Closing | Phase::Abandoned | Phase::Closed => Err(RecordError::Closed { path: path.to_owned() }),
        }
    }
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    root: PathBuf,
    place: Place,
    epoch: Instant,
    state: Mutex<State>,
    /// Held by the thread that writes, so that bytes stay in order.
    sink: Mutex<Option<Sink>>,
    room: Notify,
    outcome: watch::Sender<Outcome>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the last events into the buffer; whether this was the first call.
    fn close(&self, exit: Option<&ExitReport>) -> bool {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            return false;
        }
        let State { encoder, buffer, .. } = &mut *state;
        encoder.finish(exit, self.epoch.elapsed(), buffer);
        state.phase = Phase::Closing;
        true
    }

    fn abandon(&self) -> bool {
        let mut state = self.lock();
        let open = matches!(state.phase, Phase::Open);
        if open {
            state.phase = Phase::Abandoned;
        }
        open
    }

    fn stalled(&self) -> RecordError {
        self.fail(RecordError::Stalled { path: self.path.clone(), waited: STALL })
    }

    /// Makes the failure known, unless there was another before or all is well in the end.
    fn fail(&self, error: RecordError) -> RecordError {
        let mut state = self.lock();
        if let Phase::Failed(first) = &state.phase {
            return first.clone();
        }
        if !matches!(state.phase, Phase::Closed) {
            state.phase = Phase::Failed(error.clone());
            state.buffer = Vec::new();
            self.outcome.send_replace(Outcome::Failed(error.clone()));
        }
        drop(state);
        self.room.notify_waiters();
        error
    }

    fn write(&self, sink: &mut Sink, buffer: &[u8]) -> Result<(), RecordError> {
        sink.write(buffer).map_err(|error| self.io(error))
    }

    fn seal(&self, sink: Sink) -> Result<(), RecordError> {
        let (events, micros, truncated) = {
            let state = self.lock();
            let (events, micros) = state.encoder.progress();
            (events, micros, state.truncated())
        };
        let status = if truncated { RecordingStatus::Truncated } else { RecordingStatus::Complete };
        let bytes = sink.bytes;
        let sha256 =
            hex::encode(sink.close(&self.path, &self.place.path(&self.root, Stage::Done)).map_err(|e| self.io(e))?);
        let mut state = self.lock();
        // Whoever was told that it failed must not find it closed later.
        if let Phase::Failed(error) = &state.phase {
            return Err(error.clone());
        }
        state.phase = Phase::Closed;
        let closed = RecordingClosed { sha256, bytes, events, milliseconds: micros / 1000, status };
        self.outcome.send_replace(Outcome::Closed(closed));
        Ok(())
    }

    fn io(&self, source: io::Error) -> RecordError {
        RecordError::Write { path: self.path.clone(), source: Arc::new(source) }
    }
}

impl Job for Shared {
    fn run(&self, timed: bool) {
        let mut place = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut sink) = place.take() else { return };
        let (buffer, last) = {
            let mut state = self.lock();
            if timed {
                state.timer = false;
            } else {
                state.queued = false;
            }
            let buffer = std::mem::take(&mut state.buffer);
            state.in_flight = buffer.len();
            match &state.phase {
                Phase::Open => (buffer, None),
                Phase::Closing => (buffer, Some(true)),
                Phase::Abandoned => (buffer, Some(false)),
                // The file is let go as it is: whole lines.
                Phase::Failed(_) | Phase::Closed => return,
            }
        };
        if let Err(error) = self.write(&mut sink, &buffer) {
            self.fail(error);
            return;
        }
        {
            let mut state = self.lock();
            state.in_flight = 0;
            state.waiting_since = if state.buffer.is_empty() { None } else { Some(Instant::now()) };
        }
        self.room.notify_waiters();
        match last {
            None => *place = Some(sink),
            Some(true) => {
                if let Err(error) = self.seal(sink) {
                    self.fail(error);
                }
            }
            Some(false) => {}
        }
    }
}

/// The file, with the digest of what is in it.
#[derive(Debug)]
struct Sink {
    file: File,
    sha: Sha256,
    bytes: u64,
}

impl Sink {
    fn new(file: File, written: &[u8]) -> Self {
        let mut sha = Sha256::new();
        sha.update(written);
        Self { file, sha, bytes: u64::try_from(written.len()).unwrap_or(u64::MAX) }
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let error = match self.file.write(rest) {
                Ok(count) if count > 0 => {
                    rest = rest.get(count..).unwrap_or_default();
                    continue;
                }
                Ok(_) => io::Error::from(io::ErrorKind::WriteZero),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            // A line that is half written makes players refuse the whole file, so it ends with the last whole one.
            let written = buffer.get(..buffer.len().saturating_sub(rest.len())).unwrap_or_default();
            let lines = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last.saturating_add(1));
            // If this fails too, recovery does it.
            let _ = self.file.set_len(self.bytes.saturating_add(u64::try_from(lines).unwrap_or(0)));
            return Err(error);
        }
        self.sha.update(buffer);
        self.bytes = self.bytes.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Makes the file durable under its name of a closed one.
    fn close(self, part: &Path, done: &Path) -> io::Result<[u8; 32]> {
        self.file.sync_data()?;
        std::fs::rename(part, done)?;
        if let Some(folder) = done.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(self.sha.finalize().into())
    }
}

#[cfg(test)]
mod tests;
