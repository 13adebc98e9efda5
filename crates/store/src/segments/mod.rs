//! Segment files: the facts themselves, in append-only files of about 64 MiB.
//!
//! A segment is a header page and then frames, one per record. Nothing else in the data directory holds a fact.

pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod log;
pub(crate) mod open;
pub(crate) mod reader;
pub(crate) mod tail;
