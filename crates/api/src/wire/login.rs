//! Logging in: an SSHSIG over a single-use server nonce buys a session token.

use model::{GroupName, IdentityName};
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/login/challenge`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// What the signature will be for.
    pub purpose: Purpose,
}

/// What a nonce may be signed for. A nonce and a signature made for one purpose never serve another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To log in.
    Login,
    /// To prove possession of a key that is to be certified.
    Certificate,
}

/// The answer: what to sign.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Challenge {
    /// 256 random bits in hexadecimal; good once, until it expires.
    pub nonce: String,
    /// The name that the CA goes by, which is part of what is signed.
    pub server: String,
    /// When the nonce dies.
    #[schema(value_type = String)]
    pub expires: Time,
}

/// `POST /v1/login`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Who says so: an identity's name, or `proxy:` and a proxy's name.
    pub subject: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The armored SSHSIG over the canonical login text, by a key that the directory lists for the subject.
    pub signature: String,
}

/// The answer: a session token.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginResponse {
    /// Send it as `Authorization: Bearer …`. It dies at `expires`, on logout, and with the server's word.
    pub token: String,
    /// When it dies.
    #[schema(value_type = String)]
    pub expires: Time,
}

impl std::fmt::Debug for LoginResponse {
    /// The token is a secret and never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginResponse").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// `GET /v1/whoami`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhoAmI {
    /// An identity's name, or `proxy:` and a proxy's name.
    pub subject: String,
    /// The identity, when it is one.
    #[schema(value_type = Option<String>)]
    pub identity: Option<IdentityName>,
    /// Its groups.
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<GroupName>,
    /// Fingerprint of the key that logged in.
    pub key: String,
    /// Whether a security key was touched.
    pub touch: bool,
    /// Until when a one-time code counts that came with this session token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub code_until: Option<Time>,
    /// When the session token dies.
    #[schema(value_type = String)]
    pub expires: Time,
    /// The lock that holds this person, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
}
