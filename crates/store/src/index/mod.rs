//! The index: everything that can be rebuilt from the segments, and is whenever it does not fit them.
//!
//! Records are indexed in blocks of 1,024 behind the writer's back, so an append never waits for it; what is not
//! indexed yet is scanned. sled is not trusted: its cursor counts only as far as a file of our own says that it was
//! synced, only if the chain hash there is that of the segments, and what it finds is compared with the records.

pub(crate) mod cursor;
mod db;
mod find;
mod nodes;
mod proofs;
mod snapshots;
mod terms;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ledger::{Tree, decode, leaf_hash};
use model::{Record, Seq};

use self::cursor::Cursor;
use self::db::{Db, Inner};
use self::nodes::NodeFile;
use self::terms::Postings;
use crate::segments::log::{Log, Stored};
use crate::sync::lock;
use crate::{Head, StoreError};

/// How many records make a block.
pub(crate) const BLOCK: u64 = 1024;
/// So many blocks are indexed between two syncs of the index.
const SYNC_EVERY: u64 = 16;

/// So many bytes must be free before sled writes anything.
const ROOM: u64 = 8 << 20;

/// The index beside the segments.
#[derive(Debug)]
pub(crate) struct Index {
    dir: PathBuf,
    log: Arc<Log>,
    /// `None` when it cannot be used: then everything is scanned.
    open: Mutex<Option<Arc<Open>>>,
}

/// A working index.
#[derive(Debug)]
struct Open {
    db: Db,
    nodes: NodeFile,
    progress: Mutex<Done>,
}

/// How far it is.
#[derive(Clone, Debug)]
struct Done {
    /// Indexed up to here, a multiple of the block.
    tree: Tree,
    /// Blocks since the last sync.
    unsynced: u64,
}

