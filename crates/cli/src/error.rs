//! What can go wrong at the command line: a kind, a sentence, a hint and an exit code.
//!
//! | exit | kind | when |
//! |---|---|---|
//! | 0 | – | it was done |
//! | 1 | `failed` | refused by policy, by a person or by the system |
//! | 2 | `usage` | the command line makes no sense |
//! | 3 | `not-logged-in` | nobody is logged in, or the proof of identity failed |
//! | 4 | `not-found` | there is nothing of that name |
//! | 5 | `unreachable` | the API, the agent or a host cannot be reached |
//! | 6 | `timed-out` | nobody decided, or answered, in time |
//! | 7 | `integrity` | a ledger, a recording, a proof or a signature does not verify |
//! | 8 | `configuration` | a file of configuration, policy or directory is wrong |
//! | 9 | `unreadable` | what is to be verified is there and cannot be read: nothing is known about it |
//! | 130 | `interrupted` | Ctrl-C |
//!
//! `portcullis ssh` becomes `ssh`, whose exit status it is then.

use std::fmt;

use api::ClientError;

/// The kinds of errors, each with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Refused, or it did not work.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Nobody is logged in, or the proof of identity failed.
    NotLoggedIn,
    /// There is nothing of that name.
    NotFound,
    /// A peer cannot be reached.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// Something does not verify.
    Integrity,
    /// A file of configuration is wrong.
    Configuration,
    /// It is there and cannot be read.
    Unreadable,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read our output went away: we end, and quietly.
    ClosedPipe,
}

impl Kind {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotLoggedIn => 3,
            Self::NotFound => 4,
            Self::Unreachable => 5,
            Self::TimedOut => 6,
            Self::Integrity => 7,
            Self::Configuration => 8,
            Self::Unreadable => 9,
            Self::Interrupted => 130,
        }
    }

    /// The name that `--json` gives it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotLoggedIn => "not-logged-in",
            Self::NotFound => "not-found",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Integrity => "integrity",
            Self::Configuration => "configuration",
            Self::Unreadable => "unreadable",
            Self::Interrupted => "interrupted",
            Self::ClosedPipe => "closed-pipe",
        }
    }
}

/// An error as a person meets it.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    hint: String,
    code: Option<String>,
}

impl CliError {
    /// An error that says what went wrong and what to do about it.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hint: hint.to_string(), code: None }
    }

    /// It did not work.
    pub(crate) fn failed(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, message, hint)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message, hint)
    }

    /// A file of configuration is wrong.
    pub(crate) fn configuration(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Configuration, message, hint)
    }

    /// Something does not verify.
    pub(crate) fn integrity(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Integrity, message, hint)
    }

    /// A file could not be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() == std::io::ErrorKind::NotFound {
            true => Kind::NotFound,
            false => Kind::Failed,
        };
        Self::new(kind, format!("cannot {what} {}: {error}", path.display()), "check the path and its permissions")
    }

    /// The same error, with something else to do about it.
    pub(crate) fn with_hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: hint.to_string(), ..self }
    }

    /// The same error, with one thing more to do about it.
    pub(crate) fn and_hint(mut self, more: impl fmt::Display) -> Self {
        self.hint = match self.hint.is_empty() {
            true => more.to_string(),
            false => format!("{}; {more}", self.hint),
        };
        self
    }

    /// The reader of our output went away.
    pub(crate) fn closed_pipe() -> Self {
        Self::new(Kind::ClosedPipe, "", "")
    }

    /// The kind.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// The API's stable code, when it is the API that refused.
    pub(crate) fn api_code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let code = error.code().map(str::to_owned);
        let mut made = match &error {
            ClientError::Problem(problem) => {
                let (kind, usual) = for_code(&problem.code, problem.status);
                Self::new(kind, &problem.detail, problem.hint.as_deref().unwrap_or(usual))
            }
            ClientError::Unreachable { url, source } => unreachable(url, &error, &innermost(source)),
            ClientError::Timeout { .. } => {
                Self::new(Kind::TimedOut, &error, "try again; portcullis status shows whether the CA is well")
            }
            ClientError::Answer { .. } => Self::new(
                Kind::Failed,
                &error,
                "compare portcullis --version with the CA's version in portcullis status",
            ),
            ClientError::Credentials(text) if text.contains("chmod 600") => {
                Self::new(Kind::NotLoggedIn, &error, "a private key is for its owner's eyes: chmod 600, and try again")
            }
            ClientError::Credentials(_) => Self::new(Kind::NotLoggedIn, &error, "run portcullis login"),
            ClientError::Options(_) => Self::new(
                Kind::Configuration,
                &error,
                "run portcullis login --api https://HOST:PORT --root FILE, with the CA's root certificate",
            ),
        };
        made.code = code;
        made
    }
}

