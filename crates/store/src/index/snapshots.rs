//! Snapshots: bytes under a name and a record number, in pieces that sled likes, with a digest over the whole.

use ledger::Digest;
use model::Seq;

use super::db::Inner;

/// How much of a snapshot goes under one key.
const PIECE: usize = 128 << 10;
/// How many snapshots of one name are kept.
const KEPT: usize = 2;
/// Piece number of the description, before all pieces.
const DESCRIPTION: u32 = 0;

/// Saves one, and removes what is older than the one before it.
pub(super) fn save(db: &Inner, name: &str, seq: Seq, chain: &Digest, bytes: &[u8]) -> sled::Result<()> {
    remove(db, name, seq)?;
    for (number, piece) in (1..).zip(bytes.chunks(PIECE)) {
        db.snapshots.insert(key(name, seq, number), piece)?;
    }
    // The description comes last: without it the pieces are nothing.
    let mut description = chain.as_bytes().to_vec();
    description.extend_from_slice(Digest::of(bytes).as_bytes());
    description.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    db.snapshots.insert(key(name, seq, DESCRIPTION), description)?;
    for old in numbers(db, name)?.into_iter().rev().skip(KEPT) {
        remove(db, name, old)?;
    }
    Ok(())
}

/// The chain hash of one and its bytes; `None` when it is damaged.
pub(super) fn load(db: &Inner, name: &str, seq: Seq) -> sled::Result<Option<(Digest, Vec<u8>)>> {
    let Some(description) = db.snapshots.get(key(name, seq, DESCRIPTION))? else { return Ok(None) };
    let mut bytes = Vec::new();
    for piece in db.snapshots.range(key(name, seq, DESCRIPTION + 1)..=key(name, seq, u32::MAX)) {
        bytes.extend_from_slice(&piece?.1);
    }
    let parts = description.split_first_chunk::<32>().and_then(|(chain, rest)| {
        let (digest, length) = rest.split_first_chunk::<32>()?;
        Some((Digest(*chain), Digest(*digest), u64::from_le_bytes(length.try_into().ok()?)))
    });
    Ok(parts
        .filter(|(_, digest, length)| *length == bytes.len() as u64 && *digest == Digest::of(&bytes))
        .map(|(chain, ..)| (chain, bytes)))
}

/// The numbers of all snapshots of a name, whole or not, in order.
pub(super) fn numbers(db: &Inner, name: &str) -> sled::Result<Vec<Seq>> {
    let prefix = prefix(name);
    let mut numbers = Vec::new();
    for item in db.snapshots.scan_prefix(&prefix).keys() {
        let key = item?;
        let number = key.get(prefix.len()..).and_then(|rest| rest.first_chunk::<8>());
        if let Some(seq) = number.map(|number| Seq(u64::from_be_bytes(*number)))
            && numbers.last() != Some(&seq)
        {
            numbers.push(seq);
        }
    }
    Ok(numbers)
}

fn remove(db: &Inner, name: &str, seq: Seq) -> sled::Result<()> {
    for key in db.snapshots.range(key(name, seq, 0)..=key(name, seq, u32::MAX)).keys() {
        db.snapshots.remove(key?)?;
    }
    Ok(())
}

/// No name is the beginning of another's keys.
fn prefix(name: &str) -> Vec<u8> {
    Digest::of(name.as_bytes()).0.to_vec()
}

fn key(name: &str, seq: Seq, piece: u32) -> Vec<u8> {
    let mut key = prefix(name);
    key.extend_from_slice(&seq.0.to_be_bytes());
    key.extend_from_slice(&piece.to_be_bytes());
    key
}
