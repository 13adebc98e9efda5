//! The keys of the CAs, and how one takes the place of another.

use model::{Authority, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// The keys of one CA. By their SHA-256 fingerprints; `GET /v1/ca` has them whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaKeyState {
    /// Which CA: `user`, `host` or `front`.
    #[schema(value_type = String)]
    pub ca: Authority,
    /// The key that signs.
    pub signs: String,
    /// One that is trusted already and is to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// One that has signed and is still trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Since when it is so; absent while the key has never been replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub since: Option<Time>,
    /// The targets that show a certificate of `previous` or none: when that is retired, nobody reaches them. Of the host
    /// CA only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub left: Vec<TargetName>,
}

/// `POST /v1/ca/{name}/rotate`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateCa {
    /// Which step.
    pub step: CaStep,
    /// Fingerprint of the key that is meant: the one that is to sign, to be retired or to be given up. The step is refused
    /// where it would be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Take the step although a proxy does not trust the next key yet, or the old one's certificates are in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

impl From<CaStep> for RotateCa {
    fn from(step: CaStep) -> Self {
        Self { step, key: None, force: false }
    }
}

/// A step in replacing the key of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CaStep {
    /// Make another key, which is trusted beside the one that signs.
    Stage,
    /// Sign with it; the one before is still trusted.
    Activate,
    /// Trust the one before no more, and destroy it.
    Retire,
    /// Give the new one up, and destroy it; the one before signs.
    Cancel,
}
