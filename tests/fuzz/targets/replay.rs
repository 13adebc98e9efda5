//! What a target wrote, on its way to an analyst's terminal: the filter lets nothing through that asks the terminal for
//! an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_recordings::{Decoder, Filter};

fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut filter) = (Decoder::default(), Filter::default());
    let (mut text, mut shown) = (String::new(), String::new());
    decoder.push(bytes, &mut text);
    decoder.finish(&mut text);
    assert_eq!(text, String::from_utf8_lossy(bytes));
    filter.push(&text, &mut shown);
    assert!(!shown.contains("\u{1b}]52") && !shown.contains("\u{1b}[c") && !shown.contains("\u{1b}[6n"));
});
