//! Taking the segments up at a start: the last one is read whole, and a torn tail is cut off.

use std::sync::Arc;

use ledger::{Digest, Tree, chain_leaf, leaf_hash};
use model::Seq;

use super::frame::{self, Parsed};
use super::header::{FIRST_FRAME, FORMAT, PAGE, Page, SegmentHeader, file_name, first_of};
use super::log::Segment;
use super::reader::{FrameReader, Step};
use super::tail::{self, Tail};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// How often a damaged place is read again.
const LOOKS: usize = 8;

/// The end of the ledger: all that is needed to go on writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) chain: Digest,
    /// Its size is the next record's number.
    pub(crate) tree: Tree,
}

impl End {
    pub(crate) const fn next(&self) -> Seq {
        Seq(self.tree.size())
    }

    pub(crate) fn push(&mut self, record: &[u8]) {
        let leaf = leaf_hash(record);
        self.chain = chain_leaf(&self.chain, &leaf);
        self.tree.push(leaf);
    }
}

/// A tail that was cut off at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file that was cut.
    pub file: std::path::PathBuf,
    /// Its length now.
    pub offset: u64,
    /// How many bytes went.
    pub bytes: u64,
    /// The first number that is free again.
    pub seq: Seq,
}

/// Everything that the directory holds.
pub(crate) struct Opened {
    /// In order; the last one goes on.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) end: End,
    pub(crate) cut: Option<Cut>,
}

/// What is found in a segment that is the last one.
pub(crate) struct Scanned {
    pub(crate) end: End,
    /// Where the last whole append ends.
    pub(crate) length: u64,
    /// Where the file ends.
    pub(crate) file_length: u64,
}

/// Opens the directory for writing; an empty one gets its first segment.
pub(crate) fn open(disk: &dyn Disk, progress: &mut dyn FnMut(u64, u64)) -> Result<Opened, StoreError> {
    let mut firsts = list(disk)?;
    let mut cut = None;
    while let Some(first) = firsts.last().copied() {
        let name = file_name(first);
        let path = disk.path_of(&name);
        let io = |doing| {
            let path = path.clone();
            move |source| StoreError::io(doing, &path, source)
        };
        let file = disk.open(&name).map_err(io("open"))?;
        let length = file.length().map_err(io("open"))?;
        if length <= FIRST_FRAME && !has_header(disk, first)? {
            // Records are written only behind a header that is on the disk; so there were none.
            tracing::warn!(file = %path.display(), "a segment that was never finished is removed");
            disk.remove(&name).map_err(io("remove"))?;
            cut = Some(Cut { file: path, offset: 0, bytes: length, seq: first });
            firsts.pop();
            continue;
        }
        let mut segments = sealed(disk, &firsts)?;
        let segment = Arc::new(Segment::new(first, FIRST_FRAME));
        let scanned = scan(disk, &*file, &segment, progress)?;
        if scanned.length < scanned.file_length {
            let bytes = scanned.file_length - scanned.length;
            tracing::warn!(
                file = %path.display(), offset = scanned.length, bytes, next = scanned.end.next().0,
                "a write that was never finished is cut off; nothing of it was acknowledged"
            );
            file.truncate(scanned.length).map_err(io("cut"))?;
            cut = Some(Cut { file: path.clone(), offset: scanned.length, bytes, seq: scanned.end.next() });
        }
        // After a crash of the process alone, good records may still be in memory only. Once they are read they count
        // as durable, so make them so.
        file.sync().map_err(io("sync"))?;
        disk.sync().map_err(|source| StoreError::io("sync", disk.path(), source))?;
        segment.set_end(scanned.length);
        segments.push(segment);
        return Ok(Opened { segments, file, end: scanned.end, cut });
    }
    let end = End { chain: Digest::ZERO, tree: Tree::new() };
    let (segment, file) = create(disk, &end)?;
    Ok(Opened { segments: vec![segment], file, end, cut })
}

/// Creates the segment that goes on at `end`, durably.
pub(crate) fn create(disk: &dyn Disk, end: &End) -> Result<(Arc<Segment>, Box<dyn DiskFile>), StoreError> {
    let header = SegmentHeader { chain: end.chain, tree: end.tree.clone() };
    let name = file_name(header.first());
    let path = disk.path_of(&name);
    let io = |source| StoreError::io("create", &path, source);
    let file = disk.create(&name).map_err(io)?;
    file.write_at(&header.to_page(), 0).map_err(io)?;
    file.sync().map_err(io)?;
    disk.sync().map_err(io)?;
    Ok((Arc::new(Segment::new(header.first(), FIRST_FRAME)), file))
}

