//! Recordings of sessions: the asciicast writer and reader, the vault on disk, replay.
#![forbid(unsafe_code)]
