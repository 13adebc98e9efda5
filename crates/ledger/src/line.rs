//! The export: one line per record, with the chain hash that is stored with it.
//!
//! A line is `{"chain":"<hex>","record":<the record>}`, canonical as a whole, and the record in it is byte for byte
//! what was hashed.

use std::io::BufRead;

use model::Record;

use crate::{Digest, Flaw, Verified, Verifier};

const BEFORE: &str = "{\"chain\":\"";
const BETWEEN: &str = "\",\"record\":";
const AFTER: &str = "}";
/// The most bytes of one line; a stored record has at most 1 MiB.
const LIMIT: u64 = 2 << 20;

/// An export that cannot be read, or is not right.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not a line of an export.
    #[error(
        "line {line} is not a line of a ledger export: {{\"chain\":\"<64 digits>\",\"record\":{{…}}}} without spaces is expected"
    )]
    Form {
        /// Counted from 1.
        line: u64,
    },
    /// A bad record.
    #[error("line {line}")]
    Flaw {
        /// Counted from 1.
        line: u64,
        /// Which record, and why.
        #[source]
        flaw: Flaw,
    },
    /// The input broke off.
    #[error("line {line} cannot be read")]
    Io {
        /// Counted from 1.
        line: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One line of the export, with its newline, from a record's encoding and its chain hash.
#[must_use]
pub fn export_line(record: &[u8], chain: &Digest) -> Vec<u8> {
    let chain = chain.to_string();
    let mut line = Vec::with_capacity(BEFORE.len() + chain.len() + BETWEEN.len() + record.len() + 2);
    for part in [BEFORE.as_bytes(), chain.as_bytes(), BETWEEN.as_bytes(), record, AFTER.as_bytes(), b"\n"] {
        line.extend_from_slice(part);
    }
    line
}

/// Takes a line of the export apart: the record's encoding and its chain hash. Nothing is verified yet.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<(&[u8], Digest)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (chain, rest) = line.strip_prefix(BEFORE.as_bytes())?.split_at_checked(64)?;
    let record = rest.strip_prefix(BETWEEN.as_bytes())?.strip_suffix(AFTER.as_bytes())?;
    Some((record, std::str::from_utf8(chain).ok()?.parse().ok()?))
}

/// Checks a whole export with `verifier` (which may expect checkpoints), and shows each good record to `each`,
/// which may keep leaf hashes for a proof, or show how far it is.
///
/// # Errors
/// The first line that is not right.
pub fn verify_lines(
    input: &mut dyn BufRead,
    mut verifier: Verifier,
    each: &mut dyn FnMut(&Record, &[u8]),
) -> Result<Verified, LineError> {
    let mut buffer = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        buffer.clear();
        let read = std::io::Read::take(&mut *input, LIMIT).read_until(b'\n', &mut buffer);
        if read.map_err(|source| LineError::Io { line, source })? == 0 {
            return verifier.finish().map_err(|flaw| LineError::Flaw { line, flaw });
        }
        let (bytes, chain) = parse_line(&buffer).ok_or(LineError::Form { line })?;
        let record = verifier.check(bytes, &chain).map_err(|flaw| LineError::Flaw { line, flaw })?;
        each(&record, bytes);
    }
}
