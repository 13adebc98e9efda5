//! The feed of facts: it says the same however it is cut, and what it says reads back. Each byte `0xff`, which is in no
//! text, is a place to cut at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_api::Heard;
use portcullis_api::fuzzing::feed;

fuzz_target!(|input: &[u8]| {
    let pieces: Vec<&[u8]> = input.split(|&byte| byte == 0xff).collect();
    let bytes = pieces.concat();
    let said = feed([bytes.as_slice()]);
    assert_eq!(feed(pieces), said);
    assert_eq!(feed(bytes.chunks(1)), said);
    for heard in said.0 {
        if let Heard::Fact(record) = heard {
            let again =
                format!(": alive\n\nid: {}\ndata: {}\n\n", record.seq.0, serde_json::to_string(&record).unwrap());
            assert_eq!(feed([again.as_bytes()]), (vec![Heard::Alive, Heard::Fact(record)], None));
        }
    }
});
