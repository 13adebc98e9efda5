//! The verifier: goes through a whole ledger, record by record, and names the first bad one.

use model::{Record, Seq};

use crate::{Checkpoint, DecodeError, Digest, Tree, chain_leaf, decode, leaf_hash};

/// Checks records in order: their form, their numbers, the chain, and the tree against signed checkpoints.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    chain: Digest,
    tree: Tree,
    first: Option<&'static str>,
    /// Sorted by size, the next to be reached last.
    expected: Vec<Checkpoint>,
    checkpoints: usize,
}

/// What a whole ledger is, when nothing was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub size: u64,
    /// The kind of its first record. That of every CA is `ledger.opened`: where it is another, the ledger was begun in the
    /// middle, or by something else. `None` when it has no record.
    pub first: Option<&'static str>,
    /// The chain hash behind the last record.
    pub chain: Digest,
    /// The root of the Merkle tree.
    pub root: Digest,
    /// How many checkpoints it was compared with. Without any, a ledger that was rewritten from some record to its
    /// end, chain and all, cannot be told from an honest one.
    pub checkpoints: usize,
}

/// The first bad record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {what}")]
pub struct Flaw {
    /// Where the ledger stops being right.
    pub seq: Seq,
    /// What is wrong there.
    pub what: FlawKind,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlawKind {
    /// It is not a record in canonical form.
    #[error("{}", reason(.0))]
    Encoding(DecodeError),
    /// It carries another number.
    #[error("it carries the number {found}: a record is missing, doubled or moved")]
    Number {
        /// The number that it carries.
        found: Seq,
    },
    /// Its chain hash does not follow from the one before and its bytes.
    #[error("its chain hash is {found}, but {expected} follows from the records up to it: it was changed")]
    Chain {
        /// What follows from the records.
        expected: Digest,
        /// What is stored with it.
        found: Digest,
    },
    /// The records up to here are not those that a checkpoint was signed for.
    #[error(
        "the {size} records up to it have the root {found}, but the checkpoint of {origin} says {expected}: one of them was changed after the checkpoint was signed"
    )]
    Checkpoint {
        /// The checkpoint's origin.
        origin: String,
        /// The checkpoint's size.
        size: u64,
        /// The checkpoint's root.
        expected: Digest,
        /// The root of the records.
        found: Digest,
    },
    /// The ledger ends before a checkpoint's size.
    #[error("the ledger ends before it, but the checkpoint of {origin} was signed for {size} records")]
    Missing {
        /// The checkpoint's origin.
        origin: String,
        /// The checkpoint's size.
        size: u64,
    },
}

impl Verifier {
    /// A verifier at the beginning of a ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A verifier that also compares the ledger with checkpoints. Their signatures are checked by
    /// [`Checkpoint::open`]; here they are believed.
    ///
    /// # Errors
    /// A checkpoint of size 0 whose root is not that of the empty tree.
    pub fn with_checkpoints(checkpoints: impl IntoIterator<Item = Checkpoint>) -> Result<Self, Flaw> {
        let mut expected: Vec<Checkpoint> = checkpoints.into_iter().collect();
        expected.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
        let mut verifier = Self { expected, ..Self::default() };
        verifier.compare()?;
        Ok(verifier)
    }

    /// The number of the record that is expected next.
    #[must_use]
    pub const fn next(&self) -> Seq {
        Seq(self.tree.size())
    }

    /// The chain hash behind the last good record.
    #[must_use]
    pub const fn chain(&self) -> Digest {
        self.chain
    }

    /// The Merkle tree of the good records.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Checks the next record against the chain hash that is stored with it.
    ///
    /// # Errors
    /// The record is bad. The verifier stays in front of it.
    pub fn check(&mut self, bytes: &[u8], stored: &Digest) -> Result<Record, Flaw> {
        let seq = self.next();
        let flaw = |what| Flaw { seq, what };
        let leaf = leaf_hash(bytes);
        let chain = chain_leaf(&self.chain, &leaf);
        let record = decode(bytes).map_err(|error| flaw(FlawKind::Encoding(error)))?;
        if record.seq != seq {
            return Err(flaw(FlawKind::Number { found: record.seq }));
        }
        if chain != *stored {
            return Err(flaw(FlawKind::Chain { expected: chain, found: *stored }));
        }
        self.tree.push(leaf);
        self.chain = chain;
        self.first.get_or_insert(record.entry.fact.kind());
        self.compare()?;
        Ok(record)
    }

    /// The end of the ledger.
    ///
    /// # Errors
    /// A checkpoint was signed for more records than there are.
    pub fn finish(self) -> Result<Verified, Flaw> {
        if let Some(Checkpoint { origin, size, .. }) = self.expected.into_iter().next_back() {
            return Err(Flaw { seq: Seq(self.tree.size()), what: FlawKind::Missing { origin, size } });
        }
        Ok(Verified {
            size: self.tree.size(),
            first: self.first,
            chain: self.chain,
            root: self.tree.root(),
            checkpoints: self.checkpoints,
        })
    }

    fn compare(&mut self) -> Result<(), Flaw> {
        let size = self.tree.size();
        while let Some(checkpoint) = self.expected.pop_if(|checkpoint| checkpoint.size <= size) {
            let found = self.tree.root();
            if checkpoint.root != found {
                let Checkpoint { origin, size, root: expected } = checkpoint;
                let what = FlawKind::Checkpoint { origin, size, expected, found };
                return Err(Flaw { seq: Seq(size.saturating_sub(1)), what });
            }
            self.checkpoints += 1;
        }
        Ok(())
    }
}

/// A flaw is one sentence, so the place within the record is part of it.
fn reason(error: &DecodeError) -> String {
    match error {
        DecodeError::NotCanonical(place) => format!("not in canonical form, {place}"),
        DecodeError::NotARecord(_) | DecodeError::Unknown => error.to_string(),
    }
}
