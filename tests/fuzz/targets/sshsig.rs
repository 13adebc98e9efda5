//! A proof by nobody in particular never holds for a nonce that it cannot know.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::{Nonce, Proof, Statement, Subject};

fuzz_target!(|text: &str| {
    let nonce: Nonce = "5a".repeat(32).parse().unwrap();
    let subject = Subject::Identity("alice".parse().unwrap());
    assert!(Proof::verify(text, &Statement::login("fuzz", &subject, &nonce)).is_err());
});
