//! Signed notes, checkpoints and keys: what reads shows as it was, and one by nobody that we trust never opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_ledger::{Checkpoint, Digest, Note, Signer, VerifierKey};

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text.trim());
    }
    if let Ok(note) = text.parse::<Note>() {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        // Behind its three lines others may follow, which mean nothing here.
        assert!(text.starts_with(&checkpoint.to_string()));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    let trusted = Signer::new("fuzz", &[7; 32]).unwrap();
    assert!(Checkpoint::open(text, &[trusted.verifier().clone()]).is_err());
    // Its own signature under any text is good for that text alone.
    if let Ok(note) = trusted.sign(text) {
        assert_eq!(note.verify(&[trusted.verifier().clone()]), Ok(text));
    }
});
