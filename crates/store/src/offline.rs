//! Checking, proving and exporting a whole ledger from its segment files, read-only and without the lock: also
//! beside the process that writes it, or on a copy.

use std::io::Write;
use std::path::Path;

use ledger::{Digest, FlawKind, InclusionProof, Verified, Verifier, export_line, inclusion, leaf_hash};
use model::Seq;

use crate::StoreError;
use crate::disk::{Disk, RealDisk};
use crate::embedded::SEGMENTS;
use crate::segments::header::{FIRST_FRAME, file_name};
use crate::segments::log::Segment;
use crate::segments::open::{self, Cut};
use crate::segments::reader::{FrameReader, Step};

/// Progress is told once in so many bytes.
const TELL_EVERY: u64 = 1 << 20;

/// What a ledger is, when nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its size, chain hash and root.
    pub verified: Verified,
    /// How many segment files it has.
    pub segments: usize,
    /// A write at its end that is not finished: it goes on now, or the next start cuts it off.
    pub torn: Option<Cut>,
}

/// One record with the proof that it is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Its canonical encoding; [`ledger::leaf_hash`] of it is what is proved.
    pub record: Vec<u8>,
    /// The proof, for the ledger's whole size.
    pub proof: InclusionProof,
    /// The ledger that was checked on the way.
    pub checked: Checked,
}

/// Checks the ledger in the data directory `dir` from its first byte to its last. `verifier` may expect checkpoints.
/// `progress` hears how many bytes of how many are done.
///
/// # Errors
/// The first bad record: [`StoreError::Corrupt`] with its file and offset, or [`StoreError::Flaw`] for a checkpoint
/// that does not fit.
pub fn verify(dir: &Path, verifier: Verifier, progress: &mut dyn FnMut(u64, u64)) -> Result<Checked, StoreError> {
    walk(dir, verifier, &mut |_, _, _| Ok(()), progress)
}

