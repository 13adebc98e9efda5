//! The binary `portcullis`.
#![forbid(unsafe_code)]
fn main() {}
