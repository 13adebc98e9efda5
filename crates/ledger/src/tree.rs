//! The Merkle tree of RFC 6962 as a compact range: the roots of the perfect subtrees that its size is made of.

use crate::{Digest, node_hash};

/// The tree of the first `size` records. It holds one hash per one-bit of the size, at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of perfect subtrees, the largest (leftmost) first.
    range: Vec<Digest>,
}

/// Hashes that are no compact range for the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {expected} subtrees, not {found}")]
pub struct TreeError {
    size: u64,
    expected: usize,
    found: usize,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, range: Vec::new() }
    }

    /// From what [`Self::size`] and [`Self::range`] gave.
    ///
    /// # Errors
    /// The number of hashes does not fit the size.
    pub fn from_parts(size: u64, range: Vec<Digest>) -> Result<Self, TreeError> {
        let expected = size.count_ones() as usize;
        if range.len() == expected {
            Ok(Self { size, range })
        } else {
            Err(TreeError { size, expected, found: range.len() })
        }
    }

    /// How many leaves it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect subtrees, the largest first.
    #[must_use]
    pub fn range(&self) -> &[Digest] {
        &self.range
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.push_with(leaf, |_| {});
    }

    /// Adds a leaf and hands out each node that is complete with it, the leaf first and its ancestors upwards. This
    /// is the order of [`stored_index`].
    pub fn push_with(&mut self, leaf: Digest, mut completed: impl FnMut(&Digest)) {
        completed(&leaf);
        let mut node = leaf;
        // Each trailing one-bit of the size is a subtree that the new one completes to the next larger.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.range.pop() {
                node = node_hash(&left, &node);
                completed(&node);
            }
        }
        self.range.push(node);
        self.size += 1;
    }

    /// The Merkle tree hash (RFC 6962, section 2.1). For the empty tree it is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut subtrees = self.range.iter().rev();
        match subtrees.next() {
            None => Digest::of(b""),
            Some(last) => subtrees.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// Where the node `index` of `level` (leaves are level 0) stands when all complete nodes are stored in the order in
/// which they become complete.
#[must_use]
pub const fn stored_index(level: u32, index: u64) -> u64 {
    // The node is stored right behind its descendants' last leaf, and each leaf n has n - (one-bits of n) nodes
    // above level 0 stored before it.
    let last_leaf = ((index + 1) << level) - 1;
    stored_count(last_leaf) + level as u64
}

/// How many nodes are stored for a tree of `size` leaves: each perfect subtree of 2^k leaves has 2^(k+1) - 1.
#[must_use]
pub const fn stored_count(size: u64) -> u64 {
    2 * size - size.count_ones() as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::leaf_hash;

    /// The leaves of the reference vectors of certificate-transparency (`merkle_tree_test`).
    pub(crate) const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    /// The roots of the trees of their first 1 to 8.
    pub(crate) const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    pub(crate) fn leaf(place: usize) -> Digest {
        leaf_hash(&hex::decode(LEAVES[place]).unwrap())
    }

    #[test]
    fn roots_are_those_of_the_reference_vectors() {
        let mut tree = Tree::new();
        assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (place, root) in ROOTS.iter().enumerate() {
            tree.push(leaf(place));
            assert_eq!(tree.root().to_string(), *root, "size {}", place + 1);
        }
    }

    #[test]
    fn nodes_come_in_the_order_of_their_stored_index() {
        let mut tree = Tree::new();
        let mut stored = Vec::new();
        for number in 0..300u64 {
            assert_eq!(stored_count(number), stored.len() as u64);
            assert_eq!(stored_index(0, number), stored.len() as u64);
            tree.push_with(leaf_hash(&number.to_be_bytes()), |node| stored.push(*node));
        }
        for level in 1..8u32 {
            for index in 0..300u64 >> level {
                let at = |level, index| stored[usize::try_from(stored_index(level, index)).unwrap()];
                let expected = node_hash(&at(level - 1, index * 2), &at(level - 1, index * 2 + 1));
                assert_eq!(at(level, index), expected, "level {level}, node {index}");
            }
        }
    }

    #[test]
    fn a_range_of_the_wrong_length_is_refused() {
        assert!(Tree::from_parts(3, vec![Digest::ZERO]).is_err());
        assert!(Tree::from_parts(0, Vec::new()).is_ok());
    }
}
