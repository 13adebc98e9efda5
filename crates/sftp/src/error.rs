//! What can be wrong with a stream.

use std::fmt;

/// Who sent what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The person's client.
    Client,
    /// The target.
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A stream that cannot be carried on, with the place where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the {side} sent at byte {at} of the file transfer cannot be passed on: {problem}")]
pub struct Broken {
    /// Who sent it.
    pub side: Side,
    /// Where in that side's stream the packet or line begins, in bytes from the start of the channel.
    pub at: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a packet or a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The length at its start is impossible.
    #[error("a packet of {length} bytes; 1 to {limit} are possible")]
    Length {
        /// What it says.
        length: u32,
        /// The limit.
        limit: usize,
    },
    /// A field does not fit into its packet.
    #[error("the packet ends within its {field}")]
    Short {
        /// Which field.
        field: &'static str,
    },
    /// There is more in a packet than belongs there.
    #[error("{count} bytes too many at the end of the packet")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A field is longer than it may be.
    #[error("the {field} of {length} bytes is longer than {limit}")]
    Long {
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A path with a zero byte in it, which two programs would read in two ways.
    #[error("a path with a zero byte in it")]
    Zero,
    /// Attributes with flags that version 3 does not have, so that their length is unknown.
    #[error("attributes with the unknown flags {flags:#x}")]
    Attributes {
        /// The flags.
        flags: u32,
    },
    /// An offset that no file can have.
    #[error("an offset beyond what a file can hold")]
    Offset,
    /// A file's data with another length than was asked for or announced.
    #[error("{got} bytes of data where at most {asked} were asked for")]
    Data {
        /// How many came.
        got: u32,
        /// How many were asked for.
        asked: u32,
    },
    /// The first packet is not what it must be.
    #[error("the first packet must be {expected}, and is of type {got}")]
    First {
        /// What it must be.
        expected: &'static str,
        /// Its type.
        got: u8,
    },
    /// The protocol was begun twice.
    #[error("the protocol begins a second time")]
    Again,
    /// A version other than 3.
    #[error("version {version} of the protocol; only version 3 is passed on")]
    Version {
        /// Which.
        version: u32,
    },
    /// A request with the id of another that still waits for its answer.
    #[error("the request id {id} is in use already")]
    IdInUse {
        /// Which.
        id: u32,
    },
    /// An answer to nothing.
    #[error("an answer to the request {id}, which nobody sent")]
    Unasked {
        /// Which.
        id: u32,
    },
    /// A packet of a type that no server sends.
    #[error("a packet of the unknown type {kind}")]
    Unknown {
        /// Which.
        kind: u8,
    },
    /// An answer of a type that does not fit its request.
    #[error("an answer of type {got} to a {request}")]
    Answer {
        /// Its type.
        got: u8,
        /// What was asked.
        request: &'static str,
    },
    /// A handle that stands for another open file already.
    #[error("a handle that stands for another open file")]
    HandleInUse,
    /// The caller went on feeding a side that has to wait.
    #[error("more than {limit} bytes while the other side has not answered")]
    Held {
        /// The limit.
        limit: usize,
    },
    /// A line of the old scp that is none.
    #[error("a line of scp that is not {expected}")]
    Line {
        /// What it should be.
        expected: &'static str,
    },
    /// A name that would lead out of its folder.
    #[error("a file name that is empty, «.», «..», or has a slash or a control character in it")]
    Name,
    /// Folders deeper than any real one.
    #[error("folders more than {limit} deep")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// The target sends more than what was asked for.
    #[error("a second file where one was asked for")]
    Second,
}
