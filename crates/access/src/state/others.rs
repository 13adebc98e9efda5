//! The steps of sessions, recordings, certificates and locks, and what is forgotten.

use std::fmt::Display;

use model::{
    CertificateProfile, ChannelEnd, Lock, LockId, LockSubject, Principal, RecordingClosed, RecordingId, Serial,
    SessionId,
};

use super::apply::At;
use super::{
    Certificate, CertificateState, Channel, Cut, CutCause, GrantState, PlacedLock, Recording, RecordingState,
    RequestState, Session, State,
};
use crate::corruption::{Problem, unknown};
use crate::limits::RETENTION;

impl State {
    pub(super) fn open_session(&mut self, session: Session) -> Result<(), Problem> {
        let (request, grant) = self.grant(&session.request).ok_or_else(|| unknown("grant", &session.request))?;
        match grant.state {
            GrantState::Active => {}
            GrantState::Scheduled | GrantState::Ended(_) => {
                let (id, state) = (request.id.to_string(), request.status());
                return Err(Problem::State { what: "grant", id, state });
            }
        }
        let spec = &request.spec;
        if (&spec.identity, &spec.target, &spec.login) != (&session.identity, &session.target, &session.login) {
            return Err(Problem::Actor { actor: session.identity.to_string() });
        }
        if self.facts.sessions.contains_key(&session.id) {
            return Err(duplicate("session", &session.id));
        }
        if let Some(presence) = &session.presence
            && self.session_by(&presence.sha256).is_some()
        {
            return Err(duplicate("presence", &presence.sha256));
        }
        self.index.add_session(&session);
        self.facts.sessions.insert(session.id.clone(), session);
        Ok(())
    }

    pub(super) fn open_channel(&mut self, session: &SessionId, number: u32, channel: Channel) -> Result<(), Problem> {
        let known = self.live_session(session)?.channels.get(&number);
        if known.is_some_and(|known| known.end.is_none()) {
            return Err(duplicate("channel", &format!("{number} of {session}")));
        }
        self.session_step(session, |live| live.channel_opened(number, channel))
    }

    pub(super) fn close_channel(&mut self, session: &SessionId, number: u32, end: &ChannelEnd) -> Result<(), Problem> {
        let known = self.live_session(session)?.channels.get(&number);
        if known.is_none_or(|known| known.end.is_some()) {
            return Err(unknown("open channel", &format!("{number} of {session}")));
        }
        self.session_step(session, |live| live.channel_closed(number, end.clone()))
    }

    pub(super) fn live_session(&self, id: &SessionId) -> Result<&Session, Problem> {
        let session = self.session(id).ok_or_else(|| unknown("session", id))?;
        if session.is_live() {
            Ok(session)
        } else {
            Err(Problem::State { what: "session", id: id.to_string(), state: session.status() })
        }
    }

    /// Takes a live session out, lets `step` consume it, and puts it back, with the index in step.
    pub(super) fn session_step(
        &mut self,
        id: &SessionId,
        step: impl FnOnce(Session) -> Session,
    ) -> Result<(), Problem> {
        self.live_session(id)?;
        if let Some(session) = self.facts.sessions.remove(id) {
            self.index.remove_session(&session);
            let session = step(session);
            self.index.add_session(&session);
            self.facts.sessions.insert(id.clone(), session);
        }
        Ok(())
    }

    /// Counts a fact other than its end that a proxy has told of its session, ended or not. One that is forgotten
    /// counts nothing.
    pub(super) fn tell(&mut self, session: &SessionId) -> Result<(), Problem> {
        if let Some(session) = self.facts.sessions.get_mut(session) {
            session.told = session.told.saturating_add(1);
        }
        Ok(())
    }

    /// Marks sessions as to be dropped. They stay live until their proxy says that they are.
    pub(super) fn cut(&mut self, sessions: Vec<SessionId>, cause: &CutCause, at: &At<'_>) {
        for id in sessions {
            if let Some(session) = self.facts.sessions.remove(&id) {
                let cut = Cut { cause: cause.clone(), by: at.actor.clone(), at: at.time };
                self.facts.sessions.insert(id, session.cut(cut));
            }
        }
    }

    pub(super) fn start_recording(
        &mut self,
        recording: &RecordingId,
        session: &SessionId,
        channel: u32,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        let live = self.live_session(session)?;
        if self.facts.recordings.contains_key(recording) {
            return Err(duplicate("recording", recording));
        }
        let recording = Recording {
            id: recording.clone(),
            session: session.clone(),
            request: live.request.clone(),
            identity: live.identity.clone(),
            target: live.target.clone(),
            login: live.login.clone(),
            proxy: live.proxy.clone(),
            channel,
            started: at.time,
            state: RecordingState::Open,
        };
        self.facts.recordings.insert(recording.id.clone(), recording);
        Ok(())
    }

    pub(super) fn close_recording(
        &mut self,
        id: &RecordingId,
        closed: RecordingClosed,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        let open = |state: &RecordingState| match state {
            RecordingState::Open | RecordingState::Failed { .. } => true,
            RecordingState::Closed { .. } => false,
        };
        self.recording_step(id, open, |recording| recording.closed(closed, at.time, at.seq))
    }

