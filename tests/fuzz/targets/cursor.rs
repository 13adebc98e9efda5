//! Places in lists, as they come over the wire.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ca::fuzzing::place;

fuzz_target!(|text: &str| {
    if let Some((cursor, shown)) = place(text) {
        assert_eq!(place(&shown), Some((cursor, shown.clone())));
        assert_eq!(shown.split_once('.').unwrap().1, text.split_once('.').unwrap().1);
    }
});
