//! Command lines at the desk: words read back when they are quoted, and then mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_proxy::fuzzing::{command, words};

fuzz_target!(|line: &str| {
    let split = words(line);
    assert!(split.iter().map(String::len).sum::<usize>() <= line.len());
    let quoted: Vec<String> = split.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    let quoted = quoted.join(" ");
    assert_eq!(words(&quoted), split);
    let read = command(line);
    assert_eq!(command(&quoted), read);
    match read {
        // Nothing is done that is not in the line.
        Ok(what) if what.starts_with("Approve") => assert_eq!(split[0], "approve"),
        Ok(_) => {}
        // Some of it is escaped here, the rest where it is shown.
        Err(why) => assert!(!why.is_empty() && why.len() <= 8 * line.len() + 256, "{} bytes", why.len()),
    }
});
