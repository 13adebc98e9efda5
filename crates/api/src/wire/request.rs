//! Requests, reviews and grants.

use model::{GroupName, IdentityName, Login, RequestId, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/requests`. The header `Idempotency-Key` makes a repeat answer with the same request.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// The server.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The account.
    #[schema(value_type = String)]
    pub login: Login,
    /// For how long, in seconds, counted from approval.
    pub duration: u32,
    /// Why.
    pub reason: String,
    /// A ticket in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The one exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub start: Option<Time>,
}

/// A request as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Request {
    /// Its id, and that of the grant it becomes.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// Who asks.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// The server.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The account.
    #[schema(value_type = String)]
    pub login: Login,
    /// For how long, in seconds.
    pub duration: u32,
    /// Why.
    pub reason: String,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The one exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The grant that it would extend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub extends: Option<RequestId>,
    /// Its state.
    pub state: RequestState,
    /// When it was filed.
    #[schema(value_type = String)]
    pub filed: Time,
    /// A pending request dies at this moment.
    #[schema(value_type = String)]
    pub expires: Time,
    /// The answers so far.
    pub reviews: Vec<Review>,
    /// What each path of the policy still lacks, while it is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathGap>,
    /// The grant, once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// The states of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Waits for reviews.
    Pending,
    /// Became a grant.
    Approved,
    /// A reviewer said no.
    Denied,
    /// Its asker took it back.
    Cancelled,
    /// Nobody decided in time.
    Expired,
}

impl std::fmt::Display for RequestState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        })
    }
}

/// One reviewer's answer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Review {
    /// Who.
    #[schema(value_type = String)]
    pub reviewer: IdentityName,
    /// Whether they approved.
    pub approved: bool,
    /// The shorter time that they allowed, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub at: Time,
}

/// What a path still lacks.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PathGap {
    /// The policy's `@id`.
    pub policy: String,
    /// In words: "1 more approval", "an approval from the group sre", "a duration of at most 30m".
    pub lacks: Vec<String>,
    /// How many more approvals.
    pub approvals: u32,
    /// The groups from which an approval is missing.
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<GroupName>,
}

/// `GET /v1/requests/{id}/reviewers`: who can approve it as things are. Never its asker, nobody who is locked, and nobody who
/// has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reviewers {
    /// A few of them.
    #[schema(value_type = Vec<String>)]
    pub names: Vec<IdentityName>,
    /// How many more there are, at least.
    pub more: u32,
}

impl std::fmt::Display for Reviewers {
    /// "bob, carol and 3 more", "nobody".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.names.iter().map(IdentityName::as_str).collect();
        match (names.split_last(), self.more) {
            (None, _) => f.write_str("nobody"),
            (Some(_), 1..) => write!(f, "{} and {} more", names.join(", "), self.more),
            (Some((last, [])), 0) => f.write_str(last),
            (Some((last, others)), 0) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

/// `POST /v1/requests/{id}/approve`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// At most this long, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// In the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `POST /v1/requests/{id}/deny`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// In the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A grant as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Grant {
    /// Its id: the request's.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// Who holds it.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// The server.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// The account.
    #[schema(value_type = String)]
    pub login: Login,
    /// The one exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its state.
    pub state: GrantState,
    /// The path that it took through the policy.
    pub policy: String,
    /// Who approved.
    #[schema(value_type = Vec<String>)]
    pub approvers: Vec<IdentityName>,
    /// Begins.
    #[schema(value_type = String)]
    pub starts: Time,
    /// Ends, or ended.
    #[schema(value_type = String)]
    pub ends: Time,
    /// Why it ended early, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many live sessions it has.
    pub sessions: u32,
}

/// The states of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// Not yet.
    Scheduled,
    /// Now.
    Active,
    /// Its time was up.
    Expired,
    /// Taken back.
    Revoked,
    /// Given back.
    Released,
}

impl std::fmt::Display for GrantState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Released => "released",
        })
    }
}

/// `POST /v1/grants/{id}/revoke`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Why, for the person who is dropped and for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/grants/{id}/extend`: files a request that extends the grant. `POST /v1/sessions/{id}/extension` (proxies
/// only): the same, of a live session's person.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// How many seconds more.
    pub duration: u32,
    /// Why.
    pub reason: String,
}

/// `GET /v1/sessions/{id}/extension` (proxies only): how much more time a live session's person could ask for.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExtensionOffer {
    /// Seconds to ask for unless the person says otherwise.
    pub usual: u32,
    /// The most seconds that any path gives now.
    pub longest: u32,
    /// What each path of the policy would lack, least burden first.
    pub paths: Vec<PathGap>,
}
