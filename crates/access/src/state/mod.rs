//! What all facts add up to, and the views of it.

mod apply;
mod authority;
mod certificate;
mod factor;
mod index;
mod lifecycle;
mod others;
mod recording;
mod request;
mod session;
mod target_key;

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Authority, FactorId, IdentityName, LockId, LockSubject, Login, RecordingId, RequestId, Seq, Serial, SessionId,
    TargetName, Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use authority::{Beside, CaKeys};
use certificate::Lockings;
pub use certificate::{Certificate, CertificateState, LastCertificate, PlacedLock};
pub use factor::Factor;
pub(crate) use index::Due;
pub use recording::{Recording, RecordingState};
pub use request::{Closed, Denied, Ended, Extension, Grant, GrantState, Pending, Request, RequestState, Reviewed};
pub use session::{Channel, Cut, CutCause, Session, SessionEnded, SessionState};
pub use target_key::TargetKey;

use index::Index;

use crate::paths::{self, PathGap};

/// What all facts add up to.
///
/// What is over is kept within [`RETENTION`](crate::RETENTION); what is alive is kept whole. It is stored as a
/// snapshot with serde, in a self-describing format such as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    facts: Facts,
    index: Index,
}

/// The part that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Facts {
    next: Seq,
    requests: BTreeMap<RequestId, Request>,
    sessions: BTreeMap<SessionId, Session>,
    locks: BTreeMap<LockId, PlacedLock>,
    recordings: BTreeMap<RecordingId, Recording>,
    certificates: BTreeMap<Serial, Certificate>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    target_keys: BTreeMap<TargetName, TargetKey>,
    lockings: Lockings,
    #[serde(default)]
    factors: BTreeMap<IdentityName, BTreeMap<FactorId, Factor>>,
    /// Absent in snapshots of before a CA key could be replaced.
    #[serde(default)]
    authorities: BTreeMap<Authority, CaKeys>,
    hosts: BTreeMap<TargetName, LastCertificate>,
}

impl State {
    /// The state of an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The place of the next record to apply.
    #[must_use]
    pub const fn next(&self) -> Seq {
        self.facts.next
    }

