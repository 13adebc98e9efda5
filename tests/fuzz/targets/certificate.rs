//! Certificates and public keys, as lines and as the bytes that are signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ca::certificate::Draft;
use portcullis_identity::{parse_certificate, parse_public_key, public_key_from_blob};

fuzz_target!(|bytes: &[u8]| {
    let _ = Draft::decode(bytes);
    let _ = public_key_from_blob(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_certificate(text);
        let _ = parse_public_key(text);
    }
});
