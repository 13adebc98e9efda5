//! Explanations: what each policy had to do with a judgement.

use crate::Judgement;

/// A judgement and what each policy had to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The question in words: "alice (engineers) request root@web1".
    pub question: String,
    /// What the policies say.
    pub judgement: Judgement,
    /// Every policy, in the order of the text.
    pub policies: Vec<Account>,
}

/// What one policy had to do with a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub policy: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// Whether it is a `permit`; otherwise it is a `forbid`.
    pub permit: bool,
    /// Its `@description`.
    pub description: Option<String>,
    /// Whether it matched.
    pub outcome: Outcome,
}

/// Whether a policy matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matched. When `decides` is false, a forbid beat it.
    Matched {
        /// Whether the judgement rests on it.
        decides: bool,
    },
    /// It is about other principals, actions or resources.
    Elsewhere {
        /// Which parts of its scope do not fit: "principal", "action", "resource".
        parts: Vec<&'static str>,
    },
    /// It is about this question, but a condition does not hold.
    Condition {
        /// The conditions that do not hold, in Cedar's own words.
        failed: Vec<String>,
    },
    /// It could not be evaluated. A forbid then forbids; a permit does not count.
    Error {
        /// Why.
        error: String,
    },
}
