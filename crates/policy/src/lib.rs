//! Cedar policies: a question in, a verdict with obligations and reasons out.
//!
//! Each `permit` is a path with its own obligations, written as annotations. Paths are alternatives and never mix.
//! Any `forbid` that matches beats every path, one that cannot be evaluated counts as matching, and when nothing
//! matches the answer is no.
//!
//! This crate is pure. It knows no clock, no random source, no file and no socket: time comes in with the question.
#![forbid(unsafe_code)]

mod annotations;
mod ask;
mod diagnostic;
mod explain;
mod explanation;
mod foreign;
mod judgement;
mod literals;
mod names;
mod nearest;
mod parse;
mod policies;
mod question;
mod scan;
mod syntax;
mod values;

pub use diagnostic::Diagnostic;
pub use explanation::{Account, Explanation, Outcome};
pub use judgement::{Failed, Forbid, Judgement};
pub use names::Known;
pub use policies::Policies;
pub use question::{Action, Asker, Context, Question, Requester, Way};

/// The commented policy that `portcullis init` writes.
pub const EXAMPLE: &str = include_str!("example.cedar");

/// The schema that policies are checked against, in Cedar's own notation.
pub const SCHEMA: &str = include_str!("portcullis.cedarschema");
