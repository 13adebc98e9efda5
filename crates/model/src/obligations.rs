//! What a policy path asks in return for its permit.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Carriage, Factors, GroupName, SecondFactor, Span};

/// One Cedar `permit` that matched, with the obligations of its own annotations. Paths are alternatives; their
/// obligations never mix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyPath {
    /// The `@id` of the permit.
    pub policy: String,
    /// What it asks.
    pub obligations: Obligations,
}

/// The obligations of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Obligations {
    /// The longest time that a grant may run.
    pub max_duration: Span,
    /// How many different people must approve. Zero: approved at once.
    pub approvals: u32,
    /// The groups that reviewers must come from: each listed group must be present among the approvers (AND), and
    /// an approver counts for every listed group that holds them. Empty: anyone whom the policy lets review.
    pub approvers: BTreeSet<GroupName>,
    /// How the session is recorded.
    pub recording: RecordingMode,
    /// Whether what the person types is recorded too (never while the terminal's echo is off).
    pub record_input: bool,
    /// How many bytes of an exec's output are kept in its recording.
    pub output_limit: u64,
    /// The session ends when no byte has passed for this long. `None`: no limit.
    pub idle_limit: Option<Span>,
    /// What the session may use beyond a plain exec.
    pub extensions: BTreeSet<CertificateExtension>,
    /// What the session may carry.
    #[serde(default)]
    pub carriage: Carriage,
    /// Whether the person must have touched a security key at login.
    pub touch: bool,
    /// The second factor that the person must have shown not long ago, if there must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<SecondFactor>,
    /// Whether a ticket must be named.
    pub ticket: bool,
}

impl Default for Obligations {
    /// The narrowest sensible path: half an hour, one approver, strictly recorded, a terminal and nothing else.
    fn default() -> Self {
        Self {
            max_duration: Span::from_minutes(30),
            approvals: 1,
            approvers: BTreeSet::new(),
            recording: RecordingMode::Strict,
            record_input: false,
            output_limit: 1 << 20,
            idle_limit: Some(Span::from_minutes(15)),
            extensions: BTreeSet::from([CertificateExtension::Pty]),
            carriage: Carriage::default(),
            touch: false,
            factor: None,
            ticket: false,
        }
    }
}

impl Obligations {
    /// The second factor that is wanted and not among what was shown.
    #[must_use]
    pub fn factor_lacking(&self, shown: Factors) -> Option<SecondFactor> {
        self.factor.filter(|wanted| !wanted.is_met_by(shown))
    }

    /// Whether what was shown is all that is wanted of it.
    #[must_use]
    pub fn are_met_by(&self, shown: Factors) -> bool {
        (shown.touch || !self.touch) && self.factor_lacking(shown).is_none()
    }
}

/// How a session is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingMode {
    /// Strict, and nothing passes that is not recorded: no forward of a port, a socket, an agent or X11.
    Only,
    /// A session whose recording cannot be written ends.
    Strict,
    /// A session goes on without its recording, and the ledger says so.
    BestEffort,
    /// Not recorded; the ledger still has its channels, commands and byte counts.
    Off,
}

/// The OpenSSH certificate extensions that a path may allow (PROTOCOL.certkeys, "Extensions").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CertificateExtension {
    /// `permit-pty`
    #[serde(rename = "permit-pty")]
    Pty,
    /// `permit-port-forwarding`
    #[serde(rename = "permit-port-forwarding")]
    PortForwarding,
    /// `permit-agent-forwarding`
    #[serde(rename = "permit-agent-forwarding")]
    AgentForwarding,
    /// `permit-X11-forwarding`
    #[serde(rename = "permit-X11-forwarding")]
    X11Forwarding,
    /// `permit-user-rc`
    #[serde(rename = "permit-user-rc")]
    UserRc,
}

impl CertificateExtension {
    /// Every extension that OpenSSH knows and that a path may allow.
    pub const ALL: [Self; 5] =
        [Self::Pty, Self::PortForwarding, Self::AgentForwarding, Self::X11Forwarding, Self::UserRc];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pty => "permit-pty",
            Self::PortForwarding => "permit-port-forwarding",
            Self::AgentForwarding => "permit-agent-forwarding",
            Self::X11Forwarding => "permit-X11-forwarding",
            Self::UserRc => "permit-user-rc",
        }
    }
}

impl fmt::Display for CertificateExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CertificateExtension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str);
            format!("\"{text}\" is no certificate extension; known are {}", known.join(", "))
        })
    }
}