    pub(super) fn fail_recording(&mut self, id: &RecordingId, error: &str, at: &At<'_>) -> Result<(), Problem> {
        let open = |state: &RecordingState| match state {
            RecordingState::Open => true,
            RecordingState::Failed { .. } | RecordingState::Closed { .. } => false,
        };
        self.recording_step(id, open, |recording| recording.failed(error.to_owned(), at.time, at.seq))
    }

    fn recording_step(
        &mut self,
        id: &RecordingId,
        allowed: impl FnOnce(&RecordingState) -> bool,
        step: impl FnOnce(Recording) -> Recording,
    ) -> Result<(), Problem> {
        let recording = self.recording(id).ok_or_else(|| unknown("recording", id))?;
        if !allowed(&recording.state) {
            let state = recording.status();
            return Err(Problem::State { what: "recording", id: id.to_string(), state });
        }
        if let Some(recording) = self.facts.recordings.remove(id) {
            let recording = step(recording);
            self.index.add_recording(&recording);
            self.facts.recordings.insert(id.clone(), recording);
        }
        Ok(())
    }

    pub(super) fn intend(&mut self, certificate: Certificate) -> Result<(), Problem> {
        let serial = certificate.body.serial;
        if self.facts.certificates.contains_key(&serial) {
            return Err(duplicate("certificate", &serial));
        }
        self.index.add_certificate(&certificate);
        self.facts.certificates.insert(serial, certificate);
        Ok(())
    }

    pub(super) fn settle(&mut self, serial: Serial, state: CertificateState) -> Result<(), Problem> {
        let known = self.certificate(serial).ok_or_else(|| unknown("certificate", &serial))?;
        match known.state {
            CertificateState::Intended => {}
            CertificateState::Issued { .. } | CertificateState::Failed { .. } => {
                let state = known.status();
                return Err(Problem::State { what: "certificate", id: serial.to_string(), state });
            }
        }
        if let Some(known) = self.facts.certificates.remove(&serial) {
            let known = known.settled(state);
            if let CertificateState::Issued { .. } = known.state {
                self.remember(&known);
            }
            self.facts.certificates.insert(serial, known);
        }
        Ok(())
    }

    /// Keeps of an issued certificate who has it, longer than the certificate is kept itself.
    fn remember(&mut self, issued: &Certificate) {
        match issued.body.profile {
            CertificateProfile::Person => {
                let request = issued.request.as_ref().and_then(|id| self.facts.requests.get_mut(id));
                if let Some(RequestState::Granted(grant)) = request.map(|request| &mut request.state) {
                    grant.certificate = Some(issued.last());
                }
            }
            CertificateProfile::Host => {
                for principal in &issued.body.principals {
                    if let Principal::Host(name) = principal {
                        self.facts.hosts.insert(name.clone(), issued.last());
                    }
                }
            }
            CertificateProfile::Session | CertificateProfile::Front => {}
        }
    }

    pub(super) fn place_lock(&mut self, lock: &Lock, at: &At<'_>) -> Result<(), Problem> {
        if self.facts.locks.contains_key(&lock.id) {
            return Err(duplicate("lock", &lock.id));
        }
        let placed = PlacedLock { lock: lock.clone(), by: at.actor.clone(), at: at.time };
        if let LockSubject::Identity(name) = &lock.subject {
            self.facts.lockings.fell(name, at.time);
        }
        self.index.add_lock(&placed);
        self.facts.locks.insert(lock.id.clone(), placed);
        let covered = self.live_sessions().filter(|session| {
            let Session { identity, target, login, request, .. } = session;
            lock.subject.covers(identity, target, login, Some(request))
        });
        let covered = covered.map(|session| session.id.clone()).collect();
        self.cut(covered, &CutCause::Lock(lock.id.clone()), at);
        Ok(())
    }

    pub(super) fn lift_lock(&mut self, lock: &LockId) -> Result<(), Problem> {
        let placed = self.facts.locks.remove(lock).ok_or_else(|| unknown("lock", lock))?;
        self.index.remove_lock(&placed);
        Ok(())
    }

    /// Drops the oldest of what is over, beyond what is kept.
    pub(super) fn forget(&mut self) {
        while self.index.done_requests.len() > RETENTION {
            let Some((_, id)) = self.index.done_requests.pop_first() else { break };
            if let Some(request) = self.facts.requests.remove(&id) {
                self.index.remove_request(&request);
            }
        }
        while self.index.done_sessions.len() > RETENTION {
            let Some((_, id)) = self.index.done_sessions.pop_first() else { break };
            if let Some(session) = self.facts.sessions.remove(&id) {
                self.index.remove_session(&session);
            }
        }
        while self.index.done_recordings.len() > RETENTION {
            let Some((_, id)) = self.index.done_recordings.pop_first() else { break };
            self.facts.recordings.remove(&id);
        }
        while self.index.certificates.len() > RETENTION {
            let Some((_, serial)) = self.index.certificates.pop_first() else { break };
            self.facts.certificates.remove(&serial);
        }
    }
}

pub(super) fn duplicate(what: &'static str, id: &impl Display) -> Problem {
    Problem::Duplicate { what, id: id.to_string() }
}
