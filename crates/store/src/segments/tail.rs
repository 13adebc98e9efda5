//! Telling a torn tail from damage.
//!
//! A crash leaves the last group of appends in one of these forms: the file ends early, or some 512-byte sectors of
//! the group never reached the disk and read as zeros, or what is there makes no sense at all. Nothing of such a group
//! was acknowledged, so it is cut. Everything else is a stored byte that is not what was written: an acknowledged
//! record may be lost, and that is never cut in silence.

use ledger::decode;
use model::Seq;

use super::frame::{self, HEADER, Parsed};

const SECTOR: u64 = 512;

/// What the end of the last segment is, from the first place that is no good record on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// A group that was never finished.
    Torn,
    /// Damage to something that was stored.
    Corrupt(&'static str),
}

/// Judges `rest`, the bytes from file offset `offset` to the end of the last segment, where record `seq` should
/// begin and does not.
pub(crate) fn judge(rest: &[u8], offset: u64, seq: Seq) -> Tail {
    let broken = match frame::parse(rest) {
        // Good in itself but in the wrong place: no crash does that.
        Parsed::Whole(..) => return Tail::Corrupt("a record with the wrong number or chain hash"),
        Parsed::Short => None,
        Parsed::Bad(what) => Some(what),
    };
    // A later group is written only when the earlier one is on the disk; so this one was, and was acknowledged.
    let mut frames = std::iter::successors(frame::find(rest, 1), |(at, _)| frame::find(rest, at + 1)).peekable();
    let next = frames.peek().map(|(at, _)| *at);
    if frames.any(|(_, header)| header.group() > seq) {
        return Tail::Corrupt("damaged, and good records of a later group follow");
    }
    let damage = rest.get(..next.unwrap_or(rest.len())).unwrap_or_default();
    if has_lost_sector(rest, damage.len(), offset) {
        return Tail::Torn;
    }
    if next.is_some() {
        return Tail::Corrupt("damaged, and good records follow");
    }
    // The last record: torn writes end early or leave zeros, so a record of full length with a wrong byte is damage.
    let readable = |record: &[u8]| decode(record).is_ok_and(|record| record.seq == seq);
    if rest.get(HEADER..).is_some_and(readable) {
        return Tail::Corrupt("the header of the last record is damaged");
    }
    match (broken, frame::parse_header(rest)) {
        (Some(_), Some((header, _))) if header.seq == seq => Tail::Corrupt("the checksum does not match"),
        _ => Tail::Torn,
    }
}

/// Whether the damaged part overlaps a sector that holds nothing but zeros. What was stored never has one: records
/// are text.
fn has_lost_sector(rest: &[u8], damaged: usize, offset: u64) -> bool {
    let mut start = 0;
    while start < damaged {
        // The first piece ends where the next sector of the file begins.
        let piece = SECTOR - (offset + start as u64) % SECTOR;
        let end = start.saturating_add(usize::try_from(piece).unwrap_or(rest.len())).min(rest.len());
        if rest.get(start..end).is_some_and(|sector| sector.iter().all(|byte| *byte == 0)) {
            return true;
        }
        start = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use ledger::{Digest, encode};
    use model::{Actor, Correlation, Entry, Fact, Record, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::segments::frame::FrameHeader;

    /// Groups of records as the writer writes them; says where each frame begins.
    fn segment(groups: &[u32], first: u64) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts, mut seq) = (Vec::new(), Vec::new(), first);
        for count in groups {
            for before in 0..*count {
                let entry = Entry {
                    time: Timestamp::from_seconds(seq),
                    actor: Actor::System,
                    correlation: Correlation::system(),
                    fact: Fact::SystemStarted { version: "x".repeat(usize::try_from(seq * 37 % 900).unwrap()) },
                };
                let record = encode(&Record { seq: Seq(seq), entry }).unwrap();
                let header = FrameHeader {
                    length: record.len(),
                    seq: Seq(seq),
                    follow: 0,
                    before,
                    chain: Digest::of(&seq.to_be_bytes()),
                };
                starts.push(bytes.len());
                frame::write(&mut bytes, &header, &record);
                seq += 1;
            }
        }
        (bytes, starts)
    }

    /// The frame that holds `place`, judged as the reader finds it.
    fn judge_at(bytes: &[u8], starts: &[usize], place: usize, offset: u64, first: u64) -> Tail {
        let number = starts.iter().rposition(|start| *start <= place).unwrap();
        let start = starts[number];
        judge(&bytes[start..], offset + start as u64, Seq(first + number as u64))
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_never_taken_for_a_torn_tail(
            groups in proptest::collection::vec(1u32..5, 1..5), offset in 4096u64..6000, place: usize, bit in 0u8..8, first in 0u64..100,
        ) {
            let (mut bytes, starts) = segment(&groups, first);
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            let judged = judge_at(&bytes, &starts, place, offset, first);
            prop_assert!(matches!(judged, Tail::Corrupt(_)), "{:?}", judged);
        }

        #[test]
        fn lost_sectors_of_the_last_group_are_a_torn_tail(
            before in proptest::collection::vec(1u32..4, 0..3), last in 1u32..8, offset in 4096u64..6000, lost: u64, first in 0u64..100,
        ) {
            let mut groups = before.clone();
            groups.push(last);
            let (mut bytes, starts) = segment(&groups, first);
            let group = starts[usize::try_from(before.iter().sum::<u32>()).unwrap()];
            let whole = bytes.clone();
            for (place, byte) in bytes.iter_mut().enumerate().skip(group) {
                if lost >> ((offset + place as u64) / 512 % 64) & 1 == 1 {
                    *byte = 0;
                }
            }
            if let Some(place) = (0..bytes.len()).find(|place| bytes[*place] != whole[*place]) {
                prop_assert_eq!(judge_at(&bytes, &starts, place, offset, first), Tail::Torn);
            }
        }

        #[test]
        fn a_cut_file_is_a_torn_tail(groups in proptest::collection::vec(1u32..5, 1..5), cut: usize, garbage in proptest::collection::vec(any::<u8>(), 0..40)) {
            let (bytes, starts) = segment(&groups, 0);
            let cut = cut % bytes.len();
            if !starts.contains(&cut) {
                prop_assert_eq!(judge_at(&bytes[..cut], &starts, cut, 4096, 0), Tail::Torn);
            }
            // Behind the last whole record, nothing that makes sense.
            if !garbage.is_empty() {
                let mut longer = bytes.clone();
                longer.extend(&garbage);
                let next = Seq(starts.len() as u64);
                prop_assert_eq!(judge(&longer[bytes.len()..], 4096 + bytes.len() as u64, next), Tail::Torn);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), offset in 0u64..5000) {
            let _ = judge(&bytes, offset, Seq(0));
        }
    }

    #[test]
    fn damage_before_a_later_group_is_corruption_even_when_it_is_zeros() {
        let (mut bytes, starts) = segment(&[2, 1], 0);
        for byte in &mut bytes[..starts[1]] {
            *byte = 0;
        }
        assert!(matches!(judge(&bytes, 4096, Seq(0)), Tail::Corrupt(_)));
    }

    #[test]
    fn zeros_to_the_end_are_a_torn_tail() {
        assert_eq!(judge(&[0; 10_000], 4096, Seq(0)), Tail::Torn);
    }
}
