//! `portcullis.toml` and `client.toml`: every refusal says where and what to do, and what the client writes it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_cli::fuzzing::{client, server};

fn said(file: &str, (message, hint): (String, String)) {
    assert!(message.contains(file) && !hint.is_empty(), "{message:?} {hint:?}");
}

fuzz_target!(|text: &str| {
    if let Err(error) = server(text) {
        said("portcullis.toml", error);
    }
    match client(text) {
        Ok((again, same)) => assert!(same, "{again}"),
        Err(error) => said("client.toml", error),
    }
});