/// Checks the ledger, and proves that record `seq` is in it.
///
/// # Errors
/// As [`verify`], or [`StoreError::Range`] when there is no such record.
pub fn prove(
    dir: &Path,
    seq: Seq,
    verifier: Verifier,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Proved, StoreError> {
    let (mut leaves, mut record) = (Vec::new(), Vec::new());
    let mut each = |number: Seq, _: &Digest, bytes: &[u8]| {
        leaves.push(leaf_hash(bytes));
        if number == seq {
            bytes.clone_into(&mut record);
        }
        Ok(())
    };
    let checked = walk(dir, verifier, &mut each, progress)?;
    let size = checked.verified.size;
    let proof = inclusion(&mut leaves[..], seq.0, size)?;
    let proof = proof.ok_or(StoreError::Range { asked: seq.0, size })?;
    Ok(Proved { record, proof, checked })
}

/// Checks the ledger, and writes its records from `from` on to `out` as JSON lines ([`ledger::export_line`]). What
/// was written before an error is good.
///
/// # Errors
/// As [`verify`], or what `out` says.
pub fn export(
    dir: &Path,
    from: Seq,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked, StoreError> {
    let mut each = |seq: Seq, chain: &Digest, bytes: &[u8]| {
        if seq < from { Ok(()) } else { out.write_all(&export_line(bytes, chain)) }
    };
    let checked = walk(dir, Verifier::new(), &mut each, progress)?;
    out.flush().map_err(|source| StoreError::io("write the export of", dir, source))?;
    Ok(checked)
}

type Each<'a> = dyn FnMut(Seq, &Digest, &[u8]) -> std::io::Result<()> + 'a;

fn walk(
    dir: &Path,
    mut verifier: Verifier,
    each: &mut Each<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked, StoreError> {
    let disk = RealDisk::new(dir.join(SEGMENTS));
    let firsts = open::list(&disk)?;
    let mut lengths = Vec::with_capacity(firsts.len());
    for first in &firsts {
        let path = disk.path_of(&file_name(*first));
        let length = disk.open(&file_name(*first)).and_then(|file| file.length());
        lengths.push(length.map_err(|source| StoreError::io("open", &path, source))?);
    }
    let total = lengths.iter().sum();
    let (mut done, mut torn) = (0, None);
    for (place, (first, length)) in firsts.iter().zip(&lengths).enumerate() {
        let is_last = place + 1 == firsts.len();
        let path = disk.path_of(&file_name(*first));
        if is_last && *length <= FIRST_FRAME && !open::has_header(&disk, *first)? {
            // Its first write was not finished, so it holds nothing.
            torn = Some(Cut { file: path, offset: 0, bytes: *length, seq: *first });
            break;
        }
        let mut end = *length;
        if is_last {
            end = look(&disk, *first)?;
            let cut = Cut { file: path, offset: end, bytes: length.saturating_sub(end), seq: *first };
            torn = (cut.bytes > 0).then_some(cut);
        }
        let mut tell = |offset: u64| progress(done + offset, total);
        walk_segment(&disk, *first, end, &mut verifier, each, &mut tell)?;
        done += length;
    }
    let next = verifier.next();
    torn = torn.map(|cut| Cut { seq: next, ..cut });
    progress(total, total);
    Ok(Checked { verified: verifier.finish()?, segments: firsts.len(), torn })
}

/// Where the last whole append of the last segment ends. Damage is left to the verifier, which names the record.
fn look(disk: &RealDisk, first: Seq) -> Result<u64, StoreError> {
    let path = disk.path_of(&file_name(first));
    let io = |source| StoreError::io("read", &path, source);
    let file = disk.open(&file_name(first)).map_err(io)?;
    match open::scan(disk, &*file, &Segment::new(first, FIRST_FRAME), &mut |_, _| {}) {
        Ok(scanned) => Ok(scanned.length),
        Err(StoreError::Corrupt { .. }) => file.length().map_err(io),
        Err(error) => Err(error),
    }
}

fn walk_segment(
    disk: &RealDisk,
    first: Seq,
    end: u64,
    verifier: &mut Verifier,
    each: &mut Each<'_>,
    tell: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let name = file_name(first);
    let path = disk.path_of(&name);
    let io = |source| StoreError::io("read", &path, source);
    let corrupt = |offset, seq, what: String| StoreError::Corrupt { file: path.clone(), offset, seq, what };
    let file = disk.open(&name).map_err(io)?;
    if first != verifier.next() {
        let what = format!("the records from {} to {first} are in no segment, or in two", verifier.next());
        return Err(corrupt(0, verifier.next(), what));
    }
    let header = open::header(disk, &*file, first)?;
    if header.chain != verifier.chain() || header.tree != *verifier.tree() {
        return Err(corrupt(0, first, "the segment header does not follow from the records before it".to_owned()));
    }
    let mut reader = FrameReader::new(&*file, FIRST_FRAME, end);
    let mut told = 0;
    loop {
        match reader.next().map_err(io)? {
            Step::Frame(offset, header, bytes) => {
                let seq = verifier.next();
                verifier.check(bytes, &header.chain).map_err(|flaw| match flaw.what {
                    FlawKind::Checkpoint { .. } | FlawKind::Missing { .. } => StoreError::Flaw(flaw),
                    FlawKind::Encoding(_) | FlawKind::Number { .. } | FlawKind::Chain { .. } => {
                        corrupt(offset, flaw.seq, flaw.what.to_string())
                    }
                })?;
                if header.seq != seq {
                    return Err(corrupt(offset, seq, format!("its frame carries the number {}", header.seq)));
                }
                each(seq, &header.chain, bytes).map_err(|source| StoreError::io("write a copy of", &path, source))?;
                if offset - told > TELL_EVERY {
                    told = offset;
                    tell(offset);
                }
            }
            Step::End => return Ok(()),
            Step::Bad(offset, what) => return Err(corrupt(offset, verifier.next(), what.to_owned())),
        }
    }
}
