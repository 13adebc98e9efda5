//! What a recorder shares with the thread that writes: what waits, how the file stands, how it ended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{ExitReport, RecordingClosed, RecordingStatus};
use tokio::sync::{Notify, watch};

use super::sink::Sink;
use crate::RecordError;
use crate::encode::Encoder;
use crate::place::{Place, Stage};
use crate::pool::Job;

/// For so long the disk may take nothing before the recording counts as failed.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// How a recording ended, for whoever waits for that.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
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

/// What changes while a channel is recorded.
#[derive(Debug)]
pub(super) struct State {
    pub(super) encoder: Encoder,
    /// How many bytes the file has, or will have.
    size: u64,
    /// So many it may have.
    limit: u64,
    pub(super) buffer: Vec<u8>,
    /// Bytes that a thread is writing at this moment.
    pub(super) in_flight: usize,
    /// Queued to be written later.
    pub(super) timer: bool,
    /// Queued to be written at once.
    pub(super) queued: bool,
    /// Since when the oldest bytes wait.
    pub(super) waiting_since: Option<Instant>,
    phase: Phase,
}

impl State {
    /// An open recording whose file has `size` bytes already and may have `limit`.
    pub(super) const fn new(encoder: Encoder, size: u64, limit: u64) -> Self {
        Self {
            encoder,
            size,
            limit,
            buffer: Vec::new(),
            in_flight: 0,
            timer: false,
            queued: false,
            waiting_since: None,
            phase: Phase::Open,
        }
    }

    /// Counts what was put into the buffer, and says in the file where it ends when it was the last.
    pub(super) fn grow(&mut self, more: usize, at: Duration) {
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

    /// Whether something was left out.
    pub(super) const fn truncated(&self) -> bool {
        self.is_full() || self.encoder.truncated()
    }

    /// Whether more may be recorded.
    pub(super) fn check(&self, path: &Path) -> Result<(), RecordError> {
        match &self.phase {
            Phase::Open if self.is_full() => Err(RecordError::Full { limit: self.limit }),
            Phase::Open => Ok(()),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Closing | Phase::Abandoned | Phase::Closed => Err(RecordError::Closed { path: path.to_owned() }),
        }
    }
}

/// A recording, as its recorder and the thread that writes it share it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    root: PathBuf,
    pub(super) place: Place,
    pub(super) epoch: Instant,
    state: Mutex<State>,
    /// Held by the thread that writes, so that bytes stay in order.
    sink: Mutex<Option<Sink>>,
    pub(super) room: Notify,
    pub(super) outcome: watch::Sender<Outcome>,
}

impl Shared {
    /// A recording that begins now.
    pub(super) fn new(state: State, sink: Sink, place: Place, root: PathBuf) -> Self {
        Self {
            path: place.path(&root, Stage::Part),
            root,
            place,
            epoch: Instant::now(),
            state: Mutex::new(state),
            sink: Mutex::new(Some(sink)),
            room: Notify::new(),
            outcome: watch::Sender::new(Outcome::Running),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the last events into the buffer; whether this was the first call.
    pub(super) fn close(&self, exit: Option<&ExitReport>) -> bool {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            return false;
        }
        let State { encoder, buffer, .. } = &mut *state;
        encoder.finish(exit, self.epoch.elapsed(), buffer);
        state.phase = Phase::Closing;
        true
    }

    /// The recorder was dropped; whether it was open.
    pub(super) fn abandon(&self) -> bool {
        let mut state = self.lock();
        let open = matches!(state.phase, Phase::Open);
        if open {
            state.phase = Phase::Abandoned;
        }
        open
    }

    /// The disk has taken nothing for too long.
    pub(super) fn stalled(&self) -> RecordError {
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
