//! Proofs: the stored tree nodes make them fast, and the durable root, which is known, makes them right.

use std::ops::ControlFlow;

use ledger::{ConsistencyProof, Digest, InclusionProof, ProofError, leaf_hash};
use model::Seq;

use super::Index;
use super::nodes::TreeNodes;
use crate::sync::lock;
use crate::{Head, StoreError};

impl Index {
    /// As [`crate::Store::inclusion_proof`].
    pub(crate) fn inclusion(&self, seq: Seq, size: u64, head: Head) -> Result<InclusionProof, StoreError> {
        if seq.0 >= size || size > head.next.0 {
            return Err(StoreError::Range { asked: seq.0.max(size), size: head.next.0 });
        }
        self.prove(head, |nodes, leaf_of| {
            let root = trusted_root(nodes, size, head)?;
            let proof = ledger::inclusion(nodes, seq.0, size)?;
            let proof = proof.ok_or(StoreError::Range { asked: seq.0, size })?;
            // The stored record itself is the witness, not what the index says of it.
            proof.verify(&leaf_of(seq)?, &root)?;
            Ok(proof)
        })
    }

    /// As [`crate::Store::consistency_proof`].
    pub(crate) fn consistency(&self, old: u64, new: u64, head: Head) -> Result<ConsistencyProof, StoreError> {
        if old > new || new > head.next.0 {
            return Err(StoreError::Range { asked: old.max(new), size: head.next.0 });
        }
        self.prove(head, |nodes, _| {
            let (old_root, new_root) = (trusted_root(nodes, old, head)?, trusted_root(nodes, new, head)?);
            let proof = ledger::consistency(nodes, old, new)?.ok_or(StoreError::Range { asked: old, size: new })?;
            proof.verify(&old_root, &new_root)?;
            Ok(proof)
        })
    }

    /// As [`crate::Store::root_at`].
    pub(crate) fn root_at(&self, size: u64, head: Head) -> Result<Digest, StoreError> {
        if size > head.next.0 {
            return Err(StoreError::Range { asked: size, size: head.next.0 });
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
                    self.condemn(&format!("its tree nodes are wrong: {error}"));
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
}

/// The root of the first `size` records, proved to be part of the durable ledger, whose root is known.
fn trusted_root(nodes: &mut TreeNodes<'_>, size: u64, head: Head) -> Result<Digest, StoreError> {
    let root = ledger::root_at(nodes, size)?;
    let proof = ledger::consistency(nodes, size, head.next.0)?;
    proof.ok_or(StoreError::Range { asked: size, size: head.next.0 })?.verify(&root, &head.root)?;
    Ok(root)
}
