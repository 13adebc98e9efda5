//! Recordings as the ledger knows them; the files are the vault's.

use model::{
    IdentityName, Login, ProxyName, RecordingClosed, RecordingId, RequestId, Seq, SessionId, TargetName, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The recording of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recording {
    /// Its id.
    pub id: RecordingId,
    /// Its session.
    pub session: SessionId,
    /// Its grant.
    pub request: RequestId,
    /// Whose session.
    pub identity: IdentityName,
    /// Where.
    pub target: TargetName,
    /// As whom.
    pub login: Login,
    /// The proxy that writes it.
    pub proxy: ProxyName,
    /// The channel's number in the session.
    pub channel: u32,
    /// When it was armed.
    pub started: Timestamp,
    /// Whether it is closed.
    pub state: RecordingState,
}

/// Whether a recording is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingState {
    /// It is being written.
    Open,
    /// It could not be written. What is there of it may still be closed later.
    Failed {
        /// What went wrong.
        error: String,
        /// When.
        at: Timestamp,
        /// The record that said so.
        done: Seq,
    },
    /// It is closed, and its digest is in the ledger.
    Closed {
        /// What it is.
        closed: RecordingClosed,
        /// What went wrong before, if something did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// When.
        at: Timestamp,
        /// The record that ended it first.
        done: Seq,
    },
}

impl Recording {
    /// The state in one word: "open", "failed", "closed".
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.state {
            RecordingState::Open => "open",
            RecordingState::Failed { .. } => "failed",
            RecordingState::Closed { .. } => "closed",
        }
    }

    pub(super) const fn done(&self) -> Option<Seq> {
        match self.state {
            RecordingState::Open => None,
            RecordingState::Failed { done, .. } | RecordingState::Closed { done, .. } => Some(done),
        }
    }

    pub(super) fn failed(self, error: String, at: Timestamp, done: Seq) -> Self {
        Self { state: RecordingState::Failed { error, at, done }, ..self }
    }

    pub(super) fn closed(self, closed: RecordingClosed, at: Timestamp, seq: Seq) -> Self {
        let (failure, done) = match self.state {
            RecordingState::Failed { error, done, .. } => (Some(error), done),
            RecordingState::Open | RecordingState::Closed { .. } => (None, seq),
        };
        Self { state: RecordingState::Closed { closed, failure, at, done }, ..self }
    }
}
