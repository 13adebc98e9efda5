//! Targets.

use std::collections::BTreeMap;

use model::{Login, Target, TargetName};
use serde::{Deserialize, Serialize};

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
