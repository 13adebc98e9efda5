//! Authority as a value.

use model::{IdentityName, Login, Obligations, RequestId, SessionId, TargetName, Timestamp};

/// The proof that a session was allowed: dialling a target and writing a recording take one.
///
/// Only [`decide`](crate::decide) builds one. It speaks of the moment at which it was decided; what happens to its
/// grant later comes as facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) session: SessionId,
    pub(crate) request: RequestId,
    pub(crate) identity: IdentityName,
    pub(crate) target: TargetName,
    pub(crate) login: Login,
    pub(crate) obligations: Obligations,
    pub(crate) ends: Timestamp,
    pub(crate) command: Option<String>,
}

impl Permit {
    /// The session.
    #[must_use]
    pub const fn session(&self) -> &SessionId {
        &self.session
    }

    /// The grant.
    #[must_use]
    pub const fn request(&self) -> &RequestId {
        &self.request
    }

    /// Who.
    #[must_use]
    pub const fn identity(&self) -> &IdentityName {
        &self.identity
    }

    /// Where.
    #[must_use]
    pub const fn target(&self) -> &TargetName {
        &self.target
    }

    /// As whom.
    #[must_use]
    pub const fn login(&self) -> &Login {
        &self.login
    }

    /// What the grant's path asks of the session.
    #[must_use]
    pub const fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// When the grant ends, as of now.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The one exact command that may be run, if the grant is for one only.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }
}
