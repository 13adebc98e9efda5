//! The bytes of a recording, as they come from the API or a file.

use std::io;
use std::path::Path;

use api::Client;
use model::RecordingId;
use recordings::Source;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::error::CliError;

/// How many chunks may wait; the next is fetched only when there is room.
const AHEAD: usize = 8;
/// How much of a file is read at a time.
const CHUNK: usize = 64 * 1024;

/// A recording that is being read. Dropping it stops the reading.
#[derive(Debug)]
pub(crate) struct Content {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Content {
    /// From the API; with `follow`, a live one goes on until it is closed.
    pub(crate) async fn from_api(client: &Client, id: &RecordingId, follow: bool) -> Result<Self, CliError> {
        let mut response = client.recording_content(id, follow).await?;
        let (send, chunks) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let chunk = match response.chunk().await {
                    Ok(Some(chunk)) => Ok(chunk.to_vec()),
                    Ok(None) => return,
                    Err(error) => Err(io::Error::other(error)),
                };
                let last = chunk.is_err();
                if send.send(chunk).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { chunks })
    }

    /// From a file.
    pub(crate) async fn from_file(path: &Path) -> Result<Self, CliError> {
        let mut file = tokio::fs::File::open(path).await.map_err(|error| CliError::file("open", path, &error))?;
        let (send, chunks) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let mut buffer = vec![0; CHUNK];
                let read = file.read(&mut buffer).await.map(|length| {
                    buffer.truncate(length);
                    buffer
                });
                let last = read.as_ref().map_or(true, Vec::is_empty);
                if matches!(&read, Ok(buffer) if buffer.is_empty()) || send.send(read).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { chunks })
    }
}

impl Source for Content {
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.chunks.recv().await.transpose()
    }
}
