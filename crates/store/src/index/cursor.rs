//! How far the index was synced, and to which ledger it belongs: a small file of our own beside sled.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use ledger::Digest;
use model::Seq;

use crate::disk::sync_dir;

/// Its name in the index directory.
pub(super) const FILE: &str = "cursor";
/// Changed whenever the index is laid out in another way; an older one is built again.
const VERSION: &[u8; 8] = b"pcindex1";
const LENGTH: usize = 8 + 8 + 32 + 32 + 4;

/// The stamp of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// So many records were indexed and synced.
    pub(super) seq: Seq,
    /// The chain hash behind them.
    pub(super) chain: Digest,
    /// The root of their tree.
    pub(super) root: Digest,
}

impl Cursor {
    /// Reads it; `None` when there is none.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>, String> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => {
                Self::parse(&bytes).map(Some).ok_or_else(|| "its cursor is damaged, or of another version".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("its cursor cannot be read: {error}")),
        }
    }

    /// Writes it, as a whole or not at all.
    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        let bytes = self.to_bytes();
        let fresh = dir.join("cursor.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(fresh, dir.join(FILE))?;
        sync_dir(dir)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        bytes.extend_from_slice(&self.seq.0.to_le_bytes());
        bytes.extend_from_slice(self.chain.as_bytes());
        bytes.extend_from_slice(self.root.as_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LENGTH {
            return None;
        }
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (seq, rest) = body.strip_prefix(VERSION)?.split_first_chunk::<8>()?;
        let (chain, root) = rest.split_first_chunk::<32>()?;
        Some(Self { seq: Seq(u64::from_le_bytes(*seq)), chain: Digest(*chain), root: Digest(root.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cursor::load(dir.path()), Ok(None));
        let cursor = Cursor { seq: Seq(2048), chain: Digest::of(b"c"), root: Digest::of(b"r") };
        cursor.save(dir.path()).unwrap();
        assert_eq!(Cursor::load(dir.path()), Ok(Some(cursor)));
        let mut bytes = std::fs::read(dir.path().join(FILE)).unwrap();
        bytes[20] ^= 1;
        std::fs::write(dir.path().join(FILE), bytes).unwrap();
        assert!(Cursor::load(dir.path()).is_err());
    }
}
