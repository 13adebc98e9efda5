//! The engine for one node: segment files in the data directory, and an index beside them.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{ConsistencyProof, Digest, InclusionProof, encode};
use model::{Entry, Record, Seq};
use tokio::sync::{oneshot, watch};

use crate::disk::{Disk, RealDisk, sync_dir};
use crate::follow::Source;
pub use crate::index::IndexReport;
use crate::index::{BLOCK, Index, decode_stored};
use crate::lock::DirLock;
use crate::segments::frame::MAX_RECORD;
use crate::segments::log::Log;
use crate::segments::open::{self, Cut};
use crate::shared::{Pending, Shared};
use crate::writer::Writer;
use crate::{Append, Follower, Head, Query, Store, StoreError};

/// The longest append in bytes of encoding.
const MAX_APPEND: usize = 16 << 20;
/// How soon an index that failed is tried again, and at the latest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// Where the segments lie in the data directory.
pub(crate) const SEGMENTS: &str = "segments";
/// Where the index lies in the data directory.
const INDEX: &str = "index";

/// How the engine works. The defaults are right for everybody but tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment of this many bytes is not gone on with.
    pub segment_bytes: u64,
    /// How many records may wait for the disk.
    pub queue_records: usize,
    /// How many bytes of encoding may wait for the disk.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, queue_records: 1 << 16, queue_bytes: 64 << 20 }
    }
}

/// What takes its time while a store is opened or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The last segment is read, in bytes.
    Reading {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// The index catches up or is built again, in records.
    Indexing {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
}

/// How the store was found when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many records it has.
    pub records: u64,
    /// What was left of a write that was never finished, and is cut off.
    pub cut: Option<Cut>,
    /// What became of the index.
    pub index: IndexReport,
}

/// A store in a directory of this machine. Dropping it writes what is queued, and lets go of the directory.
#[derive(Debug)]
pub struct Embedded {
    reader: Arc<Reader>,
    index: Arc<Index>,
    heads: watch::Receiver<Seq>,
    report: Report,
    threads: Vec<JoinHandle<()>>,
    /// Last, so that it is let go of when all else has ended.
    _lock: DirLock,
}

/// What reading needs. Followers may outlive the store.
#[derive(Debug)]
struct Reader {
    shared: Arc<Shared>,
    log: Arc<Log>,
}

impl Embedded {
    /// Opens the data directory, or makes a new one.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Corrupt`] when the last segment is damaged,
    /// and what the system says.
    pub fn open(dir: &Path, options: Options, progress: &mut dyn FnMut(Progress)) -> Result<Self, StoreError> {
        let segments = dir.join(SEGMENTS);
        make_dir(dir)?;
        make_dir(&segments)?;
        Self::open_on(Arc::new(RealDisk::new(segments)), dir, options, progress)
    }

    /// As [`Self::open`], with the segments on a disk of one's own: for tests of failures. The lock and the index are
    /// in the directory all the same, which must be there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, StoreError> {
        let lock = DirLock::take(dir)?;
        let opened = open::open(&*disk, &mut |done, total| progress(Progress::Reading { done, total }))?;
        let head = opened.end.head();
        let segment = opened.segments.last().cloned().ok_or(StoreError::Closed)?;
        let log = Arc::new(Log::new(disk, opened.segments));
        let (index, found) = Index::open(&dir.join(INDEX), Arc::clone(&log), head, &mut |done, total| {
            progress(Progress::Indexing { done, total });
        });
        let index = Arc::new(index);
        let shared = Arc::new(Shared::new(head, options.queue_records, options.queue_bytes));
        let (sender, heads) = watch::channel(head.next);
        let writer = Writer {
            shared: Arc::clone(&shared),
            log: Arc::clone(&log),
            segment,
            file: opened.file,
            end: opened.end,
            rotate_at: options.segment_bytes,
            heads: sender,
        };
        let mut store = Self {
            reader: Arc::new(Reader { shared: Arc::clone(&shared), log }),
            index: Arc::clone(&index),
            heads,
            report: Report { records: head.next.0, cut: opened.cut, index: found },
            threads: Vec::new(),
            _lock: lock,
        };
        store.spawn(dir, "ledger-writer", move || writer.run())?;
        store.spawn(dir, "ledger-index", move || keep_indexed(&shared, &index))?;
        Ok(store)
    }

    /// How the store was found.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Waits until everything durable is in the index, and syncs it; at a planned stop this saves time at the next
    /// start.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn settle(&self) -> Result<(), StoreError> {
        self.index.catch_up(self.durable().next, &mut |_, _| {})?;
        self.index.sync()
    }

    fn spawn(&mut self, dir: &Path, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push(thread.map_err(|source| StoreError::io("start a thread for", dir, source))?);
        Ok(())
    }
}

