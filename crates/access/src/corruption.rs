//! What a ledger can say that cannot have happened.

use std::fmt::Display;

use model::{Seq, Timestamp};

/// A recorded fact that cannot follow from those before it. The state is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} ({kind}) cannot be: {problem}")]
pub struct Corruption {
    /// The record.
    pub seq: Seq,
    /// The kind of its fact, as it is written.
    pub kind: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why a fact cannot have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The record does not stand behind the last one.
    #[error("the next record is {expected}")]
    Gap {
        /// The place that comes next.
        expected: Seq,
    },
    /// The fact speaks of something that is not there.
    #[error("there is no {what} {id}")]
    Unknown {
        /// Its kind.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The fact makes something that is there already.
    #[error("there is already a {what} {id}")]
    Duplicate {
        /// Its kind.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The thing is in a state that the fact cannot follow.
    #[error("{what} {id} is {state}")]
    State {
        /// Its kind.
        what: &'static str,
        /// Its id.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// The fact was caused by someone who cannot cause it.
    #[error("{actor} cannot have done it")]
    Actor {
        /// Who.
        actor: String,
    },
    /// A grant would end before it begins, or an extension would shorten it.
    #[error("the times {from} and {to} do not follow each other")]
    Times {
        /// The earlier moment.
        from: Timestamp,
        /// The later moment.
        to: Timestamp,
    },
    /// It names approvers that the reviews before it do not bear out.
    #[error("its approvers are not those who approved it")]
    Approvers,
    /// Only the first record may say it.
    #[error("only the first record can say it")]
    NotFirst,
}

pub(crate) fn unknown(what: &'static str, id: &impl Display) -> Problem {
    Problem::Unknown { what, id: id.to_string() }
}