/// How the index was found at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexReport {
    /// It fitted the segments.
    Good,
    /// It was not there, as in a new data directory.
    New,
    /// It was thrown away and built again.
    Rebuilt {
        /// Why.
        reason: String,
    },
    /// It knew more records than the segments hold, and was built again. Unless older segments were restored on
    /// purpose, acknowledged records are lost: somebody has to look.
    Ahead {
        /// So many records were there once.
        known: u64,
    },
    /// It does not work now; look-ups scan the segments, and there are no snapshots. It is tried again by itself.
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl Index {
    /// Takes up the index in `dir`, or builds it again, up to the last whole block.
    pub(crate) fn open(
        dir: &Path,
        log: Arc<Log>,
        head: Head,
        progress: &mut dyn FnMut(u64, u64),
    ) -> (Self, IndexReport) {
        let index = Self { dir: dir.to_owned(), log, open: Mutex::new(None) };
        let mut report = index.take_up_or_begin(head);
        let mut caught_up = index.catch_up(head.next, progress);
        // Segments at fault would stop a new index at the same place.
        if !matches!(caught_up, Ok(()) | Err(StoreError::Full { .. } | StoreError::Corrupt { .. })) {
            if let Err(error) = caught_up {
                report = index.begin(Unfit::Wrong(error.to_string()));
            }
            caught_up = index.catch_up(head.next, progress);
        }
        match caught_up {
            // Without room it lags, and what it lacks is scanned.
            Ok(()) | Err(StoreError::Full { .. }) => {}
            Err(error) => {
                index.give_up(&error.to_string());
                report = IndexReport::Unavailable { reason: error.to_string() };
            }
        }
        (index, report)
    }

    /// Tries again, when it does not work.
    pub(crate) fn revive(&self, head: Head) -> Result<(), StoreError> {
        if self.current().is_none()
            && let IndexReport::Unavailable { reason } = self.take_up_or_begin(head)
        {
            return Err(StoreError::Index(reason));
        }
        self.catch_up(head.next, &mut |_, _| {})
    }

    /// Indexes all whole blocks below `durable`.
    pub(crate) fn catch_up(&self, durable: Seq, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
        let Some(open) = self.current() else { return Ok(()) };
        // Held throughout, so that one thread at a time indexes, and others find it done.
        let mut done = lock(&open.progress);
        let last = durable.0 - durable.0 % BLOCK;
        let first = done.tree.size();
        while done.tree.size() < last {
            self.index_block(&open, &mut done)?;
            progress(done.tree.size() - first, last - first);
        }
        Ok(())
    }

    /// Syncs what was indexed.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let Some(open) = self.current() else { return Ok(()) };
        let mut done = lock(&open.progress);
        if done.unsynced > 0 { self.sync_open(&open, &mut done) } else { Ok(()) }
    }

    /// Goes on without an index until [`Self::revive`].
    pub(crate) fn give_up(&self, reason: &str) {
        tracing::error!(reason, "the look-up index does not work; look-ups read the segments until it does");
        self.set(None);
    }

    /// As [`Self::give_up`], and it is not to be taken up again as it is.
    fn condemn(&self, reason: &str) {
        self.give_up(reason);
        // Without a cursor it is built anew. If that cannot be removed, the same fault is found again.
        let _ = std::fs::remove_file(self.dir.join(cursor::FILE));
    }

    /// As [`crate::Store::save_snapshot`].
    pub(crate) fn save_snapshot(&self, name: &str, seq: Seq, bytes: &[u8]) -> Result<(), StoreError> {
        let open = self.current().ok_or_else(|| StoreError::Index("it is not there".to_owned()))?;
        let chain = self.log.chain_at(seq)?;
        self.check_room(bytes.len())?;
        let (owned, bytes) = (name.to_owned(), bytes.to_vec());
        let saved = open.db.run(move |db| snapshots::save(db, &owned, seq, &chain, &bytes));
        saved.and_then(|()| open.db.sync(&self.dir)).map_err(|reason| {
            // sled takes nothing more after an error, until it is opened again.
            self.give_up(&reason);
            StoreError::Index(reason)
        })
    }

    /// As [`crate::Store::latest_snapshot`].
    pub(crate) fn latest_snapshot(&self, name: &str, durable: Seq) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
        let Some(open) = self.current() else { return Ok(None) };
        let owned = name.to_owned();
        let numbers = match open.db.run(move |db| snapshots::numbers(db, &owned)) {
            Ok(numbers) => numbers,
            Err(reason) => {
                tracing::warn!(reason, "snapshots cannot be read");
                return Ok(None);
            }
        };
        for seq in numbers.into_iter().rev() {
            let owned = name.to_owned();
            match open.db.run(move |db| snapshots::load(db, &owned, seq)) {
                Ok(Some((chain, bytes))) if seq <= durable && self.log.chain_at(seq)? == chain => {
                    return Ok(Some((seq, bytes)));
                }
                Ok(_) => tracing::warn!(
                    name,
                    seq = seq.0,
                    "a snapshot that is damaged, or not of this ledger, is passed over"
                ),
                Err(reason) => tracing::warn!(name, seq = seq.0, reason, "a snapshot cannot be read"),
            }
        }
        Ok(None)
    }

    /// Whether there is an index to ask.
    pub(crate) fn works(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Arc<Open>> {
        lock(&self.open).clone()
    }

    fn set(&self, open: Option<Open>) {
        *lock(&self.open) = open.map(Arc::new);
    }

    fn take_up_or_begin(&self, head: Head) -> IndexReport {
        match self.take_up(head) {
            Ok(open) => {
                self.set(Some(open));
                IndexReport::Good
            }
            Err(unfit) => self.begin(unfit),
        }
    }

    /// Opens what is there, and checks that it belongs to these segments.
    fn take_up(&self, head: Head) -> Result<Open, Unfit> {
        let Some(cursor) = Cursor::load(&self.dir)? else {
            let new = head.next == Seq(0) && !self.dir.exists();
            return Err(if new { Unfit::New } else { Unfit::Wrong("it is not there, or was given up".to_owned()) });
        };
        if cursor.seq > head.next {
            return Err(Unfit::Ahead(cursor.seq));
        }
        let chain = self.log.chain_at(cursor.seq).map_err(|error| error.to_string())?;
        if chain != cursor.chain {
            return Err("it belongs to another ledger".to_owned().into());
        }
        let nodes = NodeFile::open(&self.dir).map_err(|error| format!("its tree nodes cannot be opened: {error}"))?;
        let tree = nodes.tree(cursor.seq.0).map_err(|error| format!("its tree nodes cannot be read: {error}"))?;
        if tree.root() != cursor.root {
            return Err("its tree nodes are damaged".to_owned().into());
        }
        self.check_room(0).map_err(|error| Unfit::Later(error.to_string()))?;
        let db = Db::open(&self.dir)?;
        if db.run(Inner::indexed)? < cursor.seq {
            return Err("its database is older than its cursor".to_owned().into());
        }
        Ok(Open { db, nodes, progress: Mutex::new(Done { tree, unsynced: 0 }) })
    }

    /// Throws away what is there, and begins anew.
    fn begin(&self, unfit: Unfit) -> IndexReport {
        self.set(None);
        let report = match unfit {
            Unfit::New => IndexReport::New,
            Unfit::Ahead(known) => {
                tracing::error!(
                    known = known.0,
                    "the index knows more records than the segments hold: unless older segments were restored on purpose, acknowledged records are lost"
                );
                IndexReport::Ahead { known: known.0 }
            }
            Unfit::Later(reason) => {
                self.give_up(&reason);
                return IndexReport::Unavailable { reason };
            }
            Unfit::Wrong(reason) => {
                tracing::warn!(reason, "the look-up index is thrown away and built again from the segments");
                IndexReport::Rebuilt { reason }
            }
        };
        match self.create() {
            Ok(open) => {
                self.set(Some(open));
                report
            }
            Err(reason) => {
                self.give_up(&reason);
                IndexReport::Unavailable { reason }
            }
        }
    }

    /// Whether there is room to write `bytes` and what sled writes besides. sled must not find a full disk: it hangs.
    fn check_room(&self, bytes: usize) -> Result<(), StoreError> {
        let dir = self.dir.parent().unwrap_or(&self.dir);
        let Ok(space) = rustix::fs::statvfs(dir) else { return Ok(()) };
        let room = space.f_bavail.saturating_mul(space.f_frsize);
        let enough = room >= ROOM.saturating_add(3 * bytes as u64);
        if enough { Ok(()) } else { Err(StoreError::Full { dir: self.dir.clone() }) }
    }

    fn create(&self) -> Result<Open, String> {
        self.check_room(0).map_err(|error| error.to_string())?;
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{} cannot be removed: {error}", self.dir.display()));
            }
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&self.dir)
            .map_err(|error| format!("{} cannot be created: {error}", self.dir.display()))?;
        let nodes = NodeFile::open(&self.dir).map_err(|error| format!("its tree nodes cannot be created: {error}"))?;
        let db = Db::open(&self.dir)?;
        let open = Open { db, nodes, progress: Mutex::new(Done { tree: Tree::new(), unsynced: 0 }) };
        let mut done = lock(&open.progress).clone();
        self.sync_open(&open, &mut done).map_err(|error| error.to_string())?;
        Ok(open)
    }

    fn index_block(&self, open: &Open, done: &mut Done) -> Result<(), StoreError> {
        self.check_room(0)?;
        let first = done.tree.size();
        let mut tree = done.tree.clone();
        let mut nodes = Vec::with_capacity(usize::try_from(BLOCK * 64).unwrap_or(0));
        let mut postings = Postings::new(first);
        self.log.walk(Seq(first), Seq(first + BLOCK), |stored| {
            let record = decode_stored(stored)?;
            postings.add(&record);
            tree.push_with(leaf_hash(stored.bytes), |node| nodes.extend_from_slice(node.as_bytes()));
            Ok(ControlFlow::Continue(()))
        })?;
        let failed = |error: std::io::Error| StoreError::Index(format!("its tree nodes cannot be written: {error}"));
        open.nodes.write(first, &nodes).map_err(failed)?;
        open.db.run(move |db| db.apply(&postings, Seq(first + BLOCK))).map_err(StoreError::Index)?;
        done.tree = tree;
        done.unsynced += 1;
        if done.unsynced >= SYNC_EVERY {
            self.sync_open(open, done)?;
        }
        Ok(())
    }

    fn sync_open(&self, open: &Open, done: &mut Done) -> Result<(), StoreError> {
        let seq = Seq(done.tree.size());
        let cursor = Cursor { seq, chain: self.log.chain_at(seq)?, root: done.tree.root() };
        open.nodes.sync().map_err(|error| StoreError::Index(format!("its tree nodes cannot be synced: {error}")))?;
        open.db.sync(&self.dir).map_err(StoreError::Index)?;
        cursor.save(&self.dir).map_err(|error| StoreError::Index(format!("its cursor cannot be written: {error}")))?;
        done.unsynced = 0;
        Ok(())
    }
}

/// Why what is there cannot be taken up.
enum Unfit {
    /// Nothing is there, as it should be.
    New,
    /// It was made of more records than there are.
    Ahead(Seq),
    /// It may be right, but cannot be opened now.
    Later(String),
    /// It is not right.
    Wrong(String),
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

/// A stored record as a value. One that cannot become one is corruption, and says where.
pub(crate) fn decode_stored(stored: &Stored<'_>) -> Result<Record, StoreError> {
    decode(stored.bytes).map_err(|error| StoreError::Corrupt {
        file: stored.file.to_owned(),
        offset: stored.offset,
        seq: stored.header.seq,
        what: error.to_string(),
    })
}