/// Reads a last segment from its header to its last whole append.
pub(crate) fn scan(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    segment: &Segment,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Scanned, StoreError> {
    let path = disk.path_of(segment.name());
    let io = |source| StoreError::io("read", &path, source);
    let corrupt =
        |offset, seq, what: &str| StoreError::Corrupt { file: path.clone(), offset, seq, what: what.to_owned() };
    let file_length = file.length().map_err(io)?;
    let header = header(disk, file, segment.first())?;
    let mut end = End { chain: header.chain, tree: header.tree };
    // The state behind the last whole append.
    let (mut good, mut length) = (end.clone(), FIRST_FRAME);
    let mut reader = FrameReader::new(file, FIRST_FRAME, file_length);
    let (mut reported, mut again) = (0, 0);
    loop {
        let seq = end.next();
        let (offset, may_race) = match reader.next().map_err(io)? {
            Step::Frame(offset, header, record) => {
                end.push(record);
                if header.seq == seq && header.chain == end.chain {
                    segment.mark(seq, offset);
                    let behind = offset + header.frame_length() as u64;
                    if header.follow == 0 {
                        (good, length) = (end.clone(), behind);
                    }
                    if behind - reported > 4 << 20 {
                        reported = behind;
                        progress(behind, file_length);
                    }
                    continue;
                }
                (offset, false)
            }
            Step::End => break,
            Step::Bad(offset, _) => (offset, true),
        };
        let rest = usize::try_from(file_length - offset).map_err(std::io::Error::other).map_err(io)?;
        let mut bytes = vec![0; rest];
        let read = file.read_at(&mut bytes, offset).map_err(io)?;
        bytes.truncate(read);
        // A reader beside a running writer may have seen half of a write, which is whole by now.
        if may_race && again < LOOKS && matches!(frame::parse(&bytes), Parsed::Whole(header, _) if header.seq == seq) {
            again += 1;
            reader = FrameReader::new(file, offset, file_length);
            continue;
        }
        match tail::judge(&bytes, offset, seq) {
            Tail::Corrupt(what) => return Err(corrupt(offset, seq, what)),
            Tail::Torn => break,
        }
    }
    progress(file_length, file_length);
    Ok(Scanned { end: good, length, file_length })
}

/// The first records of all segments, sorted. Files that are none of ours are left alone.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<Seq>, StoreError> {
    let names = disk.list().map_err(|source| StoreError::io("list", disk.path(), source))?;
    let mut firsts: Vec<Seq> = names.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    if let Some(first) = firsts.first().filter(|first| first.0 != 0) {
        let file = disk.path_of(&file_name(Seq(0)));
        let what = format!("the file is missing, the oldest one begins with record {first}");
        return Err(StoreError::Corrupt { file, offset: 0, seq: Seq(0), what });
    }
    Ok(firsts)
}

/// The header of a segment.
pub(crate) fn header(disk: &dyn Disk, file: &dyn DiskFile, first: Seq) -> Result<SegmentHeader, StoreError> {
    let path = disk.path_of(&file_name(first));
    let mut page = vec![0; PAGE];
    let read = file.read_at(&mut page, 0).map_err(|source| StoreError::io("read", &path, source))?;
    page.truncate(read);
    let what = match SegmentHeader::parse(&page) {
        Page::Good(header) if header.first() == first => return Ok(header),
        Page::Later(found) => return Err(StoreError::Version { file: path, found, known: FORMAT }),
        Page::Good(_) => "the header is that of another segment",
        Page::Bad => "the segment header is damaged",
    };
    Err(StoreError::Corrupt { file: path, offset: 0, seq: first, what: what.to_owned() })
}

/// All segments but the last. Their records are checked when they are read.
fn sealed(disk: &dyn Disk, firsts: &[Seq]) -> Result<Vec<Arc<Segment>>, StoreError> {
    let all_but_last = firsts.split_last().map(|(_, rest)| rest).unwrap_or_default();
    all_but_last
        .iter()
        .map(|first| {
            let name = file_name(*first);
            let io = |source| StoreError::io("open", &disk.path_of(&name), source);
            let length = disk.open(&name).and_then(|file| file.length()).map_err(io)?;
            Ok(Arc::new(Segment::new(*first, length)))
        })
        .collect()
}

/// Whether a segment begins with a header. One of a later format counts: it is not ours to remove.
pub(crate) fn has_header(disk: &dyn Disk, first: Seq) -> Result<bool, StoreError> {
    let path = disk.path_of(&file_name(first));
    let file = disk.open(&file_name(first)).map_err(|source| StoreError::io("open", &path, source))?;
    match header(disk, &*file, first) {
        Ok(_) | Err(StoreError::Version { .. }) => Ok(true),
        Err(StoreError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
