//! sled, at arm's length: in a thread of its own, because sled 0.34 panics on some damage and hangs on some errors.
//!
//! A panic comes back as an error. A call that hangs (seen when a disk ran full under it: closing waits for ever for a
//! write that failed) is left behind with its thread, and sled is not used again in this process.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use model::Seq;

use super::BLOCK;
use super::terms::{Hits, Postings, Wanted};
use crate::disk::sync_dir;
use crate::sync::lock;

/// Where sled lies in the index directory.
const DIR: &str = "sled";
/// How much memory sled may use for its cache.
const CACHE: u64 = 32 << 20;
/// The key of the number of indexed records.
const INDEXED: &[u8] = b"i";
/// How long a call may take. Only a call that never ends takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// How long closing may take, which a stop waits for.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);
/// How long opening may take, which may have to go through all of it.
const OPEN_LIMIT: Duration = Duration::from_secs(600);
/// How often a database that another holds is tried again, and for how long.
const AGAIN: Duration = Duration::from_millis(5);
const HELD_LIMIT: Duration = Duration::from_secs(15);
/// What is said once a call hung.
const STUCK: &str = "its database hangs after an error; it is opened again at the next start";

/// Whether a call hung: sled keeps state for the whole process, so none of it can be trusted then.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// The database of the index.
#[derive(Debug)]
pub(super) struct Db {
    /// `None` while it is dropped.
    jobs: Option<Sender<Job>>,
    /// Disconnected when the thread has closed the database.
    closed: Mutex<Receiver<()>>,
    /// How long a call may take.
    limit: Duration,
}

type Job = Box<dyn FnOnce(&Inner) + Send>;

/// The database within its thread.
pub(super) struct Inner {
    db: sled::Db,
    blocks: sled::Tree,
    /// Snapshots have a tree of their own.
    pub(super) snapshots: sled::Tree,
}

impl Db {
    /// Opens or creates the database in the index directory.
    pub(super) fn open(dir: &Path) -> Result<Self, String> {
        if IS_STUCK.load(Ordering::SeqCst) {
            return Err(STUCK.to_owned());
        }
        let path = dir.join(DIR);
        let (jobs, inbox) = channel::<Job>();
        let (opened, is_open) = sync_channel(1);
        let (closing, closed) = channel();
        let run = move || serve(&path, &inbox, &opened, closing);
        let thread = std::thread::Builder::new().name("ledger-sled".to_owned()).spawn(run);
        thread.map_err(|error| format!("its thread cannot be started: {error}"))?;
        let db = Self { jobs: Some(jobs), closed: Mutex::new(closed), limit: LIMIT };
        answer(&is_open, OPEN_LIMIT)?;
        Ok(db)
    }

    /// Runs something on the database, and waits for it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Inner) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        if IS_STUCK.load(Ordering::SeqCst) {
            return Err(STUCK.to_owned());
        }
        let (done, result) = sync_channel(1);
        let job: Job = Box::new(move |inner| {
            // Whoever asked may have given up.
            let _ = done.send(contain(|| run(inner)));
        });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { answer(&result, self.limit) } else { Err("its database is closed".to_owned()) }
    }

    /// Makes everything durable. sled's own flush does not survive a power cut, so its files are synced besides.
    pub(super) fn sync(&self, dir: &Path) -> Result<(), String> {
        self.run(|inner| inner.db.flush())?;
        sync_files(&dir.join(DIR)).map_err(|error| format!("its database cannot be synced: {error}"))
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.jobs = None;
        // So that the files are free to be opened again, or removed.
        let closed = lock(&self.closed);
        if closed.recv_timeout(self.limit.min(CLOSE_LIMIT)) == Err(RecvTimeoutError::Timeout) {
            IS_STUCK.store(true, Ordering::SeqCst);
            tracing::error!("the look-up index: {STUCK}");
        }
    }
}

/// The thread of a database. `closing` is dropped last.
fn serve(path: &Path, inbox: &Receiver<Job>, opened: &SyncSender<Result<(), String>>, closing: Sender<()>) {
    let inner = contain(|| {
        // Flushed when the index is synced, and not by a clock.
        let config = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
        let db = open_when_free(&config)?;
        let (blocks, snapshots) = (db.open_tree("blocks")?, db.open_tree("snapshots")?);
        Ok(Inner { db, blocks, snapshots })
    });
    match inner {
        Ok(inner) => {
            let _ = opened.send(Ok(()));
            for job in inbox {
                job(&inner);
            }
            // Closing writes what is left, and may panic like everything else.
            let _ = contain(|| {
                drop(inner);
                Ok(())
            });
        }
        Err(error) => {
            let _ = opened.send(Err(error));
        }
    }
    drop(closing);
}

