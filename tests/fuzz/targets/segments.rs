//! What a store reads from its own files after a crash: frames, pages and cursors, with checksums that are right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_store::fuzzing::{Begins, begins, cursor, find, page, sealed};

fuzz_target!(|bytes: &[u8]| {
    if let Some((again, same)) = page(bytes) {
        assert!(same && again.len() == 4096);
    }
    if let Some((sealed, again)) = cursor(bytes) {
        assert_eq!(sealed, again, "one cursor, one form");
    }
    let _ = begins(bytes);
    let bytes = sealed(bytes);
    let mut from = 0;
    while let Some(at) = find(&bytes, from) {
        assert!(at >= from);
        let Begins::Frame(frame) = begins(&bytes[at..]) else { panic!("what is found is a frame") };
        assert!(bytes[at..].starts_with(&frame));
        for cut in [0, 3, 59, frame.len() - 1] {
            assert_eq!(begins(&frame[..cut.min(frame.len() - 1)]), Begins::Short);
        }
        let mut flipped = frame.clone();
        flipped[at % frame.len()] ^= 1;
        assert!(!matches!(begins(&flipped), Begins::Frame(_)), "damage is noticed");
        from = at + 1;
    }
});
