//! Who decides what passes.

use crate::Action;

/// What a judge says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Allow,
    /// It may not. The reason goes to the person and into the log, so it says what they can do about it.
    Refuse(String),
}

/// Which way an operation moves something, as a policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the target to the person.
    Download,
    /// From the person to the target.
    Upload,
    /// Either, through one open file.
    Both,
    /// Nothing moves, but the target is not afterwards what it was before.
    Change,
    /// Nothing moves and nothing changes.
    Look,
}

/// Decides what passes. It is asked once for each operation, before the target sees it, and never waits.
///
/// It is not asked about what goes through a handle that it has let be opened, except about changes of attributes and
/// copies on the target.
pub trait Judge {
    /// Judges an operation that has not happened yet: its counts and digests are empty.
    ///
    /// An operation with two [paths](Action::paths) must be judged by both; a link to a file is as good as the file.
    fn allow(&mut self, action: &Action) -> Verdict;
}

impl<F: FnMut(&Action) -> Verdict> Judge for F {
    fn allow(&mut self, action: &Action) -> Verdict {
        self(action)
    }
}