/// Opens a database as soon as nobody holds its file any more.
///
/// When sled says that it is closed, threads of its own may still hold the file, and with it the lock: they tell that
/// they have written before they let go. On a busy machine the next to open it comes first, and must not take a
/// database that is merely held for one that is broken: it would be thrown away, and all snapshots with it.
fn open_when_free(config: &sled::Config) -> sled::Result<sled::Db> {
    let begin = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_held(&error) && begin.elapsed() < HELD_LIMIT => {
                std::thread::sleep(AGAIN);
            }
            opened => return opened,
        }
    }
}

/// sled has no kind of error for this, only these words.
fn is_held(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

fn answer<T>(result: &Receiver<Result<T, String>>, limit: Duration) -> Result<T, String> {
    match result.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => Err("its database is closed".to_owned()),
        Err(RecvTimeoutError::Timeout) => {
            IS_STUCK.store(true, Ordering::SeqCst);
            Err(STUCK.to_owned())
        }
    }
}

fn sync_files(path: &Path) -> io::Result<()> {
    File::open(path.join("db"))?.sync_all()?;
    let blobs = path.join("blobs");
    if blobs.is_dir() {
        for blob in std::fs::read_dir(&blobs)? {
            match File::open(blob?.path()) {
                Ok(blob) => blob.sync_all()?,
                // sled removed it in the meantime, so nothing needs it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        sync_dir(&blobs)?;
    }
    sync_dir(path)
}

impl Inner {
    /// How many records it says are indexed.
    pub(super) fn indexed(&self) -> sled::Result<Seq> {
        let bytes = self.blocks.get(INDEXED)?;
        let number = bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        Ok(Seq(number))
    }

    /// Takes in a block. The number follows it: a block too many is harmless, one too few is not. (No batch: sled's
    /// batches spin on a lock of the whole process.)
    pub(super) fn apply(&self, postings: &Postings, indexed: Seq) -> sled::Result<()> {
        self.blocks.insert(block_key(postings.block()), postings.to_table())?;
        self.blocks.insert(INDEXED, &indexed.0.to_le_bytes())?;
        Ok(())
    }

    /// The first block from `from` on and before `end` that may hold what is wanted, and where in it.
    pub(super) fn next_block(&self, wanted: &Wanted, from: u64, end: u64) -> sled::Result<Option<(u64, Hits)>> {
        for item in self.blocks.range(block_key(from)..block_key(end)) {
            let (key, table) = item?;
            let Some(block) = key.last_chunk::<8>().map(|block| u64::from_be_bytes(*block)) else { continue };
            let hits = wanted.ask(block, &table);
            if hits != Hits::None {
                return Ok(Some((block, hits)));
            }
        }
        Ok(None)
    }
}

/// Turns a panic or an error of sled into words.
fn contain<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    // What a panic leaves behind is sled's own state, which is not used any more after an error.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| format!("its database failed: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            Err(format!("its database panicked: {}", text.unwrap_or("no reason given")))
        }
    }
}

fn block_key(block: u64) -> [u8; 9] {
    let mut key = [b'b'; 9];
    if let Some(number) = key.last_chunk_mut::<8>() {
        *number = block.to_be_bytes();
    }
    key
}

/// A place in a block fits into 16 bits.
const _: () = assert!(BLOCK <= u16::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// In one test, because a call that hangs is the end of sled for the process.
    #[test]
    fn panics_come_back_and_calls_that_hang_are_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(dir.path()).unwrap();
        let panicked = db.run(|_| -> sled::Result<()> { panic!("as sled does it") });
        assert!(panicked.unwrap_err().contains("as sled does it"));
        assert_eq!(db.run(Inner::indexed), Ok(Seq(0)), "it goes on after a panic");

        db.limit = Duration::from_millis(50);
        let (hold, held) = channel::<()>();
        let hung = db.run(move |_| {
            let _ = held.recv();
            Ok(())
        });
        assert_eq!(hung, Err(STUCK.to_owned()));
        assert_eq!(db.run(Inner::indexed), Err(STUCK.to_owned()));
        drop(db);
        assert_eq!(Db::open(dir.path()).map(drop), Err(STUCK.to_owned()));
        drop(hold);
    }
}
