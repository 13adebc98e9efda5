//! Status.

use model::ProxyName;
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
    /// The proxies, as they said last.
    #[serde(default)]
    pub proxies: Vec<ProxyStatus>,
}

/// `POST /v1/proxies/status` (proxies only): how the calling proxy does. It says so every few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TellProxyStatus {
    /// How long it has heard nothing from the feed of revocations, in milliseconds; absent when it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_age: Option<u64>,
    /// The longest that may be, in milliseconds: beyond it the proxy lets nobody in.
    pub feed_limit: u64,
    /// Fingerprint of the host key that it shows to people.
    pub host_key: String,
    /// Why another one in its file was refused, while this one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_error: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host_key_refused: Option<Time>,
    /// Fingerprints of the user CA's keys that it trusts. No more of them than a CA has while one key takes the place of
    /// another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_ca: Vec<String>,
}

/// How a proxy does. What it has not said yet is absent.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProxyStatus {
    /// The proxy.
    #[schema(value_type = String)]
    pub name: ProxyName,
    /// When it said so last; absent when it has not since the CA started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub told: Option<Time>,
    /// How old its knowledge of revocations is now, in milliseconds, however long ago it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_age: Option<u64>,
    /// The oldest that it may be, in milliseconds: beyond it the proxy lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_limit: Option<u64>,
    /// Fingerprint of the host key that it shows to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Why another one in its file was refused, while this one is kept; for those who may administer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_error: Option<String>,
    /// When a changed host key was refused, while the old one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host_key_refused: Option<Time>,
}
