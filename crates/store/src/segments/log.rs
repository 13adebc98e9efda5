//! All segments as one log: which file holds which record, and reading any range of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ledger::{Digest, chain};
use model::Seq;

use super::frame::FrameHeader;
use super::header::{FIRST_FRAME, file_name};
use super::open::header;
use super::reader::{FrameReader, Step};
use crate::StoreError;
use crate::disk::Disk;
use crate::sync::lock;

/// One place is remembered for so many records.
const STRIDE: u64 = 64;

/// The segments that hold durable records.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    segments: RwLock<BTreeMap<Seq, Arc<Segment>>>,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    first: Seq,
    name: String,
    /// Where its durable records end.
    end: AtomicU64,
    /// Where its records begin: every 64th, as far as they were walked over.
    marks: Mutex<Vec<u64>>,
}

/// A record as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    /// Which file; for messages.
    pub(crate) file: &'a Path,
    /// Where in it.
    pub(crate) offset: u64,
    /// Its frame's header.
    pub(crate) header: FrameHeader,
    /// Its canonical encoding.
    pub(crate) bytes: &'a [u8],
}

impl Segment {
    pub(crate) fn new(first: Seq, end: u64) -> Self {
        Self { first, name: file_name(first), end: AtomicU64::new(end), marks: Mutex::new(vec![FIRST_FRAME]) }
    }

    pub(crate) const fn first(&self) -> Seq {
        self.first
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// More records of it are durable.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Remembers where a record begins, when it is the next one worth it.
    pub(crate) fn mark(&self, seq: Seq, offset: u64) {
        let place = seq.0.saturating_sub(self.first.0);
        let mut marks = lock(&self.marks);
        if place.is_multiple_of(STRIDE) && marks.len() as u64 == place / STRIDE {
            marks.push(offset);
        }
    }

    /// The last remembered record at or before `seq`, and where it begins.
    fn nearest(&self, seq: Seq) -> (Seq, u64) {
        let marks = lock(&self.marks);
        let wanted = seq.0.saturating_sub(self.first.0) / STRIDE;
        let place = wanted.min((marks.len() as u64).saturating_sub(1));
        let offset = usize::try_from(place).ok().and_then(|place| marks.get(place).copied());
        offset.map_or((self.first, FIRST_FRAME), |offset| (Seq(self.first.0 + place * STRIDE), offset))
    }
}

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>, segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        let segments = segments.into_iter().map(|segment| (segment.first, segment)).collect();
        Self { disk, segments: RwLock::new(segments) }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// A new segment goes on where the last one ends.
    pub(crate) fn add(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).insert(segment.first, segment);
    }

    /// Shows the records `from..to` in order, until told to stop. All of them must be durable.
    ///
    /// Checksums, numbers and the chain between neighbours are checked on the way.
    pub(crate) fn walk(
        &self,
        from: Seq,
        to: Seq,
        mut visit: impl FnMut(&Stored<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut next = from;
        while next < to {
            let Some((segment, limit)) = self.segment_of(next) else {
                return Err(self.missing(next));
            };
            let stop = to.min(limit.unwrap_or(to));
            if self.walk_segment(&segment, next, stop, limit.is_some(), &mut visit)?.is_break() {
                return Ok(());
            }
            next = stop;
        }
        Ok(())
    }

    /// The chain hash behind the first `size` records.
    pub(crate) fn chain_at(&self, size: Seq) -> Result<Digest, StoreError> {
        let mut found = Digest::ZERO;
        if size.0 > 0 {
            self.walk(Seq(size.0 - 1), size, |stored| {
                found = stored.header.chain;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(found)
    }

    /// The segment that holds a record, and where the one behind it begins.
    fn segment_of(&self, seq: Seq) -> Option<(Arc<Segment>, Option<Seq>)> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let (_, segment) = segments.range(..=seq).next_back()?;
        let limit = segments.range(seq.next()..).next().map(|(first, _)| *first);
        Some((Arc::clone(segment), limit))
    }

    fn walk_segment(
        &self,
        segment: &Segment,
        from: Seq,
        to: Seq,
        sealed: bool,
        visit: &mut impl FnMut(&Stored<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let path = self.disk.path_of(segment.name());
        let corrupt =
            |offset, seq, what: &str| StoreError::Corrupt { file: path.clone(), offset, seq, what: what.to_owned() };
        let io = |source| StoreError::io("read", &path, source);
        let file = self.disk.open(segment.name()).map_err(|source| {
            let gone = source.kind() == std::io::ErrorKind::NotFound;
            if gone { corrupt(0, from, "the file is missing") } else { io(source) }
        })?;
        let (mut seq, offset) = segment.nearest(from);
        // Where the walk starts in the middle, the first chain hash cannot be checked.
        let mut last: Option<Digest> = None;
        if seq == segment.first {
            last = Some(header(&*self.disk, &*file, segment.first)?.chain);
        }
        let mut reader = FrameReader::new(&*file, offset, segment.end());
        while seq < to {
            match reader.next().map_err(io)? {
                Step::Frame(offset, header, bytes) => {
                    if header.seq != seq {
                        return Err(corrupt(offset, seq, &format!("a record with the number {}", header.seq)));
                    }
                    segment.mark(seq, offset);
                    // Records that are only passed over are not hashed; their checksums are right.
                    if seq >= from && last.is_some_and(|last| chain(&last, bytes) != header.chain) {
                        return Err(corrupt(offset, seq, "the chain hash does not follow from the records"));
                    }
                    last = Some(header.chain);
                    if seq >= from && visit(&Stored { file: &path, offset, header, bytes })?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Step::End => {
                    let what = if sealed { "the segment ends before its last record" } else { "the file was cut" };
                    return Err(corrupt(segment.end(), seq, what));
                }
                Step::Bad(offset, what) => return Err(corrupt(offset, seq, what)),
            }
            seq = seq.next();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn missing(&self, seq: Seq) -> StoreError {
        let file: PathBuf = self.disk.path_of(&file_name(seq));
        StoreError::Corrupt { file, offset: 0, seq, what: "no segment holds this record".to_owned() }
    }
}
