//! What the fuzz targets in `tests/fuzz` reach, and no API: it is built for them alone. Nobody finds a checksum by
//! trying, so each of these sets it right first: behind it is what is to be looked at.

use crate::index::cursor::Cursor;
use crate::segments::frame::{self, Parsed};
use crate::segments::header::{PAGE, Page, SegmentHeader};

/// The first page of a segment, of which `bytes` are the beginning: what it reads as, written again, and that read.
/// `None` when it is no header of this format.
pub fn page(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut page = bytes.to_vec();
    page.resize(PAGE - 4, 0);
    seal(&mut page);
    match SegmentHeader::parse(&page) {
        Page::Good(header) => {
            let again = header.to_page();
            let same = SegmentHeader::parse(&again) == Page::Good(header);
            Some((again, same))
        }
        Page::Later(_) | Page::Bad => None,
    }
}

/// The cursor of an index: what it reads as, written again.
pub fn cursor(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = bytes.to_vec();
    seal(&mut bytes);
    Cursor::parse(&bytes).map(|cursor| (bytes, cursor.to_bytes()))
}

/// What stands in a segment behind its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begins {
    /// A frame, which is written again as these bytes.
    Frame(Vec<u8>),
    /// What may yet become one.
    Short,
    /// None.
    Nothing,
}

/// What these bytes begin with.
pub fn begins(bytes: &[u8]) -> Begins {
    match frame::parse(bytes) {
        Parsed::Whole(header, record) => {
            let mut again = Vec::new();
            frame::write(&mut again, &header, record);
            Begins::Frame(again)
        }
        Parsed::Short => Begins::Short,
        Parsed::Bad(_) => Begins::Nothing,
    }
}

/// Where the next frame begins, at `from` or behind it.
pub fn find(bytes: &[u8], from: usize) -> Option<usize> {
    frame::find(bytes, from).map(|(at, _)| at)
}

/// The bytes with the right checksum wherever a frame seems to begin.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        let Some((head, record)) = bytes.split_at_mut_checked(at + frame::HEADER) else { break };
        let Some(head) = head.get_mut(at..) else { break };
        let Some((header, _)) = frame::parse_header(head) else { continue };
        let (Some(before), Some(record)) = (head.get(..frame::CHECKSUM), record.get(..header.length)) else { continue };
        let checksum = crc32c::crc32c_append(crc32c::crc32c(before), record);
        if let Some(place) = head.get_mut(frame::CHECKSUM..) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
    }
    bytes
}

/// Puts their checksum behind the bytes.
fn seal(bytes: &mut Vec<u8>) {
    let checksum = crc32c::crc32c(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}
