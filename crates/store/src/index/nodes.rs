//! The inner nodes of the Merkle tree, in the order in which they became complete, so that a proof reads a few of
//! them and not the whole ledger.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use ledger::{Digest, Nodes, Tree, node_hash, stored_count, stored_index};

use crate::StoreError;

/// The file with the nodes of all indexed records.
#[derive(Debug)]
pub(super) struct NodeFile(File);

/// The nodes of a tree: stored ones, and those that follow from the leaves behind them.
pub(super) struct TreeNodes<'a> {
    file: Option<&'a NodeFile>,
    /// Nodes of so many leaves are stored.
    stored: u64,
    /// The leaves behind the stored ones.
    leaves: Vec<Digest>,
}

impl NodeFile {
    /// Opens the file in the index directory, or creates it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("nodes");
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path).map(Self)
    }

    /// The tree of the first `size` leaves, as the stored nodes have it.
    pub(super) fn tree(&self, size: u64) -> io::Result<Tree> {
        let (mut range, mut start) = (Vec::new(), 0);
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            range.push(self.node(level, start >> level)?);
            start += 1 << level;
        }
        Tree::from_parts(size, range).map_err(io::Error::other)
    }

    /// Writes the nodes that became complete behind the first `size` leaves.
    pub(super) fn write(&self, size: u64, nodes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(nodes, stored_count(size) * 32)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn node(&self, level: u32, index: u64) -> io::Result<Digest> {
        let mut bytes = [0; 32];
        self.0.read_exact_at(&mut bytes, stored_index(level, index) * 32)?;
        Ok(Digest(bytes))
    }
}

impl<'a> TreeNodes<'a> {
    /// The nodes of `stored` leaves from the file, and `leaves` behind them.
    pub(super) const fn new(file: Option<&'a NodeFile>, stored: u64, leaves: Vec<Digest>) -> Self {
        Self { file, stored, leaves }
    }
}

impl Nodes for TreeNodes<'_> {
    type Error = StoreError;

    fn leaf(&mut self, index: u64) -> Result<Digest, StoreError> {
        self.node(0, index)
    }

    fn node(&mut self, level: u32, index: u64) -> Result<Digest, StoreError> {
        if let Some(file) = self.file
            && (index + 1) << level <= self.stored
        {
            let failed = |error| StoreError::Index(format!("its tree nodes cannot be read: {error}"));
            return file.node(level, index).map_err(failed);
        }
        if level == 0 {
            let place = index.checked_sub(self.stored).and_then(|place| usize::try_from(place).ok());
            let leaf = place.and_then(|place| self.leaves.get(place)).copied();
            let size = self.stored + self.leaves.len() as u64;
            return leaf.ok_or(StoreError::Range { asked: index, size });
        }
        Ok(node_hash(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

#[cfg(test)]
mod tests {
    use ledger::{leaf_hash, root_at};

    use super::*;

    #[test]
    fn stored_nodes_and_leaves_make_one_tree() {
        let dir = tempfile::tempdir().unwrap();
        let file = NodeFile::open(dir.path()).unwrap();
        let leaves: Vec<Digest> = (0..100u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let (mut tree, mut roots) = (Tree::new(), vec![Tree::new().root()]);
        for (number, leaf) in leaves.iter().enumerate() {
            let mut nodes = Vec::new();
            tree.push_with(*leaf, |node| nodes.extend_from_slice(node.as_bytes()));
            file.write(number as u64, &nodes).unwrap();
            roots.push(tree.root());
            assert_eq!(file.tree(number as u64 + 1).unwrap(), tree);
        }
        for stored in [0, 1, 17, 64, 100u64] {
            let rest = leaves[usize::try_from(stored).unwrap()..].to_vec();
            let mut nodes = TreeNodes::new(Some(&file), stored, rest);
            for size in 0..=100u64 {
                assert_eq!(root_at(&mut nodes, size).unwrap(), roots[usize::try_from(size).unwrap()]);
            }
            assert!(root_at(&mut nodes, 101).is_err());
        }
    }
}
