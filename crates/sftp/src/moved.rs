//! What was moved through one open file, and its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What bytes that came out of order cost beside themselves, wherever they begin anew.
const OVERHEAD: usize = 64;

/// A buffer that grows may be twice as long as what is in it.
const GROWTH: usize = 2;

/// What was moved in one direction through one open file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// How many bytes of content; what was moved twice counts twice.
    pub bytes: u64,
    /// The lowest offset.
    pub from: u64,
    /// The offset behind the highest byte.
    pub to: u64,
    /// The digest of it all, or why there is none.
    #[serde(flatten)]
    pub digest: Digest,
}

/// The digest of a file that was moved whole: each byte once, from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Digest {
    /// The SHA-256 of the content, in hexadecimal digits.
    #[serde(rename = "sha256")]
    Sha256(String),
    /// There is none.
    #[serde(rename = "no-digest")]
    Absent(Absent),
}

/// Why there is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The first byte was not moved.
    NotFromStart,
    /// Something in the middle was not moved.
    Gap,
    /// More came out of order than is kept.
    OutOfOrder,
    /// Something was moved twice.
    Overlap,
    /// It is not known that the last byte that was moved is the file's last.
    EndUnseen,
    /// It was appended to what was there.
    Append,
    /// The file was cut or lengthened while it was open.
    Resized,
    /// A write failed.
    Failed,
    /// A part was copied on the target, unseen.
    Copied,
    /// The file was never closed.
    Unclosed,
}

impl Absent {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotFromStart => "its start was not moved",
            Self::Gap => "something in between was not moved",
            Self::OutOfOrder => "too much came out of order",
            Self::Overlap => "something was moved twice",
            Self::EndUnseen => "its end was not seen",
            Self::Append => "it was appended to what was there",
            Self::Resized => "it was cut or lengthened while it was open",
            Self::Failed => "some of it was not written or read",
            Self::Copied => "a part was copied on the target",
            Self::Unclosed => "it was never closed",
        }
    }
}

/// What all files of a watch may keep together.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) used: usize,
    limit: usize,
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    fn take(&mut self, bytes: usize, begins: bool) -> bool {
        let begins = if begins { OVERHEAD } else { 0 };
        let used = self.used.saturating_add(bytes.saturating_mul(GROWTH)).saturating_add(begins);
        if used > self.limit {
            return false;
        }
        self.used = used;
        true
    }

    const fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes.saturating_mul(GROWTH).saturating_add(OVERHEAD));
    }
}

/// Follows what is moved in one direction through one open file.
#[derive(Debug)]
pub(crate) struct Mover {
    bytes: u64,
    from: u64,
    to: u64,
    /// Up to here everything came, and is in the hash.
    next: u64,
    hash: Sha256,
    /// What came too early.
    early: BTreeMap<u64, Vec<u8>>,
    /// Where the last of it begins, and where more would follow.
    last: (u64, u64),
    /// The file is known to end here or before.
    end: Option<u64>,
    /// How long the target said it was.
    size: Option<u64>,
    absent: Option<Absent>,
}

impl Mover {
    /// With a reason why there cannot be a digest, if there is one.
    pub(crate) fn new(absent: Option<Absent>) -> Self {
        Self {
            bytes: 0,
            from: u64::MAX,
            to: 0,
            next: 0,
            hash: Sha256::new(),
            early: BTreeMap::new(),
            last: (0, 0),
            end: None,
            size: None,
            absent,
        }
    }

