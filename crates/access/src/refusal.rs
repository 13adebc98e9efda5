//! Refusals: a stable code for programs, a sentence for people, and what to do next.

use std::fmt;

use model::TargetName;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable, in kebab case: "no-active-grant".
    pub code: &'static str,
    /// What is so, without a full stop: "no active grant for root@web1".
    pub sentence: String,
    /// What to do next, when something can be done: "run: portcullis request root@web1 --for 30m".
    pub hint: Option<String>,
}

impl Refusal {
    /// Every code that the decider uses, sorted. An edge may add its own.
    pub const CODES: &[&'static str] = &[
        "already-reviewed",
        "another-key",
        "bad-certificate",
        "bad-command",
        "bad-duration",
        "bad-idempotency-key",
        "bad-login",
        "bad-reason",
        "bad-start",
        "bad-ticket",
        "bad-until",
        "cannot-extend",
        "certificate-locked",
        "certificate-settled",
        "code-used",
        "extension-pending",
        "factor-needed",
        "grant-not-live",
        "id-taken",
        "idempotency-key-reused",
        "locked",
        "no-active-grant",
        "no-path",
        "no-review",
        "no-target-key",
        "not-a-note",
        "not-a-person",
        "not-a-reviewer",
        "not-allowed",
        "not-its-proxy",
        "not-the-asker",
        "not-the-system",
        "old-key-in-use",
        "policy-forbids",
        "presence-spent",
        "proxies-behind",
        "recording-not-open",
        "request-not-pending",
        "self-review",
        "session-not-live",
        "target-key-late",
        "target-key-spent",
        "ticket-needed",
        "too-long",
        "too-many-channels",
        "too-many-factors",
        "too-many-grants",
        "too-many-locks",
        "too-many-paths",
        "too-many-requests",
        "too-many-reviews",
        "too-many-sessions",
        "touch-needed",
        "unknown-certificate",
        "unknown-channel",
        "unknown-factor",
        "unknown-lock",
        "unknown-recording",
        "unknown-request",
        "unknown-session",
        "wrong-recording",
        "wrong-step",
    ];

    /// A refusal without a hint.
    #[must_use]
    pub fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), hint: None }
    }

    /// A log-in that has opened a session already.
    #[must_use]
    pub fn presence_spent() -> Self {
        Refusal::new("presence-spent", "this log-in has opened a session already, and opens one only")
            .with_hint("connect again")
    }

    /// A target for which the CA holds no key, or that takes none.
    #[must_use]
    pub fn no_target_key(target: &TargetName) -> Self {
        Refusal::new("no-target-key", format!("there is no target key for {target}")).with_hint(format!(
            "an administrator makes it, and puts it into the authorized_keys there: portcullis target key {target} --new"
        ))
    }

    /// The same refusal with what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        if let Some(hint) = &self.hint {
            write!(f, ": {hint}")?;
        }
        Ok(())
    }
}
