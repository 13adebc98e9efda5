//! What a fact is about, for look-ups.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::{Presence, RequestSpec};

/// One thing that a fact is about: "identity:alice", "target:web1", "login:root@web1", "session:ses-…".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// As it is read from a query.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind}:{name}"))
    }
}

impl Fact {
    /// What the fact is about, sorted and without repeats. The asker of a request counts as well as its target.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<Subject> {
        let mut subjects = BTreeSet::new();
        let mut add = |subject: Subject| {
            subjects.insert(subject);
        };
        match self {
            Self::LedgerOpened { .. }
            | Self::SystemStarted { .. }
            | Self::FrontCaLoaded { .. }
            | Self::SystemStopped {}
            | Self::PolicyLoaded { .. }
            | Self::PolicyRefused { .. }
            | Self::DirectoryLoaded { .. }
            | Self::DirectoryRefused { .. } => {}
            Self::CaStaged { ca, .. }
            | Self::CaActivated { ca, .. }
            | Self::CaRetired { ca, .. }
            | Self::CaCancelled { ca, .. } => add(Subject::of("ca", ca)),
            Self::TargetRegistered { target, .. }
            | Self::TargetRemoved { target }
            | Self::TargetKeyMade { target, .. }
            | Self::TargetKeyDestroyed { target, .. } => add(Subject::of("target", target)),
            Self::TargetKeyUsed { session, target, .. } => {
                add(Subject::of("session", session));
                add(Subject::of("target", target));
            }
            Self::IdentityLoggedIn { identity, presence, .. } => {
                add_presence(&mut add, presence.as_ref());
                add(Subject::of("identity", identity));
            }
            Self::IdentityLoginRefused { identity, .. } | Self::FactorRefused { identity, .. } => {
                add(Subject::of("identity", identity));
            }
            Self::FactorAdded { identity, factor, .. }
            | Self::FactorRemoved { identity, factor, .. }
            | Self::FactorUsed { identity, factor, .. } => {
                add(Subject::of("identity", identity));
                add(Subject::of("factor", factor));
            }
            Self::RequestFiled { request, spec, .. } => {
                add(Subject::of("request", request));
                add_spec(&mut add, spec);
            }
            Self::RequestRefused { spec, .. } => add_spec(&mut add, spec),
            Self::RequestReviewed { request, .. }
            | Self::ReviewWithdrawn { request }
            | Self::RequestApproved { request, .. }
            | Self::RequestDenied { request }
            | Self::RequestCancelled { request }
            | Self::RequestExpired { request }
            | Self::GrantActivated { request }
            | Self::GrantEnded { request, .. } => add(Subject::of("request", request)),
            Self::GrantExtended { request, by, .. } => {
                add(Subject::of("request", request));
                add(Subject::of("request", by));
            }
            Self::CertificateIntended { certificate, request, .. } => {
                add(Subject::of("certificate", certificate.serial));
                if let Some(request) = request {
                    add(Subject::of("request", request));
                }
            }
            Self::CertificateIssued { serial, .. } | Self::CertificateFailed { serial, .. } => {
                add(Subject::of("certificate", serial));
            }
            Self::SessionOpened { session, request, identity, target, login, presence, .. } => {
                add_presence(&mut add, presence.as_ref());
                add(Subject::of("session", session));
                add(Subject::of("request", request));
                add(Subject::of("identity", identity));
                add(Subject::of("target", target));
                add(Subject::of("login", format_args!("{login}@{target}")));
            }
            Self::SessionRefused { identity, .. } => add(Subject::of("identity", identity)),
            Self::SessionCut { session, .. }
            | Self::SessionEnded { session, .. }
            | Self::ChannelOpened { session, .. }
            | Self::ChannelRefused { session, .. }
            | Self::ChannelClosed { session, .. } => add(Subject::of("session", session)),
            Self::RecordingStarted { recording, session, .. }
            | Self::RecordingClosed { recording, session, .. }
            | Self::RecordingFailed { recording, session, .. }
            | Self::RecordingReplayed { recording, session } => {
                add(Subject::of("recording", recording));
                add(Subject::of("session", session));
            }
            Self::LockPlaced { lock } => {
                add(Subject::of("lock", &lock.id));
                add(Subject::from_text(lock.subject.to_string()));
            }
            Self::LockLifted { lock, .. } => add(Subject::of("lock", lock)),
        }
        subjects
    }
}

fn add_presence(add: &mut impl FnMut(Subject), presence: Option<&Presence>) {
    if let Some(presence) = presence {
        add(Subject::of("presence", &presence.sha256));
    }
}

fn add_spec(add: &mut impl FnMut(Subject), spec: &RequestSpec) {
    add(Subject::of("identity", &spec.identity));
    add(Subject::of("target", &spec.target));
    add(Subject::of("login", format_args!("{}@{}", spec.login, spec.target)));
}
