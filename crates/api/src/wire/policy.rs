//! Policy: checking and explaining.

use model::{Login, TargetName};
use serde::{Deserialize, Serialize};

/// `POST /v1/policy/explain`: what would policy say? Asking for oneself is free; for others it takes the right to
/// administer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// For how long, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// One exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// `permitted`, `forbidden` or `nothing-matches`.
    pub verdict: String,
    /// The paths that are open, each with its obligations in words.
    pub paths: Vec<ExplainedPath>,
    /// The explanation, line by line, as `policy explain` prints it.
    pub reasons: Vec<String>,
}

/// One open path.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainedPath {
    /// The policy's `@id`.
    pub policy: String,
    /// What it asks, in words.
    pub obligations: Vec<String>,
}