    /// Bytes at an offset.
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8], budget: &mut Budget) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length == 0 {
            return;
        }
        self.bytes = self.bytes.saturating_add(length);
        self.from = self.from.min(offset);
        self.to = self.to.max(offset.saturating_add(length));
        if self.absent.is_some() {
            return;
        }
        if offset < self.next {
            self.give_up(Absent::Overlap, budget);
        } else if offset > self.next {
            self.keep(offset, bytes, budget);
        } else {
            self.hash.update(bytes);
            self.next = self.next.saturating_add(length);
            self.catch_up(budget);
        }
    }

    /// The file ends at this offset or before it.
    pub(crate) fn ends(&mut self, offset: u64) {
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
    }

    /// The target says that the file is so long.
    pub(crate) const fn sized(&mut self, size: u64) {
        self.size = Some(size);
    }

    /// Whether cutting the file at this offset takes away and adds nothing that was moved.
    pub(crate) fn fits(&self, size: u64) -> bool {
        size == self.next && self.early.is_empty()
    }

    /// There will be no digest.
    pub(crate) fn give_up(&mut self, why: Absent, budget: &mut Budget) {
        self.absent.get_or_insert(why);
        for bytes in std::mem::take(&mut self.early).into_values() {
            budget.give(bytes.len());
        }
    }

    /// What it came to; `None` if nothing was moved, and not even an empty file.
    pub(crate) fn finish(mut self, budget: &mut Budget) -> Option<Moved> {
        if self.bytes == 0 && (self.end != Some(0) || self.absent.is_some()) {
            return None;
        }
        if !self.early.is_empty() {
            let why = if self.next == 0 { Absent::NotFromStart } else { Absent::Gap };
            self.give_up(why, budget);
        }
        if self.end.is_none_or(|end| end > self.next) && self.size != Some(self.next) {
            self.give_up(Absent::EndUnseen, budget);
        }
        let digest = match self.absent {
            None => Digest::Sha256(hex::encode(self.hash.finalize())),
            Some(why) => Digest::Absent(why),
        };
        Some(Moved { bytes: self.bytes, from: self.from.min(self.to), to: self.to, digest })
    }

    /// Keeps what came too early. It makes no difference in how many pieces it came.
    fn keep(&mut self, offset: u64, bytes: &[u8], budget: &mut Budget) {
        let (begin, end) = self.last;
        let end_of_this = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let begin = if end == offset && self.early.contains_key(&begin) { begin } else { offset };
        if begin == offset && self.early.contains_key(&offset) {
            return self.give_up(Absent::Overlap, budget);
        }
        if !budget.take(bytes.len(), begin == offset) {
            let nothing = self.next == 0;
            return self.give_up(if nothing { Absent::NotFromStart } else { Absent::OutOfOrder }, budget);
        }
        self.early.entry(begin).or_default().extend_from_slice(bytes);
        self.last = (begin, end_of_this);
    }

    fn catch_up(&mut self, budget: &mut Budget) {
        while let Some(first) = self.early.first_entry() {
            if *first.key() > self.next {
                return;
            }
            if *first.key() < self.next {
                return self.give_up(Absent::Overlap, budget);
            }
            let bytes = first.remove();
            budget.give(bytes.len());
            self.hash.update(&bytes);
            self.next = self.next.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest::Sha256(hex::encode(Sha256::digest(bytes)))
    }

    fn moved(pieces: &[(u64, &[u8])], end: Option<u64>, limit: usize) -> Option<Moved> {
        let (mut mover, mut budget) = (Mover::new(None), Budget::new(limit));
        for (offset, bytes) in pieces {
            mover.push(*offset, bytes, &mut budget);
            assert!(budget.used <= limit);
        }
        if let Some(end) = end {
            mover.ends(end);
        }
        let moved = mover.finish(&mut budget);
        assert_eq!(budget.used, 0);
        moved
    }

    #[test]
    fn a_digest_is_of_a_whole_file_or_there_is_none() {
        let why = |pieces: &[(u64, &[u8])], end, limit| moved(pieces, end, limit).unwrap().digest;
        assert_eq!(why(&[(0, b"ab"), (2, b"c")], Some(3), 1000), digest(b"abc"));
        assert_eq!(why(&[(2, b"c"), (0, b"ab")], Some(3), 1000), digest(b"abc"));
        assert_eq!(why(&[], Some(0), 1000), digest(b""));
        assert_eq!(moved(&[], None, 1000), None);
        for (pieces, end, limit, absent) in [
            (&[(0, &b"ab"[..])][..], None, 1000, Absent::EndUnseen),
            (&[(0, b"ab")], Some(3), 1000, Absent::EndUnseen),
            (&[(5, b"ab")], Some(7), 1000, Absent::NotFromStart),
            (&[(5, b"ab")], Some(7), 10, Absent::NotFromStart),
            (&[(0, b"a"), (5, b"ab")], Some(7), 1000, Absent::Gap),
            (&[(0, b"a"), (5, b"ab")], Some(7), 10, Absent::OutOfOrder),
            (&[(0, b"abc"), (1, b"b")], Some(3), 1000, Absent::Overlap),
            (&[(2, b"c"), (0, b"abcd")], Some(4), 1000, Absent::Overlap),
            (&[(2, b"c"), (2, b"c"), (0, b"ab")], Some(3), 1000, Absent::Overlap),
        ] {
            assert_eq!(why(pieces, end, limit), Digest::Absent(absent), "{pieces:?}");
        }
    }

    #[test]
    fn offsets_are_covered_whatever_the_order() {
        let Moved { bytes, from, to, .. } = moved(&[(9, b"xy"), (4, b"ab"), (9, b"z")], None, 0).unwrap();
        assert_eq!((bytes, from, to), (5, 4, 11));
        assert_eq!(moved(&[(u64::MAX - 1, b"abc")], None, 0).unwrap().to, u64::MAX);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(
            parts in prop::collection::vec((0u64..30, prop::collection::vec(any::<u8>(), 1..12)), 0..12),
            limit in 0usize..400,
            end in prop::option::of(0u64..40),
        ) {
            let whole: Vec<(u64, &[u8])> = parts.iter().map(|(at, bytes)| (*at, bytes.as_slice())).collect();
            let single: Vec<(u64, &[u8])> =
                parts.iter().flat_map(|(at, bytes)| (*at..).zip(bytes.chunks(1))).collect();
            prop_assert_eq!(moved(&whole, end, limit), moved(&single, end, limit));
        }

        #[test]
        fn any_order_gives_the_same_digest(
            content in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec(1usize..20, 1..40),
            order in any::<u64>(),
        ) {
            let mut pieces = Vec::new();
            let (mut rest, mut at) = (content.as_slice(), 0);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push((at, piece));
                at += piece.len() as u64;
                rest = after;
                if rest.is_empty() { break }
            }
            let mut seed = order;
            for i in (1..pieces.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pieces.swap(i, (seed >> 33) as usize % (i + 1));
            }
            let result = moved(&pieces, Some(at), 1 << 20).unwrap();
            prop_assert_eq!(result.digest, digest(&content));
        }
    }
}
