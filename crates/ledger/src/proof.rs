//! Proofs that a record is in the ledger, and that a ledger only grew (RFC 6962, section 2.1; RFC 9162, section 2.1).

use serde::{Deserialize, Serialize};

use crate::{Digest, node_hash};

/// Where the hashes of a tree come from.
pub trait Nodes {
    /// What can go wrong on the way.
    type Error;

    /// The hash of leaf `index`.
    ///
    /// # Errors
    /// As the source says.
    fn leaf(&mut self, index: u64) -> Result<Digest, Self::Error>;

    /// The root of the perfect subtree `index` of `level`: the leaves from `index << level` on, `1 << level` of them.
    /// A source that stores inner nodes answers from there; the default goes down to the leaves.
    ///
    /// # Errors
    /// As the source says.
    fn node(&mut self, level: u32, index: u64) -> Result<Digest, Self::Error> {
        if level == 0 {
            return self.leaf(index);
        }
        let left = self.node(level - 1, index * 2)?;
        let right = self.node(level - 1, index * 2 + 1)?;
        Ok(node_hash(&left, &right))
    }
}

impl Nodes for [Digest] {
    type Error = ProofError;

    fn leaf(&mut self, index: u64) -> Result<Digest, ProofError> {
        let place = usize::try_from(index).ok();
        place.and_then(|place| self.get(place)).copied().ok_or(ProofError::Range { index, size: self.len() as u64 })
    }
}

/// A proof that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The record, or the smaller tree, is not within the tree.
    #[error("number {index} is not within a ledger of {size} records")]
    Range {
        /// What was asked.
        index: u64,
        /// Of how many.
        size: u64,
    },
    /// Too many hashes, or too few.
    #[error("the proof holds {found} hashes, which does not fit its sizes")]
    Length {
        /// How many it holds.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to root {found}, not to {expected}")]
    Root {
        /// The root that was to be proved.
        expected: Digest,
        /// The root that the hashes lead to.
        found: Digest,
    },
}

/// Proves that one record is in the ledger (RFC 6962, section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The record's place.
    pub index: u64,
    /// The size of the tree that it is proved to be in.
    pub size: u64,
    /// The audit path, from the leaf upwards.
    pub hashes: Vec<Digest>,
}

/// Proves that a ledger of `new` records begins with the `old` ones (RFC 6962, section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// The size of the earlier tree.
    pub old: u64,
    /// The size of the later tree.
    pub new: u64,
    /// The proof's hashes, in the order of RFC 6962.
    pub hashes: Vec<Digest>,
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// As the source says.
pub fn root_at<N: Nodes + ?Sized>(nodes: &mut N, size: u64) -> Result<Digest, N::Error> {
    if size == 0 { Ok(Digest::of(b"")) } else { range_root(nodes, 0, size) }
}

/// Makes the proof that leaf `index` is in the tree of `size` leaves; `None` when it is not.
///
/// # Errors
/// As the source says.
pub fn inclusion<N: Nodes + ?Sized>(nodes: &mut N, index: u64, size: u64) -> Result<Option<InclusionProof>, N::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut hashes = Vec::new();
    let (mut low, mut high) = (0, size);
    // From the root downwards, taking at each fork the hash of the side that the leaf is not on.
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            hashes.push(range_root(nodes, middle, high)?);
            high = middle;
        } else {
            hashes.push(range_root(nodes, low, middle)?);
            low = middle;
        }
    }
    hashes.reverse();
    Ok(Some(InclusionProof { index, size, hashes }))
}

/// Makes the proof that the tree of `new` leaves begins with the one of `old`; `None` when `old` is larger.
///
/// # Errors
/// As the source says.
pub fn consistency<N: Nodes + ?Sized>(nodes: &mut N, old: u64, new: u64) -> Result<Option<ConsistencyProof>, N::Error> {
    if old > new {
        return Ok(None);
    }
    let mut hashes = Vec::new();
    if old > 0 {
        let (mut low, mut high) = (0, new);
        // Down to the subtree that ends where the old tree ended.
        while old < high {
            let middle = low + split(high - low);
            if old <= middle {
                hashes.push(range_root(nodes, middle, high)?);
                high = middle;
            } else {
                hashes.push(range_root(nodes, low, middle)?);
                low = middle;
            }
        }
        // When that subtree is the whole old tree, the checker has its root already.
        if low > 0 {
            hashes.push(range_root(nodes, low, high)?);
        }
        hashes.reverse();
    }
    Ok(Some(ConsistencyProof { old, new, hashes }))
}

