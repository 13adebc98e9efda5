//! Recordings.

use model::{IdentityName, Login, RecordingId, RequestId, SessionId, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// A recording as people see it. Its bytes are at `GET /v1/recordings/{id}/content`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recording {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RecordingId,
    /// Its session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Its grant.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// Its channel's number in the session.
    pub channel: u32,
    /// Who.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// Where.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// As whom.
    #[schema(value_type = String)]
    pub login: Login,
    /// When it was armed.
    #[schema(value_type = String)]
    pub started: Time,
    /// `live`, `complete`, `truncated`, `recovered` or `failed`.
    pub status: String,
    /// SHA-256 of the file in hexadecimal, as the ledger has it, once it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Length of what it shows, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// The place of its closing fact in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}
