//! The reader of recordings: any bytes end or fail, and the same is read of them however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_recordings::{Item, Parser, Text};

fn read(bytes: &[u8], size: usize) -> (Vec<Item>, Option<String>) {
    let (mut parser, mut items) = (Parser::default(), Vec::new());
    for piece in bytes.chunks(size) {
        parser.push(piece);
        loop {
            match parser.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error.to_string())),
            }
        }
    }
    (items, parser.finish().err().map(|error| error.to_string()))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, usize::MAX);
    assert_eq!(read(bytes, 7), whole);
    let mut text = None;
    for item in &whole.0 {
        let lines = match (item, &mut text) {
            (Item::Header(header), text) => {
                *text = Some(Text::new(header));
                continue;
            }
            (Item::Event(event), Some(text)) => text.event(event),
            (Item::Event(_), None) => panic!("an event before the header"),
        };
        assert!(!lines.iter().any(|line| line.chars().any(|c| c.is_control() && c != '\t')), "{lines:?}");
    }
});
