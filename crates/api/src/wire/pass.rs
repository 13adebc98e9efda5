//! Passes: what the log-in of a person's plain key to a proxy's connection buys.

use model::{IdentityName, WayIn};
use serde::{Deserialize, Serialize};

use super::{Presence, Time};

/// `POST /v1/passes` (proxies only): whose key logged in to a connection? One log-in buys one pass.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuyPass {
    /// The plain key that logged in, in the OpenSSH one-line form.
    pub public_key: String,
    /// The person's address.
    pub address: String,
    /// As whom they want to go on, as far as the proxy sees it: it says whether a one-time code is to be asked for, and
    /// nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Where to, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Their log-in: what the key signed names the plain key and its algorithm where a certificate's names those.
    pub presence: Presence,
}

/// The answer: send the token in the header `Portcullis-Pass`, beside the proxy's own session token.
///
/// It is good for this proxy only, and for what its person may do at a proxy: see and file their requests, answer those
/// of others, give grants back, and open one session. `POST /v1/logout` with it ends it.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pass {
    /// The pass.
    pub token: String,
    /// Who it is.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// Whether a security key was touched.
    pub touch: bool,
    /// Whether they have an authenticator.
    #[serde(default)]
    pub authenticator: bool,
    /// Whether a one-time code is to be asked for now: where they go takes one. `POST /v1/factors/verify` with the pass.
    #[serde(default)]
    pub code: bool,
    /// Whether the directory lets this proxy pass on what they answer to the requests of others. Only for what it says to
    /// them: the CA looks again at each answer.
    #[serde(default)]
    pub reviews: bool,
    /// When it dies, at the latest.
    #[schema(value_type = String)]
    pub expires: Time,
}

impl std::fmt::Debug for Pass {
    /// The token is a secret and never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("identity", &self.identity).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// `POST /v1/passes/session` (with a pass only): opens its one session, under the person's grant for this place.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnterByPass {
    /// The target as it was typed.
    pub target: String,
    /// The login as it was typed.
    pub login: String,
    /// Which way in.
    #[schema(value_type = String)]
    pub way: WayIn,
    /// The ephemeral key of the proxy, in the OpenSSH one-line form.
    pub public_key: String,
}

/// The header that carries a pass.
pub const PASS_HEADER: &str = "portcullis-pass";
