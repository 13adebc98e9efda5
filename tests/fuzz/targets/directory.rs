//! The directory of identities, groups and targets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::Directory;

fuzz_target!(|text: &str| {
    if let Err(error) = Directory::parse(text, "directory.toml") {
        assert!(!error.to_string().is_empty());
    }
});
