//! The first page of a segment: where it stands in the ledger.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic |
//! | 4 | format, now 1 |
//! | 4 | how many hashes of the Merkle tree follow below |
//! | 8 | number of its first record |
//! | 32 | chain hash before that |
//! | 2,048 | the Merkle tree of all records before it, as a compact range (up to 64 hashes) |
//! | … | zeros |
//! | 4 | CRC-32C of all of the above |
//!
//! With it a start needs to read one segment only, whatever the length of the ledger.

use ledger::{Digest, Tree};
use model::Seq;

/// Length of the page; frames begin behind it.
pub(crate) const PAGE: usize = 4096;
/// The same as a file offset.
pub(crate) const FIRST_FRAME: u64 = PAGE as u64;
/// The format that this version writes, and the latest that it reads.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = [0xf5, b'P', b'C', b'f', b'a', b'c', b't', b's'];
const SUFFIX: &str = ".seg";

/// Where a segment stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Chain hash before its first record.
    pub(crate) chain: Digest,
    /// The tree before its first record; its size is that record's number.
    pub(crate) tree: Tree,
}

/// What the first page of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// A header.
    Good(SegmentHeader),
    /// A header of a later format.
    Later(u32),
    /// No header.
    Bad,
}

impl SegmentHeader {
    /// The number of the first record.
    pub(crate) const fn first(&self) -> Seq {
        Seq(self.tree.size())
    }

    /// The page as it is stored.
    pub(crate) fn to_page(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&FORMAT.to_le_bytes());
        page.extend_from_slice(&u32::try_from(self.tree.range().len()).unwrap_or(u32::MAX).to_le_bytes());
        page.extend_from_slice(&self.first().0.to_le_bytes());
        page.extend_from_slice(self.chain.as_bytes());
        for hash in self.tree.range() {
            page.extend_from_slice(hash.as_bytes());
        }
        page.resize(PAGE - 4, 0);
        let checksum = crc32c::crc32c(&page);
        page.extend_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Reads a page.
    pub(crate) fn parse(page: &[u8]) -> Page {
        Self::try_parse(page).unwrap_or(Page::Bad)
    }

    fn try_parse(page: &[u8]) -> Option<Page> {
        let (body, checksum) = page.get(..PAGE)?.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let rest = body.strip_prefix(&MAGIC)?;
        let (format, rest) = rest.split_first_chunk()?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Some(Page::Later(format));
        }
        let (count, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (chain, rest) = rest.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|count| *count <= 64)?;
        let range = rest.chunks_exact(32).take(count).filter_map(|hash| hash.try_into().ok().map(Digest)).collect();
        let tree = Tree::from_parts(u64::from_le_bytes(*first), range).ok()?;
        Some(Page::Good(Self { chain: Digest(*chain), tree }))
    }
}

/// The file name of the segment that begins with record `first`.
pub(crate) fn file_name(first: Seq) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The first record of the segment with this file name; `None` for other files.
pub(crate) fn first_of(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok().map(Seq)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_passes() {
        let mut tree = Tree::new();
        for number in 0..7u8 {
            tree.push(Digest::of(&[number]));
        }
        let header = SegmentHeader { chain: Digest::of(b"before"), tree };
        let mut page = header.to_page();
        assert_eq!(page.len(), PAGE);
        assert_eq!(SegmentHeader::parse(&page), Page::Good(header));
        for place in 0..PAGE {
            page[place] ^= 4;
            assert_eq!(SegmentHeader::parse(&page), Page::Bad, "byte {place}");
            page[place] ^= 4;
        }
        assert_eq!(SegmentHeader::parse(&page[..PAGE - 1]), Page::Bad);
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut page = SegmentHeader { chain: Digest::ZERO, tree: Tree::new() }.to_page();
        page[8] = 2;
        let checksum = crc32c::crc32c(&page[..PAGE - 4]).to_le_bytes();
        page[PAGE - 4..].copy_from_slice(&checksum);
        assert_eq!(SegmentHeader::parse(&page), Page::Later(2));
    }

    #[test]
    fn names_read_back() {
        assert_eq!(first_of(&file_name(Seq(42))), Some(Seq(42)));
        for name in ["x", "42.seg", "000000000000000000+2.seg", "00000000000000000042.seg.bak"] {
            assert_eq!(first_of(name), None, "{name}");
        }
    }
}
