//! Recordings of sessions: the asciicast writer and reader, the vault on disk, replay.
//!
//! A channel with a terminal is recorded as an asciicast v2 file (`.cast`), which stock players accept. A channel
//! without one may carry anything, and a text format would destroy it, so it is recorded as a byte log (`.jsonl`).
//! Both are JSON lines: a header, then one event a line. What was done to files over SFTP or scp is told in the byte log
//! as [`Operation`]s, in place of the bytes.
//!
//! - [`Vault::create`] arms a [`Recorder`]: the file with its header is there before it returns.
//! - [`Archive`] finds recordings, [`Reader`] and [`Parser`] read them, [`Tail`] follows a live one.
//! - [`Player`] plays one in its own time, and [`Text`] renders one as plain text.
#![forbid(unsafe_code)]

mod ansi;
mod archive;
mod echo;
mod encode;
mod error;
mod examine;
mod files;
mod header;
mod parse;
mod place;
mod play;
mod pool;
mod reader;
mod recorder;
mod recover;
mod safe;
mod tail;
mod text;
mod utf8;
mod vault;

pub use ansi::{Scanner, Token, alternate_screen, numbers};
pub use archive::{Archive, Stored};
pub use encode::{ECHO_MARKER, RECOVERY_MARKER};
pub use error::{ParseError, PlayError, RecordError, VaultError};
pub use files::{describe, sentence};
pub use header::{FileHeader, Format, Header};
pub use parse::{Counts, Event, Item, Parser, Stream, What};
pub use place::Stage;
pub use play::{PlayOptions, Player, Source, Wish};
pub use reader::Reader;
pub use recorder::Recorder;
pub use recover::Recovered;
pub use safe::{Filter, plain};
pub use sftp::Operation;
pub use tail::Tail;
pub use text::Text;
pub use utf8::Decoder;
pub use vault::Vault;