    /// The next moment at which a [`Tick`](crate::Command::Tick) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.index.deadlines.first().map(|(at, _)| *at)
    }

    /// Every request that is kept, by id.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.facts.requests.values()
    }

    /// One request.
    #[must_use]
    pub fn request(&self, id: &RequestId) -> Option<&Request> {
        self.facts.requests.get(id)
    }

    /// The pending requests.
    pub fn pending(&self) -> impl Iterator<Item = &Request> {
        self.index.pending.values().flatten().filter_map(|id| self.request(id))
    }

    /// The scheduled and active grants.
    pub fn grants(&self) -> impl Iterator<Item = (&Request, &Grant)> {
        self.index.grants.values().flatten().filter_map(|id| self.grant(id))
    }

    /// One grant, ended or not.
    #[must_use]
    pub fn grant(&self, id: &RequestId) -> Option<(&Request, &Grant)> {
        let request = self.request(id)?;
        request.grant().map(|grant| (request, grant))
    }

    /// The active grant of `identity` for `login` on `target` that ends last.
    #[must_use]
    pub fn active_grant(
        &self,
        identity: &IdentityName,
        target: &TargetName,
        login: &Login,
        now: Timestamp,
    ) -> Option<(&Request, &Grant)> {
        self.grants_of(identity)
            .filter(|(request, grant)| {
                request.spec.target == *target && request.spec.login == *login && grant.is_active(now)
            })
            .max_by_key(|(_, grant)| grant.ends)
    }

    /// The scheduled and active grants of one identity.
    pub fn grants_of(&self, identity: &IdentityName) -> impl Iterator<Item = (&Request, &Grant)> {
        self.index.grants.get(identity).into_iter().flatten().filter_map(|id| self.grant(id))
    }

    /// Every session that is kept, by id.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.facts.sessions.values()
    }

    /// One session.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<&Session> {
        self.facts.sessions.get(id)
    }

    /// The sessions whose sockets may be open, cut ones included.
    pub fn live_sessions(&self) -> impl Iterator<Item = &Session> {
        self.index.live.values().flatten().filter_map(|id| self.session(id))
    }

    /// The live sessions under one grant.
    pub fn sessions_under(&self, grant: &RequestId) -> impl Iterator<Item = &Session> {
        self.index.under.get(grant).into_iter().flatten().filter_map(|id| self.session(id))
    }

    /// The locks that were placed and not lifted.
    pub fn locks(&self) -> impl Iterator<Item = &PlacedLock> {
        self.facts.locks.values()
    }

    /// One lock that was not lifted.
    #[must_use]
    pub fn lock(&self, id: &LockId) -> Option<&PlacedLock> {
        self.facts.locks.get(id)
    }

    /// A lock in force that covers `identity` as `login` on `target` under `grant`.
    #[must_use]
    pub fn lock_over(
        &self,
        identity: &IdentityName,
        target: &TargetName,
        login: &Login,
        grant: Option<&RequestId>,
        now: Timestamp,
    ) -> Option<&PlacedLock> {
        let subjects = [
            Some(LockSubject::Everything),
            Some(LockSubject::Identity(identity.clone())),
            Some(LockSubject::Target(target.clone())),
            Some(LockSubject::Login(login.clone(), Some(target.clone()))),
            Some(LockSubject::Login(login.clone(), None)),
            grant.cloned().map(LockSubject::Grant),
        ];
        subjects.into_iter().flatten().find_map(|subject| self.lock_on(&subject, now))
    }

    /// When the latest lock fell on an identity, lifted or not. What was handed out before is dead.
    ///
    /// The last [`RETENTION`](crate::RETENTION) of them are kept; for whom none is, the latest that was forgotten
    /// counts.
    #[must_use]
    pub fn locked_at(&self, identity: &IdentityName) -> Option<Timestamp> {
        self.facts.lockings.of(identity)
    }

    /// A lock in force on exactly this subject.
    #[must_use]
    pub fn lock_on(&self, subject: &LockSubject, now: Timestamp) -> Option<&PlacedLock> {
        if self.index.locks.is_empty() {
            return None;
        }
        let ids = self.index.locks.get(subject)?;
        ids.iter().filter_map(|id| self.lock(id)).find(|placed| placed.in_force(now))
    }

    /// Every recording that is kept, by id.
    pub fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.facts.recordings.values()
    }

    /// One recording.
    #[must_use]
    pub fn recording(&self, id: &RecordingId) -> Option<&Recording> {
        self.facts.recordings.get(id)
    }

    /// Every certificate that is kept, by serial.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.facts.certificates.values()
    }

    /// The last host certificate that was issued for a target.
    #[must_use]
    pub fn host_certificate(&self, target: &TargetName) -> Option<&LastCertificate> {
        self.facts.hosts.get(target)
    }

    /// One certificate.
    #[must_use]
    pub fn certificate(&self, serial: Serial) -> Option<&Certificate> {
        self.facts.certificates.get(&serial)
    }

    /// What each path of a pending request still lacks, least burden first; empty when it is not pending.
    ///
    /// The paths are those that policy offered when it was filed.
    #[must_use]
    pub fn missing(&self, request: &RequestId, now: Timestamp) -> Vec<PathGap> {
        let Some(request) = self.request(request) else { return Vec::new() };
        match &request.state {
            RequestState::Pending(pending) => {
                paths::gaps(&pending.paths, &paths::Case::of(self, request, pending, now))
            }
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_) => Vec::new(),
        }
    }

    /// The session that a log-in opened, known by its SHA-256.
    pub(crate) fn session_by(&self, presence: &str) -> Option<&Session> {
        self.index.presences.get(presence).and_then(|id| self.session(id))
    }

    /// The request that an identity filed with this idempotency key.
    pub(crate) fn keyed(&self, identity: &IdentityName, key: &str) -> Option<&Request> {
        self.index.keys.get(identity)?.get(key).and_then(|id| self.request(id))
    }

    /// The pending requests of one identity.
    pub(crate) fn pending_of(&self, identity: &IdentityName) -> impl Iterator<Item = &Request> {
        self.index.pending.get(identity).into_iter().flatten().filter_map(|id| self.request(id))
    }

    /// How many live sessions an identity has.
    pub(crate) fn live_count(&self, identity: &IdentityName) -> usize {
        self.index.live.get(identity).map_or(0, BTreeSet::len)
    }

    /// What is due at `now`, oldest first.
    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = &Due> {
        self.index.deadlines.iter().take_while(move |(at, _)| *at <= now).map(|(_, due)| due)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.facts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let facts = Facts::deserialize(deserializer)?;
        let mut index = Index::default();
        facts.requests.values().for_each(|request| index.add_request(request));
        facts.sessions.values().for_each(|session| index.add_session(session));
        facts.recordings.values().for_each(|recording| index.add_recording(recording));
        facts.certificates.values().for_each(|certificate| index.add_certificate(certificate));
        facts.locks.values().for_each(|placed| index.add_lock(placed));
        Ok(Self { facts, index })
    }
}
