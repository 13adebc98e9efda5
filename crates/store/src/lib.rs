//! Where facts live: append-only segments, indexed by sled.
#![forbid(unsafe_code)]
