//! Policy: explaining.

use model::{IdentityName, Login, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/policy/explain`: what would the CA say? Asking for oneself is free; for others it takes the right to
/// administer. What is left out is as the caller calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Who would ask; absent: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// `request`, `review`, `connect`, `replay`, `lock` or `administer`.
    pub action: String,
    /// The server; needed for all but `lock` and `administer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub target: Option<TargetName>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub login: Option<Login>,
    /// For how long, in seconds; absent: half an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// One exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Whose request would be reviewed, or whose session replayed; needed for `review` and `replay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub requester: Option<IdentityName>,
    /// From which address; absent for others than the caller: from none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
    /// Whether a security key was touched at login; absent for others than the caller: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touch: Option<bool>,
    /// Whether a one-time code was given of late; absent for others than the caller: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<bool>,
    /// When; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub at: Option<Time>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Whether the CA would do it, or at least let it be asked for.
    pub yes: bool,
    /// What policy says: `permitted`, `forbidden` or `nothing-matches`. What it permits can be refused for another
    /// reason: a lock, a time that is too long, no grant.
    pub verdict: String,
    /// The question in words: "alice (engineers): request root@web1".
    pub question: String,
    /// The answer in a sentence.
    pub answer: String,
    /// What would help, or what comes next.
    pub hints: Vec<String>,
    /// The paths that policy offers, least burden first; of `request` only.
    pub paths: Vec<ExplainedPath>,
    /// Every policy, in the order of the file.
    pub policies: Vec<ExplainedPolicy>,
}

/// A path that policy offers.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainedPath {
    /// The policy's `@id`.
    pub policy: String,
    /// Where it stands: "policy.cedar:38".
    pub place: String,
    /// The longest time that it gives, in seconds.
    pub longest: u32,
    /// Whether it wants a ticket.
    pub ticket: bool,
    /// What it asks, in words.
    pub obligations: Vec<String>,
    /// What the request would still lack, in words.
    pub lacks: Vec<String>,
    /// Whether a one-time code is among that.
    #[serde(default)]
    pub code: bool,
    /// Whether it is the one that is taken, or that waits for approvals only.
    pub taken: bool,
}

/// The part that one policy has in the answer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainedPolicy {
    /// Its `@id`.
    pub policy: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// Where it stands: "policy.cedar:38".
    pub place: String,
    /// Its `@description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether what policy says rests on it.
    pub decides: bool,
    /// Whether it is about this question at all.
    pub concerned: bool,
    /// What it had to do with the answer, in words: "matches, and decides".
    pub outcome: String,
}
