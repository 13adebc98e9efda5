//! What is typed to enrol a server and what ssh says of it: nothing typed becomes an option or a command, and nothing but
//! ssh's own verdict makes a certificate good. The input is what is typed, and behind it what ssh says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_cli::fuzzing::{goes, place, quoted, shows, way};

fuzz_target!(|input: &str| {
    let (typed, said) = input.split_once('\n').unwrap_or((input, input));
    if let Some((arguments, by_hand)) = way(typed) {
        let end = arguments.iter().position(|argument| argument == "--").expect("an end of options");
        assert_eq!(arguments.len(), end + 2, "one place behind it");
        assert!(!arguments[end + 1].starts_with('-') && !arguments[end + 1].is_empty());
        match &arguments[..end] {
            [] => {}
            [option, port] => assert!(option == "-p" && port.parse::<u16>().is_ok_and(|port| port > 0)),
            _ => panic!("{arguments:?}"),
        }
        assert!(!by_hand.chars().any(|c| c.is_control()));
    }
    if let Some(shown) = place(typed) {
        assert_eq!(place(&shown).as_ref(), Some(&shown));
        assert!(typed.len() == shown.len() && typed.replacen('+', "@", 1).ends_with(shown.split_once('@').unwrap().1));
    }
    for word in quoted(typed) {
        assert_eq!(unquoted(&word).as_deref(), Some(typed), "{word}");
    }
    if let Some((host, _)) = goes(said) {
        assert!(said.contains(&format!("hostname {host}")));
    }
    match shows(said, "web1".parse().unwrap(), 7) {
        Ok(()) => {
            assert!(said.contains("debug1: Host 'web1' is known and matches the ") && said.contains(" serial 7 "))
        }
        Err(why) => assert!(why.chars().count() < 400 && !why.chars().any(char::is_control), "{why:?}"),
    }
});

/// What a shell makes of a word that is plain, or in single quotes with `\'` between them. `None`: it reads more into it.
fn unquoted(word: &str) -> Option<String> {
    if word.starts_with('~') {
        return None;
    }
    let (mut text, mut characters) = (String::new(), word.chars());
    while let Some(c) = characters.next() {
        match c {
            '\'' => loop {
                match characters.next()? {
                    '\'' => break,
                    c => text.push(c),
                }
            },
            '\\' => text.push(characters.next()?),
            c if c.is_ascii_alphanumeric() || "-_./@%+=:,~".contains(c) => text.push(c),
            _ => return None,
        }
    }
    Some(text)
}
