//! The kind of a fact by itself, for look-ups and messages.

use super::Fact;

impl Fact {
    /// The kind as it is written in the ledger: "request.filed".
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LedgerOpened { .. } => "ledger.opened",
            Self::SystemStarted { .. } => "system.started",
            Self::FrontCaLoaded { .. } => "front-ca.loaded",
            Self::SystemStopped {} => "system.stopped",
            Self::PolicyLoaded { .. } => "policy.loaded",
            Self::PolicyRefused { .. } => "policy.refused",
            Self::DirectoryLoaded { .. } => "directory.loaded",
            Self::DirectoryRefused { .. } => "directory.refused",
            Self::TargetRegistered { .. } => "target.registered",
            Self::TargetRemoved { .. } => "target.removed",
            Self::IdentityLoggedIn { .. } => "identity.logged-in",
            Self::IdentityLoginRefused { .. } => "identity.login-refused",
            Self::RequestFiled { .. } => "request.filed",
            Self::RequestRefused { .. } => "request.refused",
            Self::RequestReviewed { .. } => "request.reviewed",
            Self::ReviewWithdrawn { .. } => "request.review-withdrawn",
            Self::RequestApproved { .. } => "request.approved",
            Self::RequestDenied { .. } => "request.denied",
            Self::RequestCancelled { .. } => "request.cancelled",
            Self::RequestExpired { .. } => "request.expired",
            Self::GrantActivated { .. } => "grant.activated",
            Self::GrantExtended { .. } => "grant.extended",
            Self::GrantEnded { .. } => "grant.ended",
            Self::CertificateIntended { .. } => "certificate.intended",
            Self::CertificateIssued { .. } => "certificate.issued",
            Self::CertificateFailed { .. } => "certificate.failed",
            Self::SessionOpened { .. } => "session.opened",
            Self::SessionRefused { .. } => "session.refused",
            Self::SessionCut { .. } => "session.cut",
            Self::SessionEnded { .. } => "session.ended",
            Self::ChannelOpened { .. } => "channel.opened",
            Self::ChannelRefused { .. } => "channel.refused",
            Self::ChannelClosed { .. } => "channel.closed",
            Self::RecordingStarted { .. } => "recording.started",
            Self::RecordingClosed { .. } => "recording.closed",
            Self::RecordingFailed { .. } => "recording.failed",
            Self::RecordingReplayed { .. } => "recording.replayed",
            Self::LockPlaced { .. } => "lock.placed",
            Self::LockLifted { .. } => "lock.lifted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RequestId, Serial, SessionId};

    #[test]
    fn the_kind_is_what_is_written() {
        let request = RequestId::from_random(1);
        let session = SessionId::from_random(2);
        for fact in [
            Fact::SystemStopped {},
            Fact::ReviewWithdrawn { request: request.clone() },
            Fact::GrantActivated { request },
            Fact::CertificateFailed { serial: Serial::from_random(3), error: String::new() },
            Fact::SessionCut { session, reason: String::new() },
        ] {
            let written = serde_json::to_value(&fact).unwrap();
            assert_eq!(written.get("kind").and_then(|kind| kind.as_str()), Some(fact.kind()));
        }
    }
}
