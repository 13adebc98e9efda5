//! sled, at arm's length: every call is contained, because sled 0.34 panics on some damage.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use model::Seq;

use super::BLOCK;
use super::terms::{self, Postings, Term};
use crate::Query;
use crate::disk::sync_dir;

/// Where sled lies in the index directory.
const DIR: &str = "sled";
/// How much memory sled may use for its cache.
const CACHE: u64 = 16 << 20;
/// The key of the number of indexed records.
const INDEXED: &[u8] = b"i";

/// The database of the index.
#[derive(Debug)]
pub(super) struct Db {
    inner: Inner,
}

/// The database within a guard.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    db: sled::Db,
    blocks: sled::Tree,
    /// Snapshots have a tree of their own.
    pub(super) snapshots: sled::Tree,
}

impl Db {
    /// Opens or creates the database in the index directory.
    pub(super) fn open(dir: &Path) -> Result<Self, String> {
        let path = dir.join(DIR);
        let inner = contain(|| {
            // Flushed when the index is synced, and not by a clock.
            let db = sled::Config::new().path(&path).cache_capacity(CACHE).flush_every_ms(None).open()?;
            let (blocks, snapshots) = (db.open_tree("blocks")?, db.open_tree("snapshots")?);
            Ok(Inner { db, blocks, snapshots })
        })?;
        Ok(Self { inner })
    }

    /// Runs something on the database. A panic comes back as an error.
    pub(super) fn guard<T>(&self, run: impl FnOnce(&Inner) -> sled::Result<T>) -> Result<T, String> {
        contain(|| run(&self.inner))
    }

    /// Makes everything durable. sled's own flush does not survive a power cut, so its files are synced besides.
    pub(super) fn sync(&self, dir: &Path) -> Result<(), String> {
        self.guard(|inner| inner.db.flush())?;
        let path = dir.join(DIR);
        let sync = || {
            File::open(path.join("db"))?.sync_all()?;
            let blobs = path.join("blobs");
            if blobs.is_dir() {
                for blob in std::fs::read_dir(&blobs)? {
                    File::open(blob?.path())?.sync_all()?;
                }
                sync_dir(&blobs)?;
            }
            sync_dir(&path)
        };
        sync().map_err(|error: std::io::Error| format!("its database cannot be synced: {error}"))
    }
}

impl Inner {
    /// How many records it says are indexed.
    pub(super) fn indexed(&self) -> sled::Result<Seq> {
        let bytes = self.blocks.get(INDEXED)?;
        let number = bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        Ok(Seq(number))
    }

    /// Takes in a block, as a whole.
    pub(super) fn apply(&self, postings: Postings, indexed: Seq) -> sled::Result<()> {
        let mut batch = sled::Batch::default();
        let block = postings.block();
        batch.insert(time_key(block), postings.times().to_vec());
        for (term, places) in postings.into_terms() {
            batch.insert(term_key(&term, block), places);
        }
        batch.insert(INDEXED, &indexed.0.to_le_bytes());
        self.blocks.apply_batch(batch)
    }

    /// The first block from `from` on and before `end` that may hold what the query asks for, and where in it;
    /// no places: all of it.
    pub(super) fn next_block(
        &self,
        query: &Query,
        from: u64,
        end: u64,
    ) -> sled::Result<Option<(u64, Option<Vec<Seq>>)>> {
        let terms = terms::of_query(query);
        let Some((rarest, others)) = terms.split_first() else {
            return self.next_by_time(query, from, end);
        };
        for item in self.blocks.range(term_key(rarest, from)..term_key(rarest, end)) {
            let (key, bytes) = item?;
            let Some(block) = key.last_chunk::<8>().map(|block| u64::from_be_bytes(*block)) else { continue };
            if !self.fits(query, block)? {
                continue;
            }
            let mut places = terms::places(block, &bytes);
            for term in others {
                let other = self.blocks.get(term_key(term, block))?;
                let other = other.map(|bytes| terms::places(block, &bytes)).unwrap_or_default();
                places.retain(|place| other.binary_search(place).is_ok());
            }
            if !places.is_empty() {
                return Ok(Some((block, Some(places))));
            }
        }
        Ok(None)
    }

    fn next_by_time(&self, query: &Query, from: u64, end: u64) -> sled::Result<Option<(u64, Option<Vec<Seq>>)>> {
        for block in from..end {
            if self.fits(query, block)? {
                return Ok(Some((block, None)));
            }
        }
        Ok(None)
    }

    /// Whether the times of a block fit. A block without times is not ruled out.
    fn fits(&self, query: &Query, block: u64) -> sled::Result<bool> {
        if query.since.is_none() && query.until.is_none() {
            return Ok(true);
        }
        Ok(self.blocks.get(time_key(block))?.is_none_or(|times| terms::overlaps(query, &times)))
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

fn term_key(term: &Term, block: u64) -> Vec<u8> {
    let mut key = vec![b't'];
    key.extend_from_slice(term);
    key.extend_from_slice(&block.to_be_bytes());
    key
}

fn time_key(block: u64) -> Vec<u8> {
    let mut key = vec![b'm'];
    key.extend_from_slice(&block.to_be_bytes());
    key
}

/// Blocks are numbered by 1,024 records.
const _: () = assert!(BLOCK <= u16::MAX as u64);
