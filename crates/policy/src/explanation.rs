//! Explanations: what each policy had to do with a judgement.

use std::fmt;

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
    /// The line of its `permit` or `forbid`, counted from 1.
    pub line: usize,
    /// Whether it is a `permit`; otherwise it is a `forbid`.
    pub permit: bool,
    /// Its `@description`.
    pub description: Option<String>,
    /// Whom its scope is about: `principal in Group::"sre"`; `None`: everybody.
    pub principal: Option<String>,
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

impl Explanation {
    /// The permits that came nearest, when nothing matched: those that are about this question and whose conditions
    /// do not hold; failing them, those that are about others who ask the same.
    #[must_use]
    pub fn nearest(&self) -> Vec<&Account> {
        let permits = || self.policies.iter().filter(|account| account.permit);
        let close: Vec<_> = permits().filter(|account| account.outcome.is_condition()).collect();
        if !close.is_empty() {
            return close;
        }
        permits().filter(|account| account.outcome.is_about_others()).collect()
    }
}

impl Account {
    /// What it would take for this policy to match, as far as it is known: "it is for principal in Group::\"sre\"".
    #[must_use]
    pub fn wants(&self) -> String {
        match &self.principal {
            Some(principal) if self.outcome.is_about_others() => format!("it is for {principal}"),
            Some(_) | None => format!("it {}", self.outcome),
        }
    }
}

impl Outcome {
    const fn is_condition(&self) -> bool {
        match self {
            Self::Condition { .. } => true,
            Self::Matched { .. } | Self::Elsewhere { .. } | Self::Error { .. } => false,
        }
    }

    fn is_about_others(&self) -> bool {
        match self {
            Self::Elsewhere { parts } => parts.as_slice() == ["principal"],
            Self::Matched { .. } | Self::Condition { .. } | Self::Error { .. } => false,
        }
    }
}

impl fmt::Display for Explanation {
    /// The question, the answer, and a line for every policy; when nothing matched, the nearest permits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.question)?;
        let answer = if self.judgement.is_permitted() { "yes" } else { "no" };
        write!(f, "{answer}: {}", self.judgement.sentence())?;
        for account in &self.policies {
            write!(f, "\n  {account}")?;
        }
        let nothing = match self.judgement {
            Judgement::NothingMatches { .. } => true,
            Judgement::Permitted { .. } | Judgement::Forbidden { .. } => false,
        };
        let nearest: Vec<_> = self.nearest().into_iter().map(|account| account.policy.as_str()).collect();
        if nothing && !nearest.is_empty() {
            write!(f, "\nnearest: {}", nearest.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = if self.permit { "permit" } else { "forbid" };
        write!(f, "{effect} {} (line {}): {}", self.policy, self.line, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { decides: true } => f.write_str("matches, and decides"),
            Self::Matched { decides: false } => f.write_str("matches, and is beaten by a forbid"),
            Self::Elsewhere { parts } => write!(f, "is about another {}", parts.join(" and another ")),
            Self::Condition { failed } if failed.is_empty() => f.write_str("its conditions do not hold"),
            Self::Condition { failed } => write!(f, "does not hold: {}", failed.join(", ")),
            Self::Error { error } => write!(f, "could not be evaluated: {error}"),
        }
    }
}
