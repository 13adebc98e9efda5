//! Why a use case did not do what was asked. One mapping turns it into a problem document, in `http::problem`.

use access::Refusal;

/// Why a use case did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// The decider refused the command.
    #[error("{}", .0.sentence)]
    Refused(Refusal),
    /// The caller has no right to it.
    #[error("{sentence}")]
    Forbidden {
        /// What is not allowed.
        sentence: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// There is nothing of that name, or nothing that the caller may see.
    #[error("there is no {what} {id}")]
    NotFound {
        /// Its kind.
        what: &'static str,
        /// The name that was given.
        id: String,
        /// What may have been meant, among what the caller may see.
        near: Option<String>,
    },
    /// An argument makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// No token, or one that is unknown, expired, or whose identity or key left the directory.
    #[error("nobody is logged in with this token")]
    Unauthenticated,
    /// The proof of identity, or of possession, failed.
    #[error("{0}")]
    LoginRefused(String),
    /// A certificate could not be issued.
    #[error("{0}")]
    Certificate(String),
    /// Too much at a time.
    #[error("{0}")]
    TooMany(String),
    /// The ledger cannot take new facts now.
    #[error("the ledger cannot take new facts: {0}")]
    Unavailable(String),
    /// What somebody's authenticators share with the CA cannot be read or kept. The log says which file, and why.
    #[error("what your authenticator shares with the CA cannot be used there, so no code can be held against it")]
    FactorUnreadable,
    /// A fault of ours. The sentence is for the log; the caller hears only that there is one.
    #[error("{0}")]
    Internal(String),
}

impl AppError {
    /// Not allowed, without advice.
    pub(crate) fn forbidden(sentence: impl Into<String>) -> Self {
        Self::Forbidden { sentence: sentence.into(), hint: None }
    }

    /// Nothing of that name.
    pub(crate) fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string(), near: None }
    }

    /// The same, when it is about something that is not there, with what may have been meant.
    pub(crate) fn with_near(self, meant: impl Into<String>) -> Self {
        match self {
            Self::NotFound { what, id, .. } => Self::NotFound { what, id, near: Some(meant.into()) },
            other @ (Self::Refused(_)
            | Self::Forbidden { .. }
            | Self::Invalid(_)
            | Self::Unauthenticated
            | Self::LoginRefused(_)
            | Self::Certificate(_)
            | Self::TooMany(_)
            | Self::Unavailable(_)
            | Self::FactorUnreadable
            | Self::Internal(_)) => other,
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
