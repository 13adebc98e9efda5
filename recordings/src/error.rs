//! What can go wrong.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::RecordingId;

/// A recording that cannot be written. It stays: every later call on the same recorder reports it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be written.
    #[error("the recording {} cannot be written: look at the space and the permissions there", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The disk takes nothing any more.
    #[error("the recording {} has waited {} s for the disk", .path.display(), .waited.as_secs())]
    Stalled {
        /// Which file.
        path: PathBuf,
        /// For how long.
        waited: Duration,
    },
    /// As much was recorded as one recording may hold. What there is of it is whole, and says that it ends there.
    #[error("the recording has reached its limit of {limit} bytes")]
    Full {
        /// In bytes of the file.
        limit: u64,
    },
    /// Something was to be recorded after the end.
    #[error("the recording {} is already closed", .path.display())]
    Closed {
        /// Which file.
        path: PathBuf,
    },
}

/// The vault cannot do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file system refuses.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried, as in "cannot create …".
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process writes here.
    #[error("the recordings in {} are in use by another process: stop it, or give this one its own directory", .path.display())]
    InUse {
        /// The vault's directory.
        path: PathBuf,
    },
    /// A recording of this id is there already. None is ever overwritten.
    #[error("the recording {recording} exists already as {}", .path.display())]
    Exists {
        /// Its id.
        recording: RecordingId,
        /// Where it is.
        path: PathBuf,
    },
    /// There is no such recording.
    #[error("there is no recording {recording} in {}", .path.display())]
    Unknown {
        /// Its id.
        recording: RecordingId,
        /// The vault's directory.
        path: PathBuf,
    },
    /// A file of the vault does not read as a recording.
    #[error("{} does not read as a recording", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and in which line.
        source: ParseError,
    },
    /// A background task was ended, because the process is going down.
    #[error("the vault in {} is shutting down", .path.display())]
    ShuttingDown {
        /// The vault's directory.
        path: PathBuf,
    },
}

impl VaultError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// A line of a recording that does not read. Lines are counted from 1, the header's.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file ends before its header does.
    #[error("line 1: there is no header; the recording is empty")]
    Empty,
    /// A line is longer than any that Portcullis writes.
    #[error("line {line}: longer than {limit} bytes")]
    Long {
        /// Which line.
        line: u64,
        /// The limit.
        limit: usize,
    },
    /// A line is no JSON of the right shape.
    #[error("line {line}: not {expected}")]
    Json {
        /// Which line.
        line: u64,
        /// What belongs there.
        expected: &'static str,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// A line is JSON, but says something impossible.
    #[error("line {line}: {problem}")]
    Shape {
        /// Which line.
        line: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The last line is cut off.
    #[error("line {line}: cut off; the recording was not closed in order, and was whole up to here")]
    Torn {
        /// Which line.
        line: u64,
    },
    /// The file cannot be read.
    #[error("line {line}: cannot be read")]
    Io {
        /// Which line.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// A recording that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The recording does not read.
    #[error("the recording does not read")]
    Parse(#[from] ParseError),
    /// It cannot be fetched.
    #[error("the recording cannot be fetched")]
    Source(#[source] io::Error),
    /// It cannot be shown.
    #[error("the recording cannot be shown")]
    Output(#[source] io::Error),
    /// A speed that is no speed.
    #[error("{0} is no speed: it must be a number above 0, 1 being the recording's own")]
    Speed(f64),
}
