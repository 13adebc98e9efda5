//! Status.

use serde::{Deserialize, Serialize};

use super::Time;

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The CA's own name, which is part of what people sign.
    pub server: String,
    /// Up since.
    #[schema(value_type = String)]
    pub started: Time,
    /// The number of records in the ledger.
    pub records: u64,
    /// The root of its Merkle tree, in hexadecimal.
    pub root: String,
    /// SHA-256 of the policy in force.
    pub policy: String,
    /// Why a changed policy was refused, while the old one is kept; for those who may administer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_error: Option<String>,
    /// When a changed policy was refused, while the old one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub policy_refused: Option<Time>,
    /// SHA-256 of the directory in force.
    pub directory: String,
    /// Why a changed directory was refused, while the old one is kept; for those who may administer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_error: Option<String>,
    /// When a changed directory was refused, while the old one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub directory_refused: Option<Time>,
    /// Requests that wait for reviews.
    pub pending: u32,
    /// Active grants.
    pub grants: u32,
    /// Live sessions.
    pub sessions: u32,
    /// Locks in force.
    pub locks: u32,
    /// Whether the ledger takes new facts; if not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_error: Option<String>,
}
