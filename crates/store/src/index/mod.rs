//! The index: everything that can be rebuilt from the segments, and is whenever it does not fit them.
//!
//! Records are indexed in blocks of 1,024 behind the writer's back, so an append never waits for it; what is not
//! indexed yet is scanned. sled is not trusted: its cursor counts only as far as a file of our own says that it was
//! synced, only if the chain hash there is that of the segments, and what it finds is compared with the records.

mod cursor;
mod db;
mod nodes;
mod snapshots;
mod terms;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ledger::{ConsistencyProof, Digest, InclusionProof, ProofError, Tree, decode, leaf_hash};
use model::{Record, Seq};

use self::cursor::Cursor;
use self::db::Db;
use self::nodes::{NodeFile, TreeNodes};
use crate::segments::log::{Log, Stored};
use crate::sync::lock;
use crate::{Head, Query, StoreError};

/// How many records make a block.
pub(crate) const BLOCK: u64 = 1024;
/// So many blocks are indexed between two syncs of the index.
const SYNC_EVERY: u64 = 16;

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
    /// It does not work; look-ups scan the segments, and there are no snapshots.
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
        let mut report = match index.take_up(head) {
            Ok(open) => {
                index.set(Some(open));
                IndexReport::Good
            }
            Err(reason) => index.start_over(reason),
        };
        if index.current().is_some()
            && let Err(error) = index.catch_up(head.next, progress)
        {
            if matches!(error, StoreError::Corrupt { .. }) {
                // The segments are at fault, and a new index would stop at the same place.
                index.give_up(&error.to_string());
                report = IndexReport::Unavailable { reason: error.to_string() };
            } else {
                report = index.start_over(error.to_string());
                if let Err(error) = index.catch_up(head.next, progress) {
                    index.give_up(&error.to_string());
                    report = IndexReport::Unavailable { reason: error.to_string() };
                }
            }
        }
        (index, report)
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

    /// Goes on without an index until the next start.
    pub(crate) fn give_up(&self, reason: &str) {
        tracing::error!(
            reason,
            "the look-up index does not work; look-ups read the segments until it is rebuilt at the next start"
        );
        self.set(None);
        // Left without a cursor it is not taken up again.
        let _ = std::fs::remove_file(self.dir.join(cursor::FILE));
    }

    /// As [`crate::Store::find`].
    pub(crate) fn find(&self, query: &Query, from: Seq, limit: usize, durable: Seq) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        let mut next = from;
        if let Some(open) = self.current() {
            match self.find_indexed(&open, query, from, limit, durable, &mut found) {
                Ok(behind) => next = behind.max(from),
                Err(error @ StoreError::Index(_)) => {
                    self.give_up(&error.to_string());
                    found.clear();
                }
                Err(error) => return Err(error),
            }
        }
        if found.len() < limit && next < durable {
            self.log.walk(next, durable, |stored| pick(stored, query, limit, &mut found))?;
        }
        Ok(found)
    }

    /// As [`crate::Store::save_snapshot`].
    pub(crate) fn save_snapshot(&self, name: &str, seq: Seq, bytes: &[u8]) -> Result<(), StoreError> {
        let open = self.current().ok_or_else(|| StoreError::Index("it is not there".to_owned()))?;
        let chain = self.log.chain_at(seq)?;
        let saved = open.db.guard(|db| snapshots::save(db, name, seq, &chain, bytes));
        saved.and_then(|()| open.db.sync(&self.dir)).map_err(StoreError::Index)
    }

    /// As [`crate::Store::latest_snapshot`].
    pub(crate) fn latest_snapshot(&self, name: &str, durable: Seq) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
        let Some(open) = self.current() else { return Ok(None) };
        let numbers = match open.db.guard(|db| snapshots::numbers(db, name)) {
            Ok(numbers) => numbers,
            Err(reason) => {
                tracing::warn!(reason, "snapshots cannot be read");
                return Ok(None);
            }
        };
        for seq in numbers.into_iter().rev() {
            match open.db.guard(|db| snapshots::load(db, name, seq)) {
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

    /// As [`crate::Store::inclusion_proof`].
    pub(crate) fn inclusion(&self, seq: Seq, size: u64, head: Head) -> Result<InclusionProof, StoreError> {
        if seq.0 >= size || size > head.next.0 {
            return Err(ProofError::Range { index: seq.0, size: size.min(head.next.0) }.into());
        }
        self.prove(head, |nodes, leaf_of| {
            let root = trusted_root(nodes, size, head)?;
            let proof = ledger::inclusion(nodes, seq.0, size)?;
            let proof = proof.ok_or(ProofError::Range { index: seq.0, size })?;
            // The stored record itself is the witness, not what the index says of it.
            proof.verify(&leaf_of(seq)?, &root)?;
            Ok(proof)
        })
    }

    /// As [`crate::Store::consistency_proof`].
    pub(crate) fn consistency(&self, old: u64, new: u64, head: Head) -> Result<ConsistencyProof, StoreError> {
        if old > new || new > head.next.0 {
            return Err(ProofError::Range { index: old.max(new), size: head.next.0 }.into());
        }
        self.prove(head, |nodes, _| {
            let (old_root, new_root) = (trusted_root(nodes, old, head)?, trusted_root(nodes, new, head)?);
            let proof = ledger::consistency(nodes, old, new)?.ok_or(ProofError::Range { index: old, size: new })?;
            proof.verify(&old_root, &new_root)?;
            Ok(proof)
        })
    }

    /// As [`crate::Store::root_at`].
    pub(crate) fn root_at(&self, size: u64, head: Head) -> Result<Digest, StoreError> {
        if size > head.next.0 {
            return Err(ProofError::Range { index: size, size: head.next.0 }.into());
        }
        if size == head.next.0 {
            return Ok(head.root);
        }
        self.prove(head, |nodes, _| trusted_root(nodes, size, head))
    }

    /// Makes a proof from the stored nodes; when they do not lead to the right root, from the records alone.
    fn prove<T>(
        &self,
        head: Head,
        make: impl Fn(&mut TreeNodes<'_>, &dyn Fn(Seq) -> Result<Digest, StoreError>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let leaf_of = |seq: Seq| {
            let mut leaf = Digest::ZERO;
            self.log.walk(seq, seq.next(), |stored| {
                leaf = leaf_hash(stored.bytes);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(leaf)
        };
        if let Some(open) = self.current() {
            let indexed = lock(&open.progress).tree.size().min(head.next.0);
            let mut nodes = TreeNodes::new(Some(&open.nodes), indexed, self.leaves(Seq(indexed), head.next)?);
            match make(&mut nodes, &leaf_of) {
                Ok(proof) => return Ok(proof),
                Err(error @ (StoreError::Proof(ProofError::Root { .. }) | StoreError::Index(_))) => {
                    self.give_up(&format!("its tree nodes are wrong: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        let mut nodes = TreeNodes::new(None, 0, self.leaves(Seq(0), head.next)?);
        make(&mut nodes, &leaf_of)
    }

    fn leaves(&self, from: Seq, to: Seq) -> Result<Vec<Digest>, StoreError> {
        let mut leaves = Vec::new();
        self.log.walk(from, to, |stored| {
            leaves.push(leaf_hash(stored.bytes));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(leaves)
    }

    fn current(&self) -> Option<Arc<Open>> {
        lock(&self.open).clone()
    }

    fn set(&self, open: Option<Open>) {
        *lock(&self.open) = open.map(Arc::new);
    }

    /// Opens what is there, and checks that it belongs to these segments.
    fn take_up(&self, head: Head) -> Result<Open, String> {
        let Some(cursor) = Cursor::load(&self.dir)? else {
            let known = self.dir.exists();
            return Err(if known { "it has no cursor".to_owned() } else { String::new() });
        };
        if cursor.seq > head.next {
            tracing::error!(
                indexed = cursor.seq.0,
                next = head.next.0,
                "the index knows more records than the segments hold: unless older segments were restored on purpose, acknowledged records are lost"
            );
            return Err(format!(
                "it knows {} records, but the segments hold {}: unless older segments were restored on purpose, acknowledged records are lost",
                cursor.seq, head.next
            ));
        }
        let chain = self.log.chain_at(cursor.seq).map_err(|error| error.to_string())?;
        if chain != cursor.chain {
            return Err("it belongs to another ledger".to_owned());
        }
        let nodes = NodeFile::open(&self.dir).map_err(|error| format!("its tree nodes cannot be opened: {error}"))?;
        let tree = nodes.tree(cursor.seq.0).map_err(|error| format!("its tree nodes cannot be read: {error}"))?;
        if tree.root() != cursor.root {
            return Err("its tree nodes are damaged".to_owned());
        }
        let db = Db::open(&self.dir)?;
        if db.guard(|db| db.indexed())? < cursor.seq {
            return Err("its database is older than its cursor".to_owned());
        }
        Ok(Open { db, nodes, progress: Mutex::new(Done { tree, unsynced: 0 }) })
    }

    /// Throws away what is there, and begins anew.
    fn start_over(&self, reason: String) -> IndexReport {
        self.set(None);
        if !reason.is_empty() {
            tracing::warn!(reason, "the look-up index is thrown away and built again from the segments");
        }
        let begun = self.begin();
        match begun {
            Ok(open) => {
                self.set(Some(open));
                if reason.is_empty() { IndexReport::New } else { IndexReport::Rebuilt { reason } }
            }
            Err(reason) => {
                self.give_up(&reason);
                IndexReport::Unavailable { reason }
            }
        }
    }

    fn begin(&self) -> Result<Open, String> {
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
        let first = done.tree.size();
        let mut tree = done.tree.clone();
        let mut nodes = Vec::with_capacity(usize::try_from(BLOCK * 64).unwrap_or(0));
        let mut postings = terms::Postings::new(first);
        self.log.walk(Seq(first), Seq(first + BLOCK), |stored| {
            let record = decode_stored(stored)?;
            postings.add(&record);
            tree.push_with(leaf_hash(stored.bytes), |node| nodes.extend_from_slice(node.as_bytes()));
            Ok(ControlFlow::Continue(()))
        })?;
        let failed = |error: std::io::Error| StoreError::Index(format!("its tree nodes cannot be written: {error}"));
        open.nodes.write(first, &nodes).map_err(failed)?;
        open.db.guard(|db| db.apply(postings, Seq(first + BLOCK))).map_err(StoreError::Index)?;
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

    /// Finds among the indexed records, and says where the indexed ones end.
    fn find_indexed(
        &self,
        open: &Open,
        query: &Query,
        from: Seq,
        limit: usize,
        durable: Seq,
        found: &mut Vec<Record>,
    ) -> Result<Seq, StoreError> {
        self.catch_up(durable, &mut |_, _| {})?;
        let indexed = Seq(lock(&open.progress).tree.size());
        let mut block = from.0 / BLOCK;
        while found.len() < limit && block * BLOCK < indexed.0 {
            let next = open.db.guard(|db| db.next_block(query, block, indexed.0 / BLOCK)).map_err(StoreError::Index)?;
            let Some((hit, places)) = next else { break };
            let first = Seq(hit * BLOCK);
            let wanted = |seq: Seq| seq >= from && places.as_ref().is_none_or(|places| places.contains(&seq));
            let (low, high) = match &places {
                Some(places) => (places.first().copied(), places.last().copied()),
                None => (Some(first), Some(Seq(first.0 + BLOCK - 1))),
            };
            if let (Some(low), Some(high)) = (low.map(|low| low.max(from)), high) {
                self.log.walk(low, high.next(), |stored| {
                    if wanted(stored.header.seq) {
                        pick(stored, query, limit, found)
                    } else {
                        Ok(ControlFlow::Continue(()))
                    }
                })?;
            }
            block = hit + 1;
        }
        Ok(indexed)
    }
}

/// The root of the first `size` records, proved to be part of the durable ledger, whose root is known.
fn trusted_root(nodes: &mut TreeNodes<'_>, size: u64, head: Head) -> Result<Digest, StoreError> {
    let root = ledger::root_at(nodes, size)?;
    let proof = ledger::consistency(nodes, size, head.next.0)?;
    proof.ok_or(ProofError::Range { index: size, size: head.next.0 })?.verify(&root, &head.root)?;
    Ok(root)
}

/// Takes a record that fits, until there are enough.
fn pick(
    stored: &Stored<'_>,
    query: &Query,
    limit: usize,
    found: &mut Vec<Record>,
) -> Result<ControlFlow<()>, StoreError> {
    if found.len() >= limit {
        return Ok(ControlFlow::Break(()));
    }
    let record = decode_stored(stored)?;
    if query.matches(&record) {
        found.push(record);
    }
    Ok(if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
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