/// What hinders the connection, in the words of the libraries below, said so that one knows what to do about it.
fn unreachable(url: &str, error: &ClientError, cause: &str) -> CliError {
    let runs = "check that portcullis up (or portcullis ca) runs there; portcullis login --api URL sets the address";
    if cause.contains("corrupt message") || cause.contains("InvalidContentType") {
        return CliError::new(
            Kind::Unreachable,
            format!("what listens at {url} does not speak TLS: an SSH server or the proxy's port answers like this"),
            "name the API's port, which portcullis.toml has under [ca] as listen: portcullis login --api https://HOST:7443",
        );
    }
    if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
        return CliError::new(
            Kind::Unreachable,
            format!("{url} shows a TLS certificate that the pinned root did not sign"),
            "the root certificate belongs to another CA, or somebody stands in between: get data/tls-root.pem from who \
             runs the CA, and give it with portcullis login --root FILE",
        );
    }
    if cause.contains("not valid for name") || cause.contains("NotValidForName") {
        return CliError::new(
            Kind::Unreachable,
            format!("the TLS certificate of {url} is for another name: {cause}"),
            "name the CA as its certificate does: portcullis login --api https://NAME:PORT",
        );
    }
    CliError::new(Kind::Unreachable, format!("{error}: {cause}"), runs)
}

/// The kind of a problem, and what to do when the API does not say.
fn for_code(code: &str, status: u16) -> (Kind, &'static str) {
    match (code, status) {
        ("unauthenticated", _) => (Kind::NotLoggedIn, "run portcullis login"),
        ("login-refused", _) => (
            Kind::NotLoggedIn,
            "check the name (--identity) and the key (--key): the CA's directory must list that key for that name",
        ),
        ("not-found", _) | (_, 404) => {
            (Kind::NotFound, "look it up: portcullis requests, grants, sessions or target list")
        }
        ("too-many", _) => (Kind::Failed, "wait a little and try again"),
        ("unavailable", _) => (Kind::Failed, "the CA's disk may be full or failing: portcullis status says more"),
        ("internal", _) => (Kind::Failed, "the log of the CA says more"),
        ("bad-request", _) => (Kind::Failed, "correct it; the verb's --help shows what it takes"),
        ("forbidden", _) | (_, 403) => (Kind::Failed, "portcullis policy explain says which policies decided, and why"),
        _ => (Kind::Failed, "portcullis requests and portcullis grants show the state of things"),
    }
}

/// The deepest cause, which is the one that says something ("Connection refused").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// An error with its causes, for a sentence: "this: that: the other".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use api::{Problem, ProblemCode};

    use super::*;

    #[test]
    fn a_problem_keeps_its_own_hint_and_gets_a_usual_one_otherwise() {
        let own = ClientError::Problem(Problem::new(ProblemCode::NotFound, "no such request").with_hint("look again"));
        let error = CliError::from(own);
        assert_eq!((error.kind(), error.hint()), (Kind::NotFound, "look again"));
        let usual = CliError::from(ClientError::Problem(Problem::new(ProblemCode::Unauthenticated, "who are you?")));
        assert_eq!((usual.kind().code(), usual.hint()), (3, "run portcullis login"));
        assert_eq!(usual.api_code(), Some("unauthenticated"));
    }

    #[test]
    fn a_chain_does_not_repeat_itself() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}