impl InclusionProof {
    /// Checks that the record with this leaf hash is in the tree with this root (RFC 9162, section 2.1.3.2).
    ///
    /// # Errors
    /// The proof does not fit its sizes, or leads to another root.
    pub fn verify(&self, leaf: &Digest, root: &Digest) -> Result<(), ProofError> {
        if self.index >= self.size {
            return Err(ProofError::Range { index: self.index, size: self.size });
        }
        let wrong_length = || ProofError::Length { found: self.hashes.len() };
        let (mut place, mut last) = (self.index, self.size - 1);
        let mut node = *leaf;
        for hash in &self.hashes {
            if last == 0 {
                return Err(wrong_length());
            }
            if place & 1 == 1 || place == last {
                node = node_hash(hash, &node);
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                node = node_hash(&node, hash);
            }
            place >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(wrong_length());
        }
        same(root, &node)
    }
}

impl ConsistencyProof {
    /// Checks that the tree with root `new` begins with the tree with root `old` (RFC 9162, section 2.1.4.2).
    ///
    /// # Errors
    /// The proof does not fit its sizes, or leads to another root.
    pub fn verify(&self, old: &Digest, new: &Digest) -> Result<(), ProofError> {
        if self.old > self.new {
            return Err(ProofError::Range { index: self.old, size: self.new });
        }
        let wrong_length = || ProofError::Length { found: self.hashes.len() };
        if self.old == 0 || self.old == self.new {
            if !self.hashes.is_empty() {
                return Err(wrong_length());
            }
            // Every tree begins with the empty one, whose root is known to everybody.
            return if self.old == 0 { same(&Digest::of(b""), old) } else { same(old, new) };
        }
        let (mut place, mut last) = (self.old - 1, self.new - 1);
        while place & 1 == 1 {
            place >>= 1;
            last >>= 1;
        }
        let mut hashes = self.hashes.iter();
        // An old tree that is one perfect subtree starts the proof with itself.
        let first = if self.old.is_power_of_two() { old } else { hashes.next().ok_or_else(wrong_length)? };
        let (mut old_node, mut new_node) = (*first, *first);
        for hash in hashes {
            if last == 0 {
                return Err(wrong_length());
            }
            if place & 1 == 1 || place == last {
                old_node = node_hash(hash, &old_node);
                new_node = node_hash(hash, &new_node);
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                new_node = node_hash(&new_node, hash);
            }
            place >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(wrong_length());
        }
        same(old, &old_node)?;
        same(new, &new_node)
    }
}

fn same(expected: &Digest, found: &Digest) -> Result<(), ProofError> {
    if expected == found { Ok(()) } else { Err(ProofError::Root { expected: *expected, found: *found }) }
}

