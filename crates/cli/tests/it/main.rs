//! The binary from outside.

#[cfg(test)]
mod hints;
#[cfg(test)]
mod transcripts;
