//! Deciding: state, who acts, what they want and when, in; facts out.

use model::{Actor, Entry, RequestId, Timestamp};

use crate::{Command, PathGap, Permit, Refusal, State};

/// What a command leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The facts, in order. They belong together: append them all or none. Empty when all is so already.
    pub facts: Vec<Entry>,
    /// The proof that a session was allowed; only of `OpenSession`.
    pub permit: Option<Permit>,
    /// The request that `FileRequest` and `Review` are about; for a repeated idempotency key it is the first one's id.
    pub request: Option<RequestId>,
    /// What each path still lacks, least burden first, of `FileRequest` and `Review`. The path that was taken lacks
    /// nothing.
    pub gaps: Vec<PathGap>,
}

/// Decides a command at `now`.
///
/// # Errors
/// A [`Refusal`] that says what is so and what to do next. Nothing changes then; an edge that must keep a refusal
/// records it with [`Note`](crate::Note).
pub fn decide(state: &State, actor: &Actor, command: Command, now: Timestamp) -> Result<Decision, Refusal> {
    let _ = (state, actor, command, now);
    Err(Refusal::new("not-built", "nothing is decided yet"))
}
