//! The one thread that writes: drains the queue, writes a group, makes it durable, answers.

use std::sync::Arc;
use std::time::Duration;

use ledger::Digest;
use model::Seq;
use tokio::sync::watch;

use crate::disk::DiskFile;
use crate::segments::frame::{self, FrameHeader};
use crate::segments::header::FIRST_FRAME;
use crate::segments::log::{Log, Segment};
use crate::segments::open::{self, End};
use crate::segments::reader::{FrameReader, Step};
use crate::shared::{Pending, Shared};
use crate::{Head, StoreError};

/// How long to wait between two tries to go on after a failure.
const RETRY: Duration = Duration::from_millis(250);
/// Written and removed to see whether there is room again.
const PROBE: &str = "probe";
/// How much room there must be, at the least and at the most.
const ROOM: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;
/// The unit in which a system keeps files in memory.
const PAGE: u64 = 4096;

/// The writer's own state: the end of the ledger, as it is on the disk.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Arc<Log>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) end: End,
    /// A segment this long is not gone on with.
    pub(crate) rotate_at: u64,
    /// Followers wake by it; dropped when no more comes.
    pub(crate) heads: watch::Sender<Seq>,
}

impl Writer {
    /// Writes until the store closes.
    pub(crate) fn run(mut self) {
        // However this thread ends, nobody waits for it for ever.
        let _gone = Gone(Arc::clone(&self.shared));
        let mut buffer = Vec::new();
        while let Some(group) = self.shared.next_group() {
            match self.write(&group, &mut buffer) {
                Ok(()) => {
                    let head = self.end.head();
                    self.shared.committed(head, group);
                    self.heads.send_replace(head.next);
                }
                Err(error) => {
                    tracing::error!(%error, next = self.end.next().0, "the ledger cannot be written");
                    self.shared.failed(&error, group);
                    if !self.heal(buffer.len()) {
                        return;
                    }
                    tracing::info!(next = self.end.next().0, "the ledger can be written again");
                    self.shared.healed();
                }
            }
            // One large group must not hold its memory for ever.
            buffer.clear();
            buffer.shrink_to(1 << 20);
        }
    }

    /// Writes one group with one `fdatasync`. On an error nothing of it counts.
    fn write(&mut self, group: &[Pending], buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.segment.end() >= self.rotate_at {
            let (segment, file) = open::create(self.log.disk(), &self.end)?;
            self.log.add(Arc::clone(&segment));
            (self.segment, self.file) = (segment, file);
        }
        let (mut end, start) = (self.end.clone(), self.segment.end());
        let (mut before, mut places) = (0, Vec::new());
        for pending in group {
            let mut follow = u32::try_from(pending.encoded.len()).unwrap_or(u32::MAX);
            for record in &pending.encoded {
                follow = follow.saturating_sub(1);
                let seq = end.next();
                end.push(record);
                places.push((seq, start + buffer.len() as u64));
                let header = FrameHeader { length: record.len(), seq, follow, before, chain: end.chain };
                frame::write(buffer, &header, record);
                before += 1;
            }
        }
        let path = self.log.disk().path_of(self.segment.name());
        self.file.write_at(buffer, start).map_err(|source| StoreError::io("write", &path, source))?;
        self.file.sync().map_err(|source| StoreError::io("sync", &path, source))?;
        self.end = end;
        for (seq, offset) in places {
            self.segment.mark(seq, offset);
        }
        self.segment.set_end(start + buffer.len() as u64);
        Ok(())
    }

    /// Tries until the disk takes appends again; `false` when the store closes first.
    fn heal(&mut self, refused: usize) -> bool {
        let mut last = String::new();
        loop {
            match self.repair(refused) {
                Ok(()) => return true,
                Err(error) => {
                    let text = error.to_string();
                    if text != last {
                        tracing::warn!(%error, "the ledger still cannot be written");
                        last = text;
                    }
                    self.shared.failed(&error, Vec::new());
                }
            }
            if !self.shared.pause(RETRY) {
                return false;
            }
        }
    }

    /// Brings the segment back to its last durable record.
    ///
    /// After a failed `fdatasync` the system's memory may show bytes that never reached the disk and are not going
    /// to. So the file is opened anew and read from the device, everything behind the durable end is cut off, and
    /// the last page is written again.
    fn repair(&mut self, refused: usize) -> Result<(), StoreError> {
        let (disk, length) = (self.log.disk(), self.segment.end());
        let path = disk.path_of(self.segment.name());
        let io = |doing| {
            let path = path.clone();
            move |source| StoreError::io(doing, &path, source)
        };
        let file = disk.open(self.segment.name()).map_err(io("open"))?;
        file.forget();
        file.truncate(length).map_err(io("cut"))?;
        self.reread(&*file, length)?;
        let start = (length - length % PAGE).max(FIRST_FRAME);
        let mut page = vec![0; usize::try_from(length - start).unwrap_or(0)];
        let read = file.read_at(&mut page, start).map_err(io("read"))?;
        file.write_at(page.get(..read).unwrap_or_default(), start).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        self.probe(refused)?;
        self.file = file;
        Ok(())
    }

    /// Checks that the segment still holds what was acknowledged.
    fn reread(&self, file: &dyn DiskFile, length: u64) -> Result<(), StoreError> {
        let disk = self.log.disk();
        let path = disk.path_of(self.segment.name());
        let header = open::header(disk, file, self.segment.first())?;
        let mut end = End { chain: header.chain, tree: header.tree };
        let mut reader = FrameReader::new(file, FIRST_FRAME, length);
        let (offset, what) = loop {
            match reader.next().map_err(|source| StoreError::io("read", &path, source))? {
                Step::Frame(offset, header, record) => {
                    end.push(record);
                    if end.chain != header.chain {
                        break (offset, "the chain hash does not follow from the records");
                    }
                }
                Step::End if end == self.end => return Ok(()),
                Step::End => break (length, "acknowledged records are gone"),
                Step::Bad(offset, what) => break (offset, what),
            }
        };
        Err(StoreError::Corrupt { file: path, offset, seq: end.next(), what: what.to_owned() })
    }

    /// Whether something like what was refused would fit now.
    fn probe(&self, refused: usize) -> Result<(), StoreError> {
        let disk = self.log.disk();
        let size = refused.clamp(*ROOM.start(), *ROOM.end());
        let path = disk.path_of(PROBE);
        let written = disk.create(PROBE).and_then(|file| {
            file.write_at(&vec![0; size], 0)?;
            file.sync()
        });
        match disk.remove(PROBE) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &path, error));
            }
            Ok(()) | Err(_) => {}
        }
        written.map_err(|source| StoreError::io("write", &path, source))
    }
}

impl End {
    /// The end as callers see it.
    pub(crate) fn head(&self) -> Head {
        let chain: Digest = self.chain;
        Head { next: self.next(), chain, root: self.tree.root() }
    }
}

/// Fails whatever is queued when the writer is gone.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.close();
        self.0.failed(&StoreError::Closed, Vec::new());
    }
}
