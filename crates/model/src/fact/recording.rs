//! What the ledger keeps of a recording.

use serde::{Deserialize, Serialize};

/// What a recording is when it is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordingClosed {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many events it holds.
    pub events: u64,
    /// Length of what it shows, in milliseconds.
    pub milliseconds: u64,
    /// Whether it is whole.
    pub status: RecordingStatus,
}

/// Whether a recording is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingStatus {
    /// Closed in order.
    Complete,
    /// Output beyond the policy's limit was left out, and the file says where.
    Truncated,
    /// Closed at the next start after a crash: whole up to the last flush.
    Recovered,
}
