//! A key id has one form only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_model::KeyId;

fuzz_target!(|text: &str| {
    if let Ok(key_id) = text.parse::<KeyId>() {
        assert_eq!(key_id.to_string(), text);
    }
});
