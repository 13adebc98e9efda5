//! Targets.

use std::collections::BTreeMap;

use model::{Login, Target, TargetAuth, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// A target as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetView {
    /// What people type behind the `@`.
    #[schema(value_type = String)]
    pub name: TargetName,
    /// Where it listens; empty for those who may not administer.
    pub addresses: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its logins.
    #[schema(value_type = Vec<String>)]
    pub logins: Vec<Login>,
    /// Fingerprints of its pinned host keys, which exclude every other; empty: it must show a certificate of the host CA.
    pub host_keys: Vec<String>,
    /// How proxies log in to it: `certificate` or `target-key`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub auth: TargetAuth,
    /// Fingerprint of the key that the CA holds for it; for those who may administer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_key: Option<String>,
}

/// `POST /v1/targets/{name}/key`: the key of a target that knows no certificates. There is one afterwards.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeTargetKey {
    /// Whether a new one takes the place of the one that there is, which is destroyed.
    #[serde(default)]
    pub rotate: bool,
}

/// The key of a target, as far as it leaves the CA.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetKey {
    /// The target.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The public half in the OpenSSH one-line form: it goes into the `authorized_keys` of each login there.
    pub public_key: String,
    /// Its fingerprint ("SHA256:…").
    pub fingerprint: String,
    /// When it was made.
    #[schema(value_type = String)]
    pub made: Time,
}

/// `PUT /v1/targets/{name}`: registers a target, or replaces it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterTarget {
    /// The target.
    #[schema(value_type = Object)]
    pub target: Target,
    /// Whether a target of that name may be replaced.
    #[serde(default)]
    pub replace: bool,
}
