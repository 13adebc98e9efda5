//! What a target wrote, on its way to an analyst's terminal: whatever is shown is harmless, and the same however it was cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_recordings::{Decoder, Filter, Scanner, Token, plain};

fn shown(bytes: &[u8], size: usize) -> String {
    let (mut decoder, mut filter) = (Decoder::default(), Filter::default());
    let (mut all, mut shown) = (String::new(), String::new());
    for piece in bytes.chunks(size) {
        let mut text = String::new();
        decoder.push(piece, &mut text);
        filter.push(&text, &mut shown);
        all.push_str(&text);
    }
    let mut text = String::new();
    decoder.finish(&mut text);
    filter.push(&text, &mut shown);
    all.push_str(&text);
    assert_eq!(all, String::from_utf8_lossy(bytes));
    shown
}

fuzz_target!(|bytes: &[u8]| {
    let whole = shown(bytes, usize::MAX);
    assert_eq!(shown(bytes, 1), whole);
    // What is left asks the terminal for nothing, and changes nothing but what is drawn.
    let mut scanner = Scanner::default();
    for c in whole.chars() {
        match scanner.feed(c) {
            Some(Token::Print(c)) => assert!(!c.is_control(), "{c:?}"),
            Some(Token::Control(c)) => assert!(('\x07'..='\x0f').contains(&c), "{c:?}"),
            Some(Token::Csi { end, .. }) => assert!(!"cntxyz{|}~".contains(end), "{end:?} asks"),
            Some(Token::Escape { intermediate, end }) => assert!((intermediate, end) != ("", 'Z'), "it asks"),
            Some(Token::String) => panic!("a string is left"),
            None => {}
        }
    }
    let (mut filter, mut again) = (Filter::default(), String::new());
    filter.push(&whole, &mut again);
    assert_eq!(again, whole, "what is harmless stays as it is");
    let line = plain(&whole);
    assert!(!line.chars().any(|c| c.is_control() && c != '\t'));
});
