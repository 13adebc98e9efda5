//! The binary from outside.

#[cfg(test)]
mod transcripts;
