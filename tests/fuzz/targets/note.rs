//! A signed checkpoint by nobody that we trust never opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ledger::{Checkpoint, Signer, VerifierKey};

fuzz_target!(|text: &str| {
    let _ = text.parse::<VerifierKey>();
    let trusted = Signer::new("fuzz", &[7; 32]).unwrap().verifier().clone();
    assert!(Checkpoint::open(text, &[trusted]).is_err());
});
