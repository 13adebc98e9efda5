//! What can be recomputed from the state: who has what, what is due, and what is oldest. It is never stored.

use std::collections::{BTreeMap, BTreeSet};

use model::{IdentityName, LockId, LockSubject, RecordingId, RequestId, Seq, Serial, SessionId, Timestamp};

use super::{Certificate, PlacedLock, Recording, Request, RequestState, Session, SessionState};

/// What becomes due at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Request(RequestId),
    Lock(LockId),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) pending: BTreeMap<IdentityName, BTreeSet<RequestId>>,
    pub(super) grants: BTreeMap<IdentityName, BTreeSet<RequestId>>,
    pub(super) keys: BTreeMap<IdentityName, BTreeMap<String, RequestId>>,
    pub(super) deadlines: BTreeSet<(Timestamp, Due)>,
    pub(super) live: BTreeMap<IdentityName, BTreeSet<SessionId>>,
    pub(super) under: BTreeMap<RequestId, BTreeSet<SessionId>>,
    pub(super) presences: BTreeMap<String, SessionId>,
    pub(super) locks: BTreeMap<LockSubject, BTreeSet<LockId>>,
    pub(super) done_requests: BTreeMap<Seq, RequestId>,
    pub(super) done_sessions: BTreeMap<Seq, SessionId>,
    pub(super) done_recordings: BTreeMap<Seq, RecordingId>,
    pub(super) certificates: BTreeMap<Seq, Serial>,
}

impl Index {
    pub(super) fn add_request(&mut self, request: &Request) {
        let (who, id) = (&request.spec.identity, &request.id);
        match &request.state {
            RequestState::Pending(_) => add(&mut self.pending, who, id),
            RequestState::Granted(grant) if grant.is_live() => add(&mut self.grants, who, id),
            RequestState::Granted(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => {}
        }
        if let Some(key) = &request.asked.idempotency_key {
            self.keys.entry(who.clone()).or_default().insert(key.clone(), id.clone());
        }
        if let Some(at) = request.deadline() {
            self.deadlines.insert((at, Due::Request(id.clone())));
        }
        if let Some(done) = request.done() {
            self.done_requests.insert(done, id.clone());
        }
    }

    pub(super) fn remove_request(&mut self, request: &Request) {
        let (who, id) = (&request.spec.identity, &request.id);
        match &request.state {
            RequestState::Pending(_) => remove(&mut self.pending, who, id),
            RequestState::Granted(grant) if grant.is_live() => remove(&mut self.grants, who, id),
            RequestState::Granted(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => {}
        }
        if let Some(key) = &request.asked.idempotency_key
            && let Some(keys) = self.keys.get_mut(who)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(who);
            }
        }
        if let Some(at) = request.deadline() {
            self.deadlines.remove(&(at, Due::Request(id.clone())));
        }
        if let Some(done) = request.done() {
            self.done_requests.remove(&done);
        }
    }

    pub(super) fn add_session(&mut self, session: &Session) {
        if let Some(presence) = &session.presence {
            self.presences.insert(presence.sha256.clone(), session.id.clone());
        }
        match &session.state {
            SessionState::Live | SessionState::Cut(_) => {
                add(&mut self.live, &session.identity, &session.id);
                add(&mut self.under, &session.request, &session.id);
            }
            SessionState::Ended(ended) => {
                self.done_sessions.insert(ended.done, session.id.clone());
            }
        }
    }

    pub(super) fn remove_session(&mut self, session: &Session) {
        if let Some(presence) = &session.presence {
            self.presences.remove(&presence.sha256);
        }
        match &session.state {
            SessionState::Live | SessionState::Cut(_) => {
                remove(&mut self.live, &session.identity, &session.id);
                remove(&mut self.under, &session.request, &session.id);
            }
            SessionState::Ended(ended) => {
                self.done_sessions.remove(&ended.done);
            }
        }
    }

    pub(super) fn add_recording(&mut self, recording: &Recording) {
        if let Some(done) = recording.done() {
            self.done_recordings.insert(done, recording.id.clone());
        }
    }

    pub(super) fn add_certificate(&mut self, certificate: &Certificate) {
        self.certificates.insert(certificate.seq, certificate.body.serial);
    }

    pub(super) fn add_lock(&mut self, placed: &PlacedLock) {
        add(&mut self.locks, &placed.lock.subject, &placed.lock.id);
        if let Some(until) = placed.lock.until {
            self.deadlines.insert((until, Due::Lock(placed.lock.id.clone())));
        }
    }

    pub(super) fn remove_lock(&mut self, placed: &PlacedLock) {
        remove(&mut self.locks, &placed.lock.subject, &placed.lock.id);
        if let Some(until) = placed.lock.until {
            self.deadlines.remove(&(until, Due::Lock(placed.lock.id.clone())));
        }
    }
}

fn add<K: Ord + Clone, V: Ord + Clone>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.insert(value.clone());
    } else {
        map.insert(key.clone(), BTreeSet::from([value.clone()]));
    }
}

fn remove<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