impl Store for Embedded {
    fn tail(&self) -> Seq {
        self.reader.shared.tail()
    }

    fn durable(&self) -> Head {
        self.reader.shared.head()
    }

    fn enqueue(&self, expected: Seq, entries: Vec<Entry>) -> Result<Append, StoreError> {
        if entries.is_empty() {
            return Err(StoreError::Empty);
        }
        let (mut encoded, mut bytes) = (Vec::with_capacity(entries.len()), 0);
        let mut records = Vec::with_capacity(entries.len());
        for (seq, entry) in (expected.0..).map(Seq).zip(entries) {
            let record = Record { seq, entry };
            let encoding = encode(&record)?;
            check_size("a fact", encoding.len(), MAX_RECORD)?;
            bytes += encoding.len();
            check_size("an append", bytes, MAX_APPEND)?;
            encoded.push(encoding);
            records.push(record);
        }
        let records: Arc<[Record]> = records.into();
        let (done, answer) = oneshot::channel();
        self.reader.shared.enqueue(expected, Pending { records: Arc::clone(&records), encoded, bytes, done })?;
        Ok(Append::new(records, answer))
    }

    fn read(&self, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.reader.read(from, limit)
    }

    fn follow(&self, from: Seq) -> Follower {
        Follower::new(Arc::clone(&self.reader) as Arc<dyn Source>, self.heads.clone(), from)
    }

    fn find(&self, query: &Query, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.index.find(query, from, limit, self.durable().next)
    }

    fn save_snapshot(&self, name: &str, seq: Seq, bytes: &[u8]) -> Result<(), StoreError> {
        let durable = self.durable().next;
        if seq > durable {
            return Err(StoreError::Range { asked: seq.0, size: durable.0 });
        }
        self.index.save_snapshot(name, seq, bytes)
    }

    fn latest_snapshot(&self, name: &str) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
        self.index.latest_snapshot(name, self.durable().next)
    }

    fn inclusion_proof(&self, seq: Seq, size: u64) -> Result<InclusionProof, StoreError> {
        self.index.inclusion(seq, size, self.durable())
    }

    fn consistency_proof(&self, old: u64, new: u64) -> Result<ConsistencyProof, StoreError> {
        self.index.consistency(old, new, self.durable())
    }

    fn root_at(&self, size: u64) -> Result<Digest, StoreError> {
        self.index.root_at(size, self.durable())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.reader.shared.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Source for Reader {
    fn recent(&self, from: Seq, limit: usize) -> Option<Vec<Record>> {
        self.shared.recent(from, limit)
    }

    fn read(&self, from: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        if let Some(records) = self.shared.recent(from, limit) {
            return Ok(records);
        }
        let durable = self.shared.head().next;
        let to = Seq(from.0.saturating_add(limit as u64)).min(durable);
        let mut records = Vec::new();
        self.log.walk(from, to, |stored| {
            records.push(decode_stored(stored)?);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(records)
    }
}

/// Indexes each block as soon as it is whole, and takes the index up again when it failed, until the store closes.
fn keep_indexed(shared: &Shared, index: &Index) {
    let (mut have, mut pause) = (shared.head().next, RETRY);
    let mut last_try = Instant::now();
    while shared.wait_durable(Seq(have.0 / BLOCK * BLOCK + BLOCK - 1), RETRY) {
        let head = shared.head();
        have = head.next;
        // A disk that is full or broken is not asked again and again.
        if !index.works() && last_try.elapsed() < pause {
            continue;
        }
        last_try = Instant::now();
        match index.revive(head) {
            // Without room it waits, and what it lacks is scanned.
            Ok(()) | Err(StoreError::Full { .. }) => pause = RETRY,
            Err(error) => {
                index.give_up(&error.to_string());
                pause = (pause * 2).min(LONGEST_RETRY);
            }
        }
    }
    if let Err(error) = index.sync() {
        index.give_up(&error.to_string());
    }
}

fn check_size(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// Makes a directory, and its name durable.
fn make_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    let io = |source| StoreError::io("create", dir, source);
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(io)?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(&PathBuf::from("."))).map_err(io)
}
