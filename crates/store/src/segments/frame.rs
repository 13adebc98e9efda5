//! One record in a segment: a header of 60 bytes and the canonical encoding.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic; its first byte never occurs in UTF-8 text, so a search for frames never stops inside of a record |
//! | 4 | length of the record |
//! | 8 | its number |
//! | 4 | how many records of the same append follow: an append is there as a whole or not at all |
//! | 4 | how many records of the same group of appends stand before it: one group is one `fdatasync` |
//! | 32 | chain hash behind it |
//! | 4 | CRC-32C of all of the above and the record |
//!
//! Numbers are little-endian.

use ledger::Digest;
use model::Seq;

/// Bytes before the record.
pub(crate) const HEADER: usize = 60;
/// The longest record in bytes.
pub(crate) const MAX_RECORD: usize = 1 << 20;

const MAGIC: [u8; 4] = [0xf5, b'P', b'C', 0xf6];
/// Where the checksum stands.
pub(crate) const CHECKSUM: usize = 56;

/// What stands before a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the record.
    pub(crate) length: usize,
    /// Its number.
    pub(crate) seq: Seq,
    /// Records of the same append behind it.
    pub(crate) follow: u32,
    /// Records of the same group before it.
    pub(crate) before: u32,
    /// Chain hash behind it.
    pub(crate) chain: Digest,
}

impl FrameHeader {
    /// Length of the frame.
    pub(crate) const fn frame_length(&self) -> usize {
        HEADER + self.length
    }

    /// The number of the first record of its group.
    pub(crate) const fn group(&self) -> Seq {
        Seq(self.seq.0.saturating_sub(self.before as u64))
    }
}

/// What the beginning of some bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A whole frame.
    Whole(FrameHeader, &'a [u8]),
    /// The bytes end before the frame does.
    Short,
    /// No frame.
    Bad(&'static str),
}

/// Appends a frame to `out`.
pub(crate) fn write(out: &mut Vec<u8>, header: &FrameHeader, record: &[u8]) {
    let start = out.len();
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&header.seq.0.to_le_bytes());
    out.extend_from_slice(&header.follow.to_le_bytes());
    out.extend_from_slice(&header.before.to_le_bytes());
    out.extend_from_slice(header.chain.as_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(out.get(start..).unwrap_or_default()), record);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(record);
}

/// Reads the frame that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((header, checksum)) = parse_header(bytes) else {
        let magic = bytes.get(..MAGIC.len());
        return match magic {
            Some(magic) if magic != MAGIC => Parsed::Bad("no record begins here"),
            _ if bytes.len() < HEADER => Parsed::Short,
            _ => Parsed::Bad("the length of the record is out of range"),
        };
    };
    let (Some(before), Some(record)) = (bytes.get(..CHECKSUM), bytes.get(HEADER..header.frame_length())) else {
        return Parsed::Short;
    };
    if crc32c::crc32c_append(crc32c::crc32c(before), record) == checksum {
        Parsed::Whole(header, record)
    } else {
        Parsed::Bad("the checksum does not match")
    }
}

/// Reads a header without its record: nothing is checked but the magic and the length. Also says the checksum.
pub(crate) fn parse_header(bytes: &[u8]) -> Option<(FrameHeader, u32)> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (follow, rest) = rest.split_first_chunk()?;
    let (before, rest) = rest.split_first_chunk()?;
    let (chain, rest) = rest.split_first_chunk()?;
    let checksum = rest.first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_RECORD)?;
    let header = FrameHeader {
        length,
        seq: Seq(u64::from_le_bytes(*seq)),
        follow: u32::from_le_bytes(*follow),
        before: u32::from_le_bytes(*before),
        chain: Digest(*chain),
    };
    Some((header, u32::from_le_bytes(*checksum)))
}

/// Finds the next whole frame at or behind `from`.
pub(crate) fn find(bytes: &[u8], from: usize) -> Option<(usize, FrameHeader)> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|byte| *byte == MAGIC[0])?;
        if let Parsed::Whole(header, _) = parse(bytes.get(at..)?) {
            return Some((at, header));
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize) -> FrameHeader {
        FrameHeader { length, seq: Seq(9), follow: 1, before: 2, chain: Digest::of(b"x") }
    }

    proptest! {
        #[test]
        fn a_frame_reads_back(record in proptest::collection::vec(any::<u8>(), 0..200), behind in proptest::collection::vec(any::<u8>(), 0..50)) {
            let header = header(record.len());
            let mut out = Vec::new();
            write(&mut out, &header, &record);
            prop_assert_eq!(out.len(), header.frame_length());
            out.extend(&behind);
            prop_assert_eq!(parse(&out), Parsed::Whole(header, &record));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_noticed(record in proptest::collection::vec(any::<u8>(), 0..200), place: usize, bit in 0u8..8) {
            let header = header(record.len());
            let mut out = Vec::new();
            write(&mut out, &header, &record);
            let place = place % out.len();
            prop_assert_eq!(parse(&out[..place]), Parsed::Short);
            out[place] ^= 1 << bit;
            prop_assert!(!matches!(parse(&out), Parsed::Whole(..)));
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), magic: bool) {
            if magic && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&MAGIC);
            }
            let _ = parse(&bytes);
            let _ = find(&bytes, 0);
        }
    }
}
