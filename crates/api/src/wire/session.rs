//! Sessions: what a proxy asks and reports, and what people see.

use model::{
    ChannelEnd, ChannelKind, IdentityName, Login, Obligations, ProxyName, Pty, RecordingClosed, RecordingId, RequestId,
    SessionEnd, SessionId, TargetName, WayIn,
};
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/sessions` (proxies only): may this person in, and with which certificate?
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The person certificate that authenticated the connection, in the OpenSSH one-line form.
    pub certificate: String,
    /// The target as it was typed.
    pub target: String,
    /// The login as it was typed.
    pub login: String,
    /// The person's address.
    pub address: String,
    /// Which way in.
    #[schema(value_type = String)]
    pub way: WayIn,
    /// The ephemeral key of the proxy, in the OpenSSH one-line form.
    pub public_key: String,
    /// The log-in of the person's own key. It opens this one session.
    pub presence: Presence,
}

/// How a person logged in to the connection that a session is to run on (RFC 4252, section 7). The CA verifies it: over
/// the session identifier, the user name, the service `ssh-connection`, the method `publickey`, the algorithm and the
/// certificate.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The user name, as it was signed: `root+web1`, or `root` behind `-J`.
    pub user: String,
    /// The session identifier of the connection (RFC 4253, section 7.2), in hexadecimal.
    pub session_id: String,
    /// The signature in its wire form, in hexadecimal: algorithm, bytes, and a security key's flags and counter.
    pub signature: String,
}

/// The answer: all that the proxy needs to carry the session.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenedSession {
    /// The session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Its grant.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// Who.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// The target's name.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// As whom.
    #[schema(value_type = String)]
    pub login: Login,
    /// Where the target listens; tried in order.
    pub addresses: Vec<String>,
    /// Pinned host keys in the OpenSSH one-line form. Empty: only a certificate of `host_ca` for `target`.
    pub host_keys: Vec<String>,
    /// The host CA's public key.
    pub host_ca: String,
    /// What opens the target.
    #[serde(flatten)]
    pub credential: Credential,
    /// When the grant ends.
    #[schema(value_type = String)]
    pub deadline: Time,
    /// The one exact command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The obligations of the path that the grant took.
    #[schema(value_type = Object)]
    pub obligations: Obligations,
    /// The place in the ledger from which the proxy must follow the events to miss no revocation.
    pub seq: u64,
}

/// What opens the target of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// The session certificate for the proxy's ephemeral key.
    Certificate(String),
    /// The key that the target knows, in the OpenSSH one-line form. The CA holds the other half, and signs one log-in with
    /// it: `POST /v1/sessions/{id}/target-signature`.
    TargetKey(String),
}

/// `POST /v1/sessions/{id}/target-signature` (the session's proxy only, once, within two minutes): the signature that logs
/// it in to a target that knows no certificates.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignForTarget {
    /// As whom: the session's own login.
    pub login: String,
    /// The session identifier of the proxy's connection to the target (RFC 4253, section 7.2), in hexadecimal.
    pub session_id: String,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetSignature {
    /// The signature in its wire form, in hexadecimal: over the session identifier, and the request to log in as that
    /// user for the service `ssh-connection` with the target's key (RFC 4252, section 7).
    pub signature: String,
}

/// `POST /v1/sessions/{id}/reports` (the session's proxy only).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "report", rename_all_fields = "kebab-case")]
pub enum SessionReport {
    /// The target agreed to run what a channel asks for.
    ChannelOpened {
        /// Its number in the session.
        channel: u32,
        /// What it carries.
        #[schema(value_type = Object)]
        channel_kind: ChannelKind,
        /// Its terminal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        pty: Option<Pty>,
    },
    /// A channel, or a request on one, was refused by the grant.
    ChannelRefused {
        /// What was asked.
        asked: String,
        /// Why not.
        reason: String,
    },
    /// A channel was closed.
    ChannelClosed {
        /// Its number in the session.
        channel: u32,
        /// What passed and how it finished.
        #[serde(flatten)]
        #[schema(value_type = Object)]
        end: ChannelEnd,
    },
    /// A recording was armed.
    RecordingStarted {
        /// The recording.
        #[schema(value_type = String)]
        recording: RecordingId,
        /// Its channel.
        channel: u32,
    },
    /// A recording was closed.
    RecordingClosed {
        /// The recording.
        #[schema(value_type = String)]
        recording: RecordingId,
        /// What it is.
        #[serde(flatten)]
        #[schema(value_type = Object)]
        closed: RecordingClosed,
    },
    /// A recording could not be written.
    RecordingFailed {
        /// The recording.
        #[schema(value_type = String)]
        recording: RecordingId,
        /// What went wrong.
        error: String,
    },
    /// The session ended; for a kill, its receipt.
    Ended {
        /// Why.
        #[schema(value_type = Object)]
        end: SessionEnd,
        /// When nothing passed any more, in either direction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        cut: Option<Time>,
        /// When the person's socket was closed; not before `cut`.
        #[schema(value_type = String)]
        dropped: Time,
    },
}

/// The body of a report: several at once keep their order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionReports {
    /// How many reports of this session the CA has taken before these, as far as the proxy has heard. Those of them
    /// that the ledger has all the same, because an answer was lost, are taken and not entered twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<u64>,
    /// In the order in which they happened.
    pub reports: Vec<SessionReport>,
}

/// The answer: how far the CA came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReportsTaken {
    /// So many of the reports, from the first on, are in the ledger. When there were more, the next one is refused:
    /// a call that begins with it says why.
    pub taken: usize,
}

/// A session as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Its grant.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// Who.
    #[schema(value_type = String)]
    pub identity: IdentityName,
    /// Where.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// As whom.
    #[schema(value_type = String)]
    pub login: Login,
    /// From which address.
    pub address: String,
    /// Through which proxy.
    #[schema(value_type = String)]
    pub proxy: ProxyName,
    /// Since when.
    #[schema(value_type = String)]
    pub opened: Time,
    /// When nothing passed any more, once it ended and as far as its proxy was there to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cut: Option<Time>,
    /// When the person's socket was closed, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ended: Option<Time>,
    /// Why it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// For a kill: from the order to the moment at which nothing passed any more, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_micros: Option<u64>,
    /// For a kill: from the order to the person's closed socket, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_micros: Option<u64>,
    /// Its recordings.
    #[schema(value_type = Vec<String>)]
    pub recordings: Vec<RecordingId>,
}

/// `POST /v1/sessions/{id}/kill`
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Why, for the person who is dropped and for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/recovered` (proxies only): what an earlier run of this proxy left behind when it died. Ends every
/// session of this proxy that is still counted as live, except the listed ones, and closes the recordings. A proxy
/// that runs calls it as well, now and then: the answer to `POST /v1/sessions` may be lost on its way.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Sessions that are live now.
    #[schema(value_type = Vec<String>)]
    pub live: Vec<SessionId>,
    /// Recordings that were closed at start; at most 256 a call.
    pub recordings: Vec<RecoveredRecording>,
    /// Another call with further recordings follows: this one ends no session.
    #[serde(default)]
    pub more: bool,
    /// Seconds. What was opened within these may not have reached the proxy yet, and is left alone. 0 at a start: then
    /// nothing is on its way.
    #[serde(default)]
    pub spare: u32,
}

/// A recording that a crash left open.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveredRecording {
    /// The recording.
    #[schema(value_type = String)]
    pub recording: RecordingId,
    /// Its session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// What is left of it.
    #[schema(value_type = Object)]
    pub closed: RecordingClosed,
}
