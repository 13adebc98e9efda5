//! The reader of recordings: any bytes, in two pieces, end or fail.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_recordings::Parser;

fuzz_target!(|bytes: &[u8]| {
    let mut parser = Parser::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for piece in [first, second] {
        parser.push(piece);
        while let Ok(Some(_)) = parser.next_item() {}
    }
    let _ = parser.finish();
});
