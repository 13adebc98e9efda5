//! Second factors: authenticators, and the one-time codes that they make (RFC 6238).

use model::{FactorId, IdentityName};
use serde::{Deserialize, Serialize};

use super::{LoginResponse, Secret, Time};

/// The answer to `POST /v1/factors`: a secret for an authenticator app, shown once. It counts after
/// `POST /v1/factors/{id}/confirm` with a first code.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Enrolment {
    /// Its id.
    #[schema(value_type = String)]
    pub id: FactorId,
    /// What the app reads, as a QR code: `otpauth://totp/…`.
    #[schema(value_type = String)]
    pub otpauth: Secret,
    /// What one types where it cannot: base 32.
    #[schema(value_type = String)]
    pub secret: Secret,
    /// A first code must come before this moment.
    #[schema(value_type = String)]
    pub expires: Time,
}

/// `POST /v1/factors/{id}/confirm` and `POST /v1/factors/verify`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Six digits.
    #[schema(value_type = String)]
    pub code: Secret,
}

/// The answer: until when the token or pass is worth more.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CodeTaken {
    /// From this moment on it takes another code.
    #[schema(value_type = String)]
    pub until: Time,
    /// The session token that is worth more: it takes the place of the one that the call came with, which is over.
    /// Absent for a pass, which stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginResponse>,
}

/// The answer to the first code of an authenticator.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FactorConfirmed {
    /// It counts from now on.
    pub factor: FactorView,
    /// What the code has made of the session token, as in [`CodeTaken`].
    #[serde(flatten)]
    pub taken: CodeTaken,
}

/// `POST /v1/factors/{id}/remove`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFactor {
    /// Whose it is; absent: the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer: what goes on of what its owner opened, for which a code may have been given. A lock on them ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FactorRemoved {
    /// The authenticators that they have left, one that was added meanwhile among them.
    pub factors: u32,
    /// Their grants that have not ended.
    pub grants: u32,
    /// Their live sessions.
    pub sessions: u32,
}

/// An authenticator. Its secret is never shown again.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FactorView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: FactorId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// When it was added.
    #[schema(value_type = String)]
    pub added: Time,
    /// When a code of it was last used, but for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub used: Option<Time>,
}
