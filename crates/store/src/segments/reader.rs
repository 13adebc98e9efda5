//! Reads the frames of one segment in order, through a buffer of bounded size.

use std::io;

use super::frame::{self, FrameHeader, Parsed};
use crate::disk::DiskFile;

/// How much is read at once; a longer frame makes the buffer grow for as long as it needs.
const CHUNK: usize = 256 * 1024;

/// Walks over the frames between two offsets.
pub(crate) struct FrameReader<'a> {
    file: &'a dyn DiskFile,
    /// Offset of the next frame.
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the next frame begins in the buffer.
    start: usize,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A whole frame with a right checksum, and where it begins.
    Frame(u64, FrameHeader, &'a [u8]),
    /// The last frame ended where it should.
    End,
    /// No good frame begins at this offset.
    Bad(u64, &'static str),
}

impl<'a> FrameReader<'a> {
    /// A reader of the frames from `offset` (where one must begin) to `end`.
    pub(crate) fn new(file: &'a dyn DiskFile, offset: u64, end: u64) -> Self {
        Self { file, offset, end, buffer: Vec::new(), start: 0 }
    }

    /// The next frame. After [`Step::Bad`] it says the same again.
    pub(crate) fn next(&mut self) -> io::Result<Step<'_>> {
        let mut wanted = frame::HEADER;
        loop {
            let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(Step::End);
            }
            self.fill(wanted.min(left))?;
            let bytes = self.buffer.get(self.start..).unwrap_or_default();
            let bytes = bytes.get(..left).unwrap_or(bytes);
            match frame::parse_header(bytes) {
                Some((header, _)) if header.frame_length() > bytes.len() && bytes.len() < left => {
                    wanted = header.frame_length();
                    if wanted > left {
                        return Ok(Step::Bad(self.offset, "the record ends behind the end of the file"));
                    }
                }
                _ => break,
            }
        }
        let offset = self.offset;
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        match frame::parse(bytes.get(..left).unwrap_or(bytes)) {
            Parsed::Whole(header, record) => {
                self.start += header.frame_length();
                self.offset += header.frame_length() as u64;
                Ok(Step::Frame(offset, header, record))
            }
            Parsed::Short => Ok(Step::Bad(offset, "the record ends behind the end of the file")),
            Parsed::Bad(what) => Ok(Step::Bad(offset, what)),
        }
    }

    /// Makes at least `wanted` bytes of the next frame lie in the buffer, if the file has them.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let have = self.buffer.len().saturating_sub(self.start);
        if have >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let target = wanted.max(CHUNK).min(left);
        self.buffer.resize(target.max(have), 0);
        let room = self.buffer.get_mut(have..).unwrap_or_default();
        let read = self.file.read_at(room, self.offset + have as u64)?;
        self.buffer.truncate(have + read);
        if have + read < wanted {
            // Shorter than it was said to be: what is missing reads as the end.
            self.end = self.offset + (have + read) as u64;
        }
        Ok(())
    }
}
