//! The file of a recording, streamed while it grows.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::{Source, Stage, Stored, VaultError};

/// How often a live recording is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Streams the bytes of a recording, and waits for more until it is closed. Each byte comes as it is in the file.
#[derive(Debug)]
pub struct Tail {
    file: tokio::fs::File,
    /// A second handle to the same open file, to see whether the writer's own open file holds the lock.
    probe: File,
    path: PathBuf,
    live: bool,
    buffer: Vec<u8>,
}

impl Tail {
    pub(crate) fn new(file: File, stored: Stored) -> Result<Self, VaultError> {
        let probe = file.try_clone().map_err(VaultError::io("open", &stored.path))?;
        let live = stored.stage == Stage::Part;
        Ok(Self { file: tokio::fs::File::from_std(file), probe, path: stored.path, live, buffer: vec![0; 64 * 1024] })
    }

    /// The next bytes; `None` when the recording is closed and everything was read. Nothing is lost when the returned
    /// future is dropped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // Looked at before the read: what was written before the end is still read after it.
            let ended = !self.live || self.is_closed();
            let count = self.file.read(&mut self.buffer).await?;
            if count > 0 {
                return Ok(Some(self.buffer.get(..count).unwrap_or_default().to_vec()));
            }
            if ended {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether nobody writes any more: the file has moved on, or its writer has died.
    fn is_closed(&mut self) -> bool {
        if !self.path.exists() || self.probe.try_lock_shared().is_ok() {
            let _ = self.probe.unlock();
            self.live = false;
        }
        !self.live
    }
}

impl Source for Tail {
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        Self::chunk(self).await
    }
}
