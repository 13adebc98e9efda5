//! File transfers decoded while they pass between a person's client and a target: SFTP (draft-ietf-secsh-filexfer-02,
//! which is version 3 of the protocol, with OpenSSH's extensions) and the old scp.
//!
//! This crate is pure: bytes come in as arguments, and what may go on comes out. A [`Watch`] is fed with the bytes of
//! both directions in the order in which they arrive. It passes on what it has understood, unchanged and mostly
//! uncopied, asks a [`Judge`] about everything that opens, lists, changes or moves something, answers in the target's
//! place what the judge refuses, and tells what happened as [`Operation`]s for the file log.
//!
//! What it does not understand never reaches the other side: an unknown request is refused in the way of the protocol,
//! and anything malformed is a [`Broken`] stream, which the caller must end.
//!
//! # What a path is worth
//! Paths are made absolute and `.` and `..` are taken out by looking at the text alone, as [`RemotePath`] says. The
//! target alone knows its symbolic links: a link that was there before, or that another session makes, can lead out of
//! any folder that a rule names. So a rule by path holds only as far as the folders that it names hold no links that
//! people may not follow; links that pass through a watch are judged with both of their paths, and a path in which `..`
//! follows a name says that it [winds](RemotePath::winds).
#![forbid(unsafe_code)]

mod cut;
mod error;
mod judge;
mod limits;
mod moved;
mod operation;
mod path;
mod scp;
mod sftp;

pub use cut::Passed;
pub use error::{Broken, Problem, Side};
pub use judge::{Direction, Judge, Verdict};
pub use limits::Limits;
pub use moved::{Absent, Digest, Moved};
pub use operation::{Action, Attributes, Look, OpenMode, Operation, Outcome};
pub use path::RemotePath;
pub use scp::{ScpCommand, ScpWatch};
pub use sftp::SftpWatch;

use bytes::Bytes;

/// A decoder between the two sides of a channel.
///
/// After an error nothing more may be fed: the caller ends the channel. What was put into [`Passed`] before the error
/// was judged and may still be sent, and its operations belong into the log.
pub trait Watch {
    /// Takes what the person's client sent.
    ///
    /// # Errors
    /// When the stream cannot be understood, or is beyond a limit.
    fn client(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken>;

    /// Takes what the target sent.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    fn server(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken>;

    /// Whether the person's client has to wait for the target: its next bytes should stay unread until the target has
    /// sent something. Who feeds them nevertheless is held to [`Limits::held`].
    fn holds_client(&self) -> bool;

    /// Whether the target has to wait for the person's client, in the same sense.
    fn holds_server(&self) -> bool;

    /// Whether something that the person's client sent waits in here: the end of what it sends must not overtake it.
    fn keeps_client(&self) -> bool;

    /// Whether something that the target sent waits in here, in the same sense.
    fn keeps_server(&self) -> bool;

    /// How many bytes are in memory that have not been passed on or forgotten: halves of packets, what waits, the paths
    /// of what is open or under way, and what came out of order. Never more than [`Limits::worst`].
    fn held(&self) -> usize;

    /// Says that the channel is over: whatever was under way is told as [`Outcome::Unanswered`].
    fn finish(&mut self, passed: &mut Passed);
}