/// The largest power of two smaller than `count` (RFC 6962, section 2.1), for `count` of 2 and more.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The root of the leaves `low..high`, where `low` is a multiple of the largest power of two in the range.
fn range_root<N: Nodes + ?Sized>(nodes: &mut N, low: u64, high: u64) -> Result<Digest, N::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(level, low >> level);
    }
    let middle = low + split(count);
    let left = range_root(nodes, low, middle)?;
    let right = range_root(nodes, middle, high)?;
    Ok(node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::tests::{ROOTS, leaf};
    use crate::{Tree, leaf_hash};

    fn digests(texts: &[&str]) -> Vec<Digest> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn root(size: u64) -> Digest {
        ROOTS[usize::try_from(size).unwrap() - 1].parse().unwrap()
    }

    /// The paths of the reference vectors: leaf (from 0), size, hashes.
    #[test]
    fn inclusion_proofs_are_those_of_the_reference_vectors() {
        let mut leaves: Vec<Digest> = (0..8).map(leaf).collect();
        for (index, size, hashes) in [
            (0, 1, &[][..]),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ][..],
            ),
            (
                5,
                8,
                &[
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ][..],
            ),
            (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"][..]),
            (
                1,
                5,
                &[
                    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ][..],
            ),
        ] {
            let proof = inclusion(&mut leaves[..], index, size).unwrap().unwrap();
            assert_eq!(proof.hashes, digests(hashes), "leaf {index} of {size}");
            proof.verify(&leaf(usize::try_from(index).unwrap()), &root(size)).unwrap();
        }
    }

    #[test]
    fn consistency_proofs_are_those_of_the_reference_vectors() {
        let mut leaves: Vec<Digest> = (0..8).map(leaf).collect();
        for (old, new, hashes) in [
            (1, 1, &[][..]),
            (
                1,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ][..],
            ),
            (
                6,
                8,
                &[
                    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ][..],
            ),
            (
                2,
                5,
                &[
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ][..],
            ),
        ] {
            let proof = consistency(&mut leaves[..], old, new).unwrap().unwrap();
            assert_eq!(proof.hashes, digests(hashes), "{old} to {new}");
            proof.verify(&root(old), &root(new)).unwrap();
        }
    }

    fn leaves(count: u64) -> (Vec<Digest>, Vec<Digest>) {
        let leaves: Vec<Digest> = (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut tree = Tree::new();
        let mut roots = vec![tree.root()];
        for leaf in &leaves {
            tree.push(*leaf);
            roots.push(tree.root());
        }
        (leaves, roots)
    }

    #[test]
    fn every_proof_of_every_small_tree_verifies() {
        let (mut leaves, roots) = leaves(40);
        for size in 0..=40u64 {
            let root = roots[usize::try_from(size).unwrap()];
            assert_eq!(root_at(&mut leaves[..], size).unwrap(), root);
            for index in 0..size {
                let proof = inclusion(&mut leaves[..], index, size).unwrap().unwrap();
                proof.verify(&leaves[usize::try_from(index).unwrap()], &root).unwrap();
            }
            for old in 0..=size {
                let proof = consistency(&mut leaves[..], old, size).unwrap().unwrap();
                proof.verify(&roots[usize::try_from(old).unwrap()], &root).unwrap();
            }
        }
        assert_eq!(inclusion(&mut leaves[..], 7, 7).unwrap(), None);
        assert_eq!(consistency(&mut leaves[..], 8, 7).unwrap(), None);
    }

    fn flip(digest: &mut Digest, bit: usize) {
        digest.0[bit / 8 % 32] ^= 1 << (bit % 8);
    }

    proptest! {
        #[test]
        fn no_inclusion_proof_survives_a_flipped_bit(size in 1u64..300, index in 0u64..300, place: usize, bit in 0usize..256) {
            let index = index % size;
            let (mut leaves, roots) = leaves(size);
            let root = roots[usize::try_from(size).unwrap()];
            let leaf = leaves[usize::try_from(index).unwrap()];
            let proof = inclusion(&mut leaves[..], index, size).unwrap().unwrap();
            proof.verify(&leaf, &root).unwrap();
            let mut bad_leaf = leaf;
            flip(&mut bad_leaf, bit);
            prop_assert!(proof.verify(&bad_leaf, &root).is_err());
            let mut bad_root = root;
            flip(&mut bad_root, bit);
            prop_assert!(proof.verify(&leaf, &bad_root).is_err());
            if !proof.hashes.is_empty() {
                let mut bad = proof.clone();
                let place = place % bad.hashes.len();
                flip(&mut bad.hashes[place], bit);
                prop_assert!(bad.verify(&leaf, &root).is_err());
                let mut short = proof.clone();
                short.hashes.remove(place);
                prop_assert!(short.verify(&leaf, &root).is_err());
            }
            let mut long = proof.clone();
            long.hashes.push(root);
            prop_assert!(long.verify(&leaf, &root).is_err());
            let elsewhere = InclusionProof { index: (index + 1) % size, ..proof };
            prop_assert!(size == 1 || elsewhere.verify(&leaf, &root).is_err());
        }

        #[test]
        fn no_consistency_proof_survives_a_flipped_bit(new in 1u64..300, old in 0u64..300, place: usize, bit in 0usize..256) {
            let old = old % (new + 1);
            let (mut leaves, roots) = leaves(new);
            let (old_root, new_root) = (roots[usize::try_from(old).unwrap()], roots[usize::try_from(new).unwrap()]);
            let proof = consistency(&mut leaves[..], old, new).unwrap().unwrap();
            proof.verify(&old_root, &new_root).unwrap();
            let mut bad = old_root;
            flip(&mut bad, bit);
            prop_assert!(proof.verify(&bad, &new_root).is_err());
            if old > 0 {
                let mut bad = new_root;
                flip(&mut bad, bit);
                prop_assert!(proof.verify(&old_root, &bad).is_err());
            }
            if !proof.hashes.is_empty() {
                let mut bad = proof.clone();
                let place = place % bad.hashes.len();
                flip(&mut bad.hashes[place], bit);
                prop_assert!(bad.verify(&old_root, &new_root).is_err());
            }
            let mut long = proof;
            long.hashes.push(new_root);
            prop_assert!(long.verify(&old_root, &new_root).is_err());
        }
    }
}
