//! Policies: every refusal can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_policy::Policies;

fuzz_target!(|text: &str| {
    if let Err(diagnostics) = Policies::parse(text) {
        assert!(diagnostics.iter().all(|diagnostic| !diagnostic.to_string().is_empty()));
    }
});
