//! The kind of a fact by itself, for look-ups and messages.

use super::Fact;

/// The kinds, each written once.
macro_rules! kinds {
    ($($fact:ident => $kind:literal,)*) => {
        impl Fact {
            /// Every kind, as it is written in the ledger.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The kind as it is written in the ledger: "request.filed".
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$fact { .. } => $kind,)*
                }
            }
        }
    };
}

kinds! {
    LedgerOpened => "ledger.opened",
    SystemStarted => "system.started",
    FrontCaLoaded => "front-ca.loaded",
    CaStaged => "ca.staged",
    CaActivated => "ca.activated",
    CaRetired => "ca.retired",
    CaCancelled => "ca.cancelled",
    SystemStopped => "system.stopped",
    PolicyLoaded => "policy.loaded",
    PolicyRefused => "policy.refused",
    DirectoryLoaded => "directory.loaded",
    DirectoryRefused => "directory.refused",
    TargetRegistered => "target.registered",
    TargetRemoved => "target.removed",
    TargetKeyMade => "target.key-made",
    TargetKeyDestroyed => "target.key-destroyed",
    TargetKeyUsed => "target.key-used",
    IdentityLoggedIn => "identity.logged-in",
    IdentityLoginRefused => "identity.login-refused",
    FactorAdded => "factor.added",
    FactorRemoved => "factor.removed",
    FactorUsed => "factor.used",
    FactorRefused => "factor.refused",
    RequestFiled => "request.filed",
    RequestRefused => "request.refused",
    RequestReviewed => "request.reviewed",
    ReviewWithdrawn => "request.review-withdrawn",
    RequestApproved => "request.approved",
    RequestDenied => "request.denied",
    RequestCancelled => "request.cancelled",
    RequestExpired => "request.expired",
    GrantActivated => "grant.activated",
    GrantExtended => "grant.extended",
    GrantEnded => "grant.ended",
    CertificateIntended => "certificate.intended",
    CertificateIssued => "certificate.issued",
    CertificateFailed => "certificate.failed",
    SessionOpened => "session.opened",
    SessionRefused => "session.refused",
    SessionCut => "session.cut",
    SessionEnded => "session.ended",
    ChannelOpened => "channel.opened",
    ChannelRefused => "channel.refused",
    ChannelClosed => "channel.closed",
    RecordingStarted => "recording.started",
    RecordingClosed => "recording.closed",
    RecordingFailed => "recording.failed",
    RecordingReplayed => "recording.replayed",
    LockPlaced => "lock.placed",
    LockLifted => "lock.lifted",
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
