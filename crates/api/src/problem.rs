//! Errors on the wire: RFC 9457 problem details with a stable code, a sentence, and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A problem, sent as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:portcullis:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short name for the kind of problem; the same for every problem with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, as a sentence.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The stable code that scripts may compare. Refusals by the access decider carry the decider's own code.
    pub code: String,
}

impl Problem {
    /// A problem of a known kind.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:portcullis:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            hint: None,
            code: code.as_str().to_owned(),
        }
    }

    /// A refusal by the access decider, under the decider's own stable code. The status is 409, or 403 when the
    /// asker lacks a right, 404 when there is nothing of that name, 400 when the ask makes no sense.
    #[must_use]
    pub fn refused(code: &str, status: u16, detail: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            kind: format!("urn:portcullis:problem:{code}"),
            title: "The request was refused".to_owned(),
            status,
            detail: detail.into(),
            hint,
            code: code.to_owned(),
        }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

/// The kinds of problems that do not come from the access decider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// The body, the path or a parameter cannot be read.
    BadRequest,
    /// No token, or one that is unknown or expired.
    Unauthenticated,
    /// The proof of identity failed.
    LoginRefused,
    /// The asker has no right to this.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// There is something of that name, but not for this method.
    MethodNotAllowed,
    /// The state changed meanwhile.
    Conflict,
    /// The body is larger than the limit.
    TooLarge,
    /// The body is not JSON, or does not say that it is.
    UnsupportedMedia,
    /// Too many calls.
    TooMany,
    /// The ledger cannot take new facts now (disk full, or failing).
    Unavailable,
    /// What an authenticator shares with the CA cannot be read there: for its operator to mend.
    FactorUnreadable,
    /// A certificate could not be issued.
    CertificateRefused,
    /// The answer took too long. The call may still have its effect.
    Timeout,
    /// A fault of ours; the log of the CA has it.
    Internal,
}

impl ProblemCode {
    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthenticated => "unauthenticated",
            Self::LoginRefused => "login-refused",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::UnsupportedMedia => "unsupported-media",
            Self::TooMany => "too-many",
            Self::Unavailable => "unavailable",
            Self::FactorUnreadable => "factor-unreadable",
            Self::CertificateRefused => "certificate-refused",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated | Self::LoginRefused => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMedia => 415,
            Self::CertificateRefused => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable | Self::FactorUnreadable => 503,
            Self::Timeout => 504,
        }
    }

    /// The title that all problems of this code share.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::Unauthenticated => "Nobody is logged in",
            Self::LoginRefused => "The proof of identity failed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Not with this method",
            Self::Conflict => "The state changed meanwhile",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedMedia => "The body is not JSON",
            Self::TooMany => "Too many calls",
            Self::Unavailable => "The ledger cannot take new facts",
            Self::FactorUnreadable => "An authenticator cannot be read",
            Self::CertificateRefused => "The certificate was refused",
            Self::Timeout => "The answer took too long",
            Self::Internal => "A fault of Portcullis",
        }
    }
}
