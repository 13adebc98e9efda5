//! A record of the ledger: whatever reads is canonical, so writing it again gives the same bytes; a line of an export too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ledger::{decode, encode, export_line, parse_line};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = decode(bytes) {
        assert_eq!(encode(&record).unwrap(), bytes);
    }
    if let Some((record, chain)) = parse_line(bytes) {
        let line = export_line(record, &chain);
        assert_eq!(line.strip_suffix(b"\n").unwrap(), bytes.strip_suffix(b"\n").unwrap_or(bytes));
    }
});
