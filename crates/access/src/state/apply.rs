//! Adding one recorded fact to the state. Facts are checked for sense, not for right: the right was decided when they
//! were made, and an old ledger must load whatever the rules are by then.

use std::collections::BTreeSet;

use model::{Actor, Entry, Fact, GrantEnd, IdentityName, PolicyPath, Record, RequestId, Seq, Timestamp, Verdict};

use super::request::Approval;
use super::{
    Certificate, CertificateState, Channel, Cut, CutCause, Ended, Grant, GrantState, Pending, PlacedLock, Recording,
    RecordingState, Request, RequestState, Reviewed, Session, SessionState, State,
};
use crate::corruption::{Corruption, Problem};
use crate::limits::RETENTION;

/// A step that its state does not allow: the state unchanged, and why.
type Stuck = Box<(RequestState, Problem)>;

/// Where and when a fact stands.
struct At<'a> {
    seq: Seq,
    time: Timestamp,
    actor: &'a Actor,
}

impl State {
    /// Adds one recorded fact. The cost is logarithmic in what is kept; a lock and the end of a grant also touch each
    /// session that they cut.
    ///
    /// # Errors
    /// When the fact cannot follow from those before it. The state is left as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), Corruption> {
        let corrupt = |problem| Corruption { seq: record.seq, kind: kind(&record.entry.fact), problem };
        if record.seq != self.facts.next {
            return Err(corrupt(Problem::Gap { expected: self.facts.next }));
        }
        let Entry { time, actor, correlation: _, fact } = &record.entry;
        self.apply_fact(&At { seq: record.seq, time: *time, actor }, fact).map_err(corrupt)?;
        self.facts.next = record.seq.next();
        self.forget();
        Ok(())
    }

    fn apply_fact(&mut self, at: &At<'_>, fact: &Fact) -> Result<(), Problem> {
        match fact {
            Fact::LedgerOpened { .. } => match at.seq {
                Seq(0) => Ok(()),
                _ => Err(Problem::NotFirst),
            },
            Fact::SystemStarted { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::IdentityLoggedIn { .. }
            | Fact::IdentityLoginRefused { .. }
            | Fact::RequestRefused { .. }
            | Fact::SessionRefused { .. }
            | Fact::RecordingReplayed { .. } => Ok(()),
            Fact::RequestFiled { request, spec, asked, paths } => self.file(Request {
                id: request.clone(),
                spec: spec.clone(),
                asked: asked.clone(),
                filed: at.time,
                state: RequestState::Pending(Pending { paths: paths.clone(), reviews: Vec::new() }),
            }),
            Fact::RequestReviewed { request, verdict, groups, comment } => {
                let by = self.reviewer(request, at)?;
                let review = Reviewed {
                    by,
                    at: at.time,
                    verdict: verdict.clone(),
                    groups: groups.clone(),
                    comment: comment.clone(),
                    withdrawn: None,
                };
                self.pending_step(request, |pending| {
                    if pending.standing().any(|standing| standing.by == review.by) {
                        let id = format!("of {} on {request}", review.by);
                        return Err((pending, Problem::Duplicate { what: "review", id }));
                    }
                    Ok(RequestState::Pending(pending.reviewed(review)))
                })
            }
            Fact::ReviewWithdrawn { request } => {
                let by = self.reviewer(request, at)?;
                self.pending_step(request, |pending| {
                    if pending.standing().all(|standing| standing.by != by) {
                        return Err((pending, unknown("review", format!("of {by} on {request}"))));
                    }
                    Ok(RequestState::Pending(pending.withdrawn(&by, at.time)))
                })
            }
            Fact::RequestApproved { request, path, approvers, starts, ends } => {
                self.approve(request, path, approvers, *starts, *ends, at)
            }
            Fact::RequestDenied { request } => {
                self.pending_step(request, |pending| match pending.denial().map(|review| review.by.clone()) {
                    Some(by) => Ok(RequestState::Denied(pending.denied(by, at.time, at.seq))),
                    None => Err((pending, Problem::Approvers)),
                })
            }
            Fact::RequestCancelled { request } => self.pending_step(request, |pending| {
                Ok(RequestState::Cancelled(pending.closed(at.actor.clone(), at.time, at.seq)))
            }),
            Fact::RequestExpired { request } => self.pending_step(request, |pending| {
                Ok(RequestState::Expired(pending.closed(at.actor.clone(), at.time, at.seq)))
            }),
            Fact::GrantActivated { request } => self.grant_step(request, |grant| match grant.state {
                GrantState::Scheduled => Ok(grant.activated()),
                GrantState::Active | GrantState::Ended(_) => Err((grant, None)),
            }),
            Fact::GrantExtended { request, by, from, to } => self.extend(request, by, *from, *to),
            Fact::GrantEnded { request, end, reason } => self.end_grant(request, *end, reason.as_ref(), at),
            Fact::CertificateIntended { certificate, request, tbs_sha256: _ } => {
                let serial = certificate.serial;
                if self.facts.certificates.contains_key(&serial) {
                    return Err(Problem::Duplicate { what: "certificate", id: serial.to_string() });
                }
                let certificate = Certificate {
                    body: certificate.clone(),
                    request: request.clone(),
                    by: at.actor.clone(),
                    intended: at.time,
                    state: CertificateState::Intended,
                    seq: at.seq,
                };
                self.index.add_certificate(&certificate);
                self.facts.certificates.insert(serial, certificate);
                Ok(())
            }
            Fact::CertificateIssued { serial, sha256 } => {
                self.settle(*serial, CertificateState::Issued { sha256: sha256.clone(), at: at.time })
            }
            Fact::CertificateFailed { serial, error } => {
                self.settle(*serial, CertificateState::Failed { error: error.clone(), at: at.time })
            }
            Fact::SessionOpened { session, request, identity, target, login, address, proxy, way } => self
                .open_session(Session {
                    id: session.clone(),
                    request: request.clone(),
                    identity: identity.clone(),
                    target: target.clone(),
                    login: login.clone(),
                    address: address.clone(),
                    proxy: proxy.clone(),
                    way: *way,
                    opened: at.time,
                    channels: std::collections::BTreeMap::new(),
                    channels_opened: 0,
                    bytes_in: 0,
                    bytes_out: 0,
                    state: SessionState::Live,
                }),
            Fact::SessionCut { session, reason } => {
                let cause = CutCause::Order(reason.clone());
                let cut = Cut { cause, by: at.actor.clone(), at: at.time };
                self.session_step(session, |live| Ok(live.cut(cut)))
            }
            Fact::SessionEnded { session, end, dropped } => {
                self.session_step(session, |live| Ok(live.ended(end.clone(), *dropped, at.seq)))
            }
            Fact::ChannelOpened { session, channel, channel_kind, pty } => self.session_step(session, |live| {
                if live.channels.get(channel).is_some_and(|known| known.end.is_none()) {
                    let problem = Problem::Duplicate { what: "channel", id: format!("{channel} of {}", live.id) };
                    return Err((live, problem));
                }
                let (kind, pty) = (channel_kind.clone(), pty.clone());
                Ok(live.channel_opened(*channel, Channel { kind, pty, opened: at.time, end: None }))
            }),
            Fact::ChannelRefused { session, .. } => self.session_step(session, Ok),
            Fact::ChannelClosed { session, channel, end } => self.session_step(session, |live| {
                if live.channels.get(channel).is_none_or(|known| known.end.is_some()) {
                    let problem = unknown("open channel", format!("{channel} of {}", live.id));
                    return Err((live, problem));
                }
                Ok(live.channel_closed(*channel, end.clone()))
            }),
            Fact::RecordingStarted { recording, session, channel } => {
                let live = self.live_session(session)?;
                if self.facts.recordings.contains_key(recording) {
                    return Err(Problem::Duplicate { what: "recording", id: recording.to_string() });
                }
                let recording = Recording {
                    id: recording.clone(),
                    session: session.clone(),
                    request: live.request.clone(),
                    identity: live.identity.clone(),
                    target: live.target.clone(),
                    login: live.login.clone(),
                    proxy: live.proxy.clone(),
                    channel: *channel,
                    started: at.time,
                    state: RecordingState::Open,
                };
                self.facts.recordings.insert(recording.id.clone(), recording);
                Ok(())
            }
            Fact::RecordingClosed { recording, session: _, closed } => self.recording_step(
                recording,
                |state| !matches!(state, RecordingState::Closed { .. }),
                |recording| recording.closed(closed.clone(), at.time, at.seq),
            ),
            Fact::RecordingFailed { recording, session: _, error } => self.recording_step(
                recording,
                |state| matches!(state, RecordingState::Open),
                |recording| recording.failed(error.clone(), at.time, at.seq),
            ),
            Fact::LockPlaced { lock } => {
                if self.facts.locks.contains_key(&lock.id) {
                    return Err(Problem::Duplicate { what: "lock", id: lock.id.to_string() });
                }
                let placed = PlacedLock { lock: lock.clone(), by: at.actor.clone(), at: at.time };
                self.index.add_lock(&placed);
                self.facts.locks.insert(lock.id.clone(), placed);
                let covered = self.live_sessions().filter(|session| {
                    let Session { identity, target, login, request, .. } = session;
                    lock.subject.covers(identity, target, login, Some(request))
                });
                let covered: Vec<_> = covered.map(|session| session.id.clone()).collect();
                self.cut(covered, &CutCause::Lock(lock.id.clone()), at);
                Ok(())
            }
            Fact::LockLifted { lock } => {
                let placed = self.facts.locks.remove(lock).ok_or_else(|| unknown("lock", lock))?;
                self.index.remove_lock(&placed);
                Ok(())
            }
        }
    }

    fn file(&mut self, request: Request) -> Result<(), Problem> {
        if self.facts.requests.contains_key(&request.id) {
            return Err(Problem::Duplicate { what: "request", id: request.id.to_string() });
        }
        if let Some(key) = &request.asked.idempotency_key
            && self.keyed(&request.spec.identity, key).is_some()
        {
            return Err(Problem::Duplicate { what: "idempotency key", id: format!("{key:?}") });
        }
        self.index.add_request(&request);
        self.facts.requests.insert(request.id.clone(), request);
        Ok(())
    }

    /// Who reviewed: a person, and never the asker.
    fn reviewer(&self, request: &RequestId, at: &At<'_>) -> Result<IdentityName, Problem> {
        let asker = &self.request(request).ok_or_else(|| unknown("request", request))?.spec.identity;
        match at.actor {
            Actor::Identity(name) if name != asker => Ok(name.clone()),
            Actor::Identity(_) | Actor::Proxy(_) | Actor::System => Err(Problem::Actor { actor: at.actor.to_string() }),
        }
    }

    fn approve(
        &mut self,
        request: &RequestId,
        path: &PolicyPath,
        approvers: &BTreeSet<IdentityName>,
        starts: Timestamp,
        ends: Timestamp,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        let extends = self.request(request).and_then(|known| known.spec.extends.clone());
        if let Some(grant) = &extends {
            self.grant(grant).ok_or_else(|| unknown("grant", grant))?;
        }
        self.pending_step(request, |pending| {
            if ends <= starts {
                return Err((pending, Problem::Times { from: starts, to: ends }));
            }
            let approved = |review: &Reviewed| match review.verdict {
                Verdict::Approve { .. } => true,
                Verdict::Deny => false,
            };
            let yes: BTreeSet<_> = pending.standing().filter(|review| approved(review)).map(|r| &r.by).collect();
            let counted = u32::try_from(approvers.len()).unwrap_or(u32::MAX);
            let borne_out = approvers.iter().all(|name| yes.contains(name)) && pending.denial().is_none();
            if !borne_out || counted < path.obligations.approvals {
                return Err((pending, Problem::Approvers));
            }
            let approval = Approval { path: path.clone(), approvers: approvers.clone(), at: at.time, ends };
            Ok(match extends {
                Some(grant) => RequestState::Extended(pending.extended(approval, grant, at.seq)),
                None => RequestState::Granted(pending.granted(approval, starts)),
            })
        })
    }

    fn extend(&mut self, request: &RequestId, by: &RequestId, from: Timestamp, to: Timestamp) -> Result<(), Problem> {
        match self.request(by).map(|extension| &extension.state) {
            Some(RequestState::Extended(extension)) if extension.of == *request && extension.ends == to => {}
            Some(other) => {
                return Err(Problem::State { what: "request", id: by.to_string(), state: other.word() });
            }
            None => return Err(unknown("request", by)),
        }
        self.grant_step(request, |grant| {
            let twice = grant.extended_by.as_ref() == Some(by);
            if twice || grant.ends != from || to <= from {
                return Err((grant, Some(Problem::Times { from, to })));
            }
            match grant.state {
                GrantState::Active => Ok(grant.extended(by.clone(), to)),
                GrantState::Scheduled | GrantState::Ended(_) => Err((grant, None)),
            }
        })
    }

    fn end_grant(
        &mut self,
        request: &RequestId,
        end: GrantEnd,
        reason: Option<&String>,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        self.grant_step(request, |grant| match grant.state {
            GrantState::Scheduled | GrantState::Active => {
                Ok(grant.ended(Ended { end, by: at.actor.clone(), at: at.time, reason: reason.cloned(), done: at.seq }))
            }
            GrantState::Ended(_) => Err((grant, None)),
        })?;
        let under: Vec<_> = self.sessions_under(request).map(|session| session.id.clone()).collect();
        self.cut(under, &CutCause::Grant(end), at);
        Ok(())
    }

    fn settle(&mut self, serial: model::Serial, state: CertificateState) -> Result<(), Problem> {
        let known = self.facts.certificates.remove(&serial).ok_or_else(|| unknown("certificate", serial))?;
        let (known, result) = match known.state {
            CertificateState::Intended => (known.settled(state), Ok(())),
            CertificateState::Issued { .. } | CertificateState::Failed { .. } => {
                let state = known.status();
                (known, Err(Problem::State { what: "certificate", id: serial.to_string(), state }))
            }
        };
        self.facts.certificates.insert(serial, known);
        result
    }

    fn open_session(&mut self, session: Session) -> Result<(), Problem> {
        let (request, grant) = self.grant(&session.request).ok_or_else(|| unknown("grant", &session.request))?;
        let spec = &request.spec;
        match grant.state {
            GrantState::Active => {}
            GrantState::Scheduled | GrantState::Ended(_) => return Err(state_problem("grant", request)),
        }
        if (&spec.identity, &spec.target, &spec.login) != (&session.identity, &session.target, &session.login) {
            return Err(Problem::Actor { actor: session.identity.to_string() });
        }
        if self.facts.sessions.contains_key(&session.id) {
            return Err(Problem::Duplicate { what: "session", id: session.id.to_string() });
        }
        self.index.add_session(&session);
        self.facts.sessions.insert(session.id.clone(), session);
        Ok(())
    }

    fn cut(&mut self, sessions: Vec<model::SessionId>, cause: &CutCause, at: &At<'_>) {
        for id in sessions {
            if let Some(session) = self.facts.sessions.remove(&id) {
                // A cut session is still live: its place in the index stays.
                let cut = Cut { cause: cause.clone(), by: at.actor.clone(), at: at.time };
                self.facts.sessions.insert(id, session.cut(cut));
            }
        }
    }

    /// Takes a request out, lets `step` consume its state, and puts it back, with the index in step.
    fn request_step(
        &mut self,
        id: &RequestId,
        step: impl FnOnce(RequestState) -> Result<RequestState, Stuck>,
    ) -> Result<(), Problem> {
        let request = self.facts.requests.remove(id).ok_or_else(|| unknown("request", id))?;
        self.index.remove_request(&request);
        let Request { id, spec, asked, filed, state } = request;
        let (state, result) = match step(state) {
            Ok(state) => (state, Ok(())),
            Err(stuck) => (stuck.0, Err(stuck.1)),
        };
        let request = Request { id, spec, asked, filed, state };
        self.index.add_request(&request);
        self.facts.requests.insert(request.id.clone(), request);
        result
    }

    fn pending_step(
        &mut self,
        id: &RequestId,
        step: impl FnOnce(Pending) -> Result<RequestState, (Pending, Problem)>,
    ) -> Result<(), Problem> {
        self.request_step(id, |state| match state {
            RequestState::Pending(pending) => {
                step(pending).map_err(|(pending, problem)| Box::new((RequestState::Pending(pending), problem)))
            }
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_) => {
                let problem = Problem::State { what: "request", id: id.to_string(), state: state.word() };
                Err(Box::new((state, problem)))
            }
        })
    }

    /// `None` as the problem: the grant's state does not allow it.
    fn grant_step(
        &mut self,
        id: &RequestId,
        step: impl FnOnce(Grant) -> Result<Grant, (Grant, Option<Problem>)>,
    ) -> Result<(), Problem> {
        self.request_step(id, |state| {
            let wrong = Problem::State { what: "grant", id: id.to_string(), state: state.word() };
            match state {
                RequestState::Granted(grant) => match step(grant) {
                    Ok(grant) => Ok(RequestState::Granted(grant)),
                    Err((grant, problem)) => Err(Box::new((RequestState::Granted(grant), problem.unwrap_or(wrong)))),
                },
                RequestState::Pending(_)
                | RequestState::Denied(_)
                | RequestState::Cancelled(_)
                | RequestState::Expired(_)
                | RequestState::Extended(_) => Err(Box::new((state, wrong))),
            }
        })
    }

    fn live_session(&self, id: &model::SessionId) -> Result<&Session, Problem> {
        let session = self.session(id).ok_or_else(|| unknown("session", id))?;
        if session.is_live() {
            Ok(session)
        } else {
            Err(Problem::State { what: "session", id: id.to_string(), state: session.status() })
        }
    }

    fn session_step(
        &mut self,
        id: &model::SessionId,
        step: impl FnOnce(Session) -> Result<Session, (Session, Problem)>,
    ) -> Result<(), Problem> {
        self.live_session(id)?;
        let session = self.facts.sessions.remove(id).ok_or_else(|| unknown("session", id))?;
        self.index.remove_session(&session);
        let (session, result) = match step(session) {
            Ok(session) => (session, Ok(())),
            Err((session, problem)) => (session, Err(problem)),
        };
        self.index.add_session(&session);
        self.facts.sessions.insert(id.clone(), session);
        result
    }

    fn recording_step(
        &mut self,
        id: &model::RecordingId,
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

    /// Drops the oldest of what is over, beyond what is kept.
    fn forget(&mut self) {
        while self.index.done_requests.len() > RETENTION {
            let Some((_, id)) = self.index.done_requests.pop_first() else { break };
            if let Some(request) = self.facts.requests.remove(&id) {
                self.index.remove_request(&request);
            }
        }
        while self.index.done_sessions.len() > RETENTION {
            let Some((_, id)) = self.index.done_sessions.pop_first() else { break };
            self.facts.sessions.remove(&id);
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

fn unknown(what: &'static str, id: impl ToString) -> Problem {
    Problem::Unknown { what, id: id.to_string() }
}

fn state_problem(what: &'static str, request: &Request) -> Problem {
    Problem::State { what, id: request.id.to_string(), state: request.status() }
}

/// The kind as it is written in the ledger.
const fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::LedgerOpened { .. } => "ledger.opened",
        Fact::SystemStarted { .. } => "system.started",
        Fact::SystemStopped {} => "system.stopped",
        Fact::PolicyLoaded { .. } => "policy.loaded",
        Fact::PolicyRefused { .. } => "policy.refused",
        Fact::DirectoryLoaded { .. } => "directory.loaded",
        Fact::DirectoryRefused { .. } => "directory.refused",
        Fact::TargetRegistered { .. } => "target.registered",
        Fact::IdentityLoggedIn { .. } => "identity.logged-in",
        Fact::IdentityLoginRefused { .. } => "identity.login-refused",
        Fact::RequestFiled { .. } => "request.filed",
        Fact::RequestRefused { .. } => "request.refused",
        Fact::RequestReviewed { .. } => "request.reviewed",
        Fact::ReviewWithdrawn { .. } => "request.review-withdrawn",
        Fact::RequestApproved { .. } => "request.approved",
        Fact::RequestDenied { .. } => "request.denied",
        Fact::RequestCancelled { .. } => "request.cancelled",
        Fact::RequestExpired { .. } => "request.expired",
        Fact::GrantActivated { .. } => "grant.activated",
        Fact::GrantExtended { .. } => "grant.extended",
        Fact::GrantEnded { .. } => "grant.ended",
        Fact::CertificateIntended { .. } => "certificate.intended",
        Fact::CertificateIssued { .. } => "certificate.issued",
        Fact::CertificateFailed { .. } => "certificate.failed",
        Fact::SessionOpened { .. } => "session.opened",
        Fact::SessionRefused { .. } => "session.refused",
        Fact::SessionCut { .. } => "session.cut",
        Fact::SessionEnded { .. } => "session.ended",
        Fact::ChannelOpened { .. } => "channel.opened",
        Fact::ChannelRefused { .. } => "channel.refused",
        Fact::ChannelClosed { .. } => "channel.closed",
        Fact::RecordingStarted { .. } => "recording.started",
        Fact::RecordingClosed { .. } => "recording.closed",
        Fact::RecordingFailed { .. } => "recording.failed",
        Fact::RecordingReplayed { .. } => "recording.replayed",
        Fact::LockPlaced { .. } => "lock.placed",
        Fact::LockLifted { .. } => "lock.lifted",
    }
}
