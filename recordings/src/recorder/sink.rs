//! The file of a recording.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The file, with the digest of what is in it.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    sha: Sha256,
    pub(super) bytes: u64,
}

impl Sink {
    /// `written` is what the file holds already.
    pub(super) fn new(file: File, written: &[u8]) -> Self {
        let mut sha = Sha256::new();
        sha.update(written);
        Self { file, sha, bytes: u64::try_from(written.len()).unwrap_or(u64::MAX) }
    }

    /// Writes all of it, or leaves the file with its last whole line.
    pub(super) fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let error = match self.file.write(rest) {
                Ok(count) if count > 0 => {
                    rest = rest.get(count..).unwrap_or_default();
                    continue;
                }
                Ok(_) => io::Error::from(io::ErrorKind::WriteZero),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            // A line that is half written makes players refuse the whole file, so it ends with the last whole one.
            let written = buffer.get(..buffer.len().saturating_sub(rest.len())).unwrap_or_default();
            let lines = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last.saturating_add(1));
            // If this fails too, recovery does it.
            let _ = self.file.set_len(self.bytes.saturating_add(u64::try_from(lines).unwrap_or(0)));
            return Err(error);
        }
        self.sha.update(buffer);
        self.bytes = self.bytes.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Makes the file durable under its name of a closed one.
    pub(super) fn close(self, part: &Path, done: &Path) -> io::Result<[u8; 32]> {
        self.file.sync_data()?;
        std::fs::rename(part, done)?;
        if let Some(folder) = done.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(self.sha.finalize().into())
    }
}
