//! What can go wrong in the store, in words for the operator.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{EncodeError, Flaw, ProofError};
use model::Seq;

/// Why the store refused or failed. It can be cloned, because one failure answers every append of its group.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Someone else appended first: catch up and decide again.
    #[error("the append expected to be number {expected}, but the ledger goes on at {actual}")]
    Conflict {
        /// Where the caller thought the ledger ends.
        expected: Seq,
        /// Where it ends.
        actual: Seq,
    },
    /// An append without an entry.
    #[error("an append needs at least one entry")]
    Empty,
    /// A fact that cannot be written in canonical form.
    #[error("a fact has no canonical form")]
    Encode(#[from] EncodeError),
    /// A fact, or an append, over the limit.
    #[error("{what} is {size} bytes long; the limit is {limit}")]
    TooLarge {
        /// A fact or an append.
        what: &'static str,
        /// Its length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More is waiting to be written than the queue may hold.
    #[error("{records} records wait for the disk already; try again in a moment")]
    Busy {
        /// How many wait.
        records: usize,
    },
    /// No room on the disk. The ledger is whole, and goes on once there is room.
    #[error("no room is left on the file system of {}: free some, and the ledger goes on by itself", .dir.display())]
    Full {
        /// Where the segments are.
        dir: PathBuf,
    },
    /// The operating system failed.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// A stored byte is not what was written.
    #[error(
        "{} is corrupt at byte {offset}, record {seq}: {what}. Restore this file from a backup; `portcullis ledger verify` checks the rest", .file.display()
    )]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first record that cannot be trusted.
        seq: Seq,
        /// What is wrong there.
        what: String,
    },
    /// A segment of a later version.
    #[error("{} was written by a later version (format {found}; this one knows {known})", .file.display())]
    Version {
        /// Which file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format known here.
        known: u32,
    },
    /// Another process has the directory.
    #[error("{} is in use by {}: stop that one first, or use another data directory", .dir.display(), holder(*.pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, when it says so.
        pid: Option<u32>,
    },
    /// A verifier found a bad record.
    #[error("the ledger does not verify")]
    Flaw(#[from] Flaw),
    /// A record, or a size, beyond the end.
    #[error("number {asked} is not within the ledger, which has {size} records")]
    Range {
        /// What was asked for.
        asked: u64,
        /// How many records there are.
        size: u64,
    },
    /// A proof that does not hold.
    #[error("a proof from the ledger does not hold")]
    Proof(#[from] ProofError),
    /// The look-up index failed; the facts are not touched.
    #[error("the look-up index failed: {0}. It is taken up again, or rebuilt, by itself")]
    Index(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Turns what the operating system said into words.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            let dir = path.parent().unwrap_or(path).to_owned();
            return Self::Full { dir };
        }
        Self::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// Whether an error says that there is no room, or that a quota is used up.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
