//! Keys in the middle of a session: the same comes of them however they are cut, and nothing is lost. The first line of
//! the input is the escape key; each byte `0x00` behind it is a place to cut at, and not typed.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use portcullis_proxy::EscapeKey;
use portcullis_proxy::fuzzing::{Typed, keys, lines};

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    let (name, rest) = input.split_at(at);
    let key = std::str::from_utf8(name).ok().and_then(|name| {
        let key = name.parse::<EscapeKey>().ok()?;
        assert_eq!(key.to_string(), name);
        key.byte()
    });
    let key = key.unwrap_or(0x1d);
    let pieces: Vec<&[u8]> = rest.get(1..).unwrap_or_default().split(|&byte| byte == 0).collect();
    let bytes = pieces.concat();
    let whole = keys(key, [bytes.as_slice()], false);
    assert_eq!(keys(key, pieces.iter().copied(), false), whole);
    assert_eq!(keys(key, bytes.chunks(1), false), whole);
    kept(key, &bytes, &whole);
    kept(key, &bytes, &keys(key, pieces.iter().copied(), true));
    question(&bytes);
});

/// What came is what goes on and what was wished for, in order; of a doubled key one goes on.
fn kept(key: u8, bytes: &[u8], typed: &Typed) {
    // How many of the bytes may be used up: only what follows tells whether a key was doubled.
    let mut used = BTreeSet::from([0]);
    let mut wishes = typed.wishes.iter().peekable();
    for at in 0..=typed.on.len() {
        while let Some((_, letter)) = wishes.next_if(|(before, _)| *before == at) {
            used.retain(|at| bytes[*at..].starts_with(&[key, *letter]));
            used = used.into_iter().map(|at| at + 2).collect();
        }
        let Some(on) = typed.on.get(at) else { break };
        let doubled = used.iter().filter(|at| *on == key && bytes[**at..].starts_with(&[key, key])).map(|at| at + 2);
        let single = used.iter().filter(|at| bytes.get(**at) == Some(on)).map(|at| at + 1);
        used = doubled.chain(single).collect();
    }
    assert!(wishes.next().is_none() && used.contains(&bytes.len()), "something is lost");
}

/// The same typed into a question.
fn question(bytes: &[u8]) {
    let (lines, echo) = lines(bytes);
    for line in lines.into_iter().flatten() {
        assert!(line.len() <= 1024 && !line.chars().any(char::is_control), "{line:?}");
    }
    assert!(echo.chars().all(|c| !c.is_control() || matches!(c, '\u{8}' | '\r' | '\n')), "{echo:?}");
}
