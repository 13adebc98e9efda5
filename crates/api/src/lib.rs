//! The API as seen from outside: wire types, problem codes and the client that the command line and the proxy use.
//!
//! Wire types are not the domain's: a field here is a promise to people's scripts.
#![forbid(unsafe_code)]

mod client;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod problem;
pub mod wire;

pub use client::{Client, ClientError, ClientOptions, Credentials, EventStream, Heard, LedgerFilter, RecordingFilter};
pub use problem::{Problem, ProblemCode};
