//! Locks.

use model::LockId;
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/locks`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceLock {
    /// "identity:alice", "target:web1", "login:root@web1", "grant:req-…", "everything".
    pub subject: String,
    /// Why, in words that the locked person will read.
    pub reason: String,
    /// It lifts itself after this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
}

/// `POST /v1/locks/{id}/lift`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftLock {
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A lock in force.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LockView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LockId,
    /// What is locked.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub by: String,
    /// When.
    #[schema(value_type = String)]
    pub placed: Time,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<Time>,
    /// How many live sessions it was told to drop, in the answer to its placing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}
