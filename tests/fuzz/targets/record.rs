//! A record of the ledger: whatever reads is canonical, so writing it again gives the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ledger::{decode, encode, parse_line};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = decode(bytes) {
        assert_eq!(encode(&record).unwrap(), bytes);
    }
    let _ = parse_line(bytes);
});
