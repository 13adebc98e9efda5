//! Judgements: what the policies say to a question.

use model::PolicyPath;

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Some permit matches, and no forbid does.
    Permitted {
        /// Each permit that matches, by its id, with its own obligations. They are alternatives and never mix.
        paths: Vec<PolicyPath>,
        /// Permits that could not be evaluated and so do not count.
        skipped: Vec<Failed>,
    },
    /// A forbid matches; it beats every permit.
    Forbidden {
        /// Each forbid that matches, and each that could not be evaluated: fail closed.
        by: Vec<Forbid>,
    },
    /// No permit matches: no.
    NothingMatches {
        /// Permits that could not be evaluated and so do not count; or why the question itself cannot be asked.
        skipped: Vec<Failed>,
    },
}

/// A forbid that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbid {
    /// Its id.
    pub policy: String,
    /// Its `@description`.
    pub description: Option<String>,
    /// Why it could not be evaluated, when that is why it decides.
    pub error: Option<String>,
}

/// A policy that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its id; empty when it is the question that cannot be asked.
    pub policy: String,
    /// Why.
    pub error: String,
}

impl Judgement {
    /// Whether the answer is yes.
    #[must_use]
    pub const fn is_permitted(&self) -> bool {
        match self {
            Self::Permitted { .. } => true,
            Self::Forbidden { .. } | Self::NothingMatches { .. } => false,
        }
    }

    /// The paths; none when the answer is no.
    #[must_use]
    pub fn paths(self) -> Vec<PolicyPath> {
        match self {
            Self::Permitted { paths, .. } => paths,
            Self::Forbidden { .. } | Self::NothingMatches { .. } => Vec::new(),
        }
    }

    /// The answer as a sentence without a full stop, for refusals.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Permitted { paths, .. } => {
                let ids: Vec<_> = paths.iter().map(|path| path.policy.as_str()).collect();
                format!("policy permits it by {}", ids.join(", "))
            }
            Self::Forbidden { by } => {
                let each: Vec<_> = by.iter().map(Forbid::sentence).collect();
                format!("policy forbids it: {}", each.join("; "))
            }
            Self::NothingMatches { skipped } if skipped.is_empty() => "no policy permits it".to_owned(),
            Self::NothingMatches { skipped } => {
                let each: Vec<_> = skipped.iter().map(Failed::sentence).collect();
                format!("no policy permits it ({})", each.join("; "))
            }
        }
    }
}

impl Forbid {
    fn sentence(&self) -> String {
        match (&self.error, &self.description) {
            (Some(error), _) => format!("{} could not be evaluated and so forbids: {error}", self.policy),
            (None, Some(description)) => format!("{} ({description})", self.policy),
            (None, None) => self.policy.clone(),
        }
    }
}

impl Failed {
    fn sentence(&self) -> String {
        if self.policy.is_empty() {
            self.error.clone()
        } else {
            format!("{} could not be evaluated and so does not count: {}", self.policy, self.error)
        }
    }
}
