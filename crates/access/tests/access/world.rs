//! A small world to act in: a state, its ledger, and people.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, CertificateBody, CertificateProfile, ChannelEnd, ChannelKind, Entry, Fact, Factors, Lock, LockId,
    LockSubject, Obligations, PolicyPath, Presence, Principal, Reason, Record, RecordingClosed, RecordingId,
    RecordingStatus, RequestId, RequestSpec, Serial, SessionEnd, SessionId, Span, Timestamp, Verdict, WayIn,
};
use portcullis_access as access;
use portcullis_access::{Command, Decision, Refusal, Standing, State, decide};

/// The world's first moment; `at(n)` is n seconds later.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

pub(crate) fn identity(name: &str) -> Actor {
    Actor::Identity(name.parse().unwrap())
}

pub(crate) fn proxy(name: &str) -> Actor {
    Actor::Proxy(name.parse().unwrap())
}

pub(crate) fn req(n: u64) -> RequestId {
    RequestId::from_random(n)
}

pub(crate) fn ses(n: u64) -> SessionId {
    SessionId::from_random(n)
}

pub(crate) fn rec(n: u64) -> RecordingId {
    RecordingId::from_random(n)
}

pub(crate) fn lock_id(n: u64) -> LockId {
    LockId::from_random(n)
}

pub(crate) fn serial(n: u64) -> Serial {
    Serial::from_random(n)
}

pub(crate) fn minutes(n: u32) -> Span {
    Span::from_minutes(n)
}

/// A path: at most so many minutes, so many approvals, from these groups.
pub(crate) fn path(policy: &str, max: u32, approvals: u32, approvers: &[&str]) -> PolicyPath {
    PolicyPath {
        policy: policy.to_owned(),
        obligations: Obligations {
            max_duration: minutes(max),
            approvals,
            approvers: approvers.iter().map(|group| group.parse().unwrap()).collect(),
            ..Obligations::default()
        },
    }
}

/// alice asks for root@web1 for half an hour.
pub(crate) fn spec() -> RequestSpec {
    RequestSpec {
        identity: "alice".parse().unwrap(),
        target: "web1".parse().unwrap(),
        login: "root".parse().unwrap(),
        duration: minutes(30),
        reason: "the disk is full".parse::<Reason>().unwrap(),
        ticket: None,
        command: None,
        start: None,
        extends: None,
    }
}

pub(crate) fn file(request: RequestId, spec: RequestSpec, paths: Vec<PolicyPath>) -> access::FileRequest {
    access::FileRequest {
        request,
        spec,
        idempotency_key: None,
        shown: Factors::default(),
        address: None,
        paths,
        ttl: minutes(60),
    }
}

pub(crate) fn standing(groups: &[&str]) -> Standing {
    Standing { may_review: true, groups: groups.iter().map(|group| group.parse().unwrap()).collect() }
}

pub(crate) fn approve(request: RequestId, groups: &[&str]) -> access::Review {
    access::Review {
        request,
        verdict: Verdict::Approve { duration: None },
        comment: None,
        standing: standing(groups),
        shown: Factors::default(),
        address: None,
        paths: None,
        others: None,
    }
}

pub(crate) fn deny(request: RequestId) -> access::Review {
    access::Review { verdict: Verdict::Deny, ..approve(request, &[]) }
}

/// The log-in that opened this session, and no other.
pub(crate) fn presence(session: &SessionId) -> Presence {
    Presence { sha256: format!("of {session}"), certificate: Some(serial(1)), key: None, touch: false, totp: false }
}

pub(crate) fn open(session: SessionId, request: RequestId) -> access::OpenSession {
    access::OpenSession {
        presence: presence(&session),
        session,
        request,
        identity: "alice".parse().unwrap(),
        target: "web1".parse().unwrap(),
        login: "root".parse().unwrap(),
        address: "192.0.2.7".to_owned(),
        proxy: "proxy1".parse().unwrap(),
        way: WayIn::Plus,
        certified: at(0),
        bought_with: None,
        paths: vec![path("connect", 30, 0, &[])],
        sessions_limit: 10,
    }
}

pub(crate) fn end(session: SessionId) -> access::EndSession {
    access::EndSession { session, end: SessionEnd::Client, cut: None, dropped: at(0) }
}

pub(crate) fn channel(session: SessionId, channel: u32) -> access::ChannelOpened {
    access::ChannelOpened { session, channel, channel_kind: ChannelKind::Shell, pty: None }
}

pub(crate) fn channel_closed(session: SessionId, channel: u32) -> access::ChannelClosed {
    access::ChannelClosed { session, channel, end: ChannelEnd { bytes_in: 3, bytes_out: 5, ..ChannelEnd::default() } }
}

pub(crate) fn recording_closed(recording: RecordingId) -> access::RecordingClosed {
    let closed = RecordingClosed {
        sha256: "00".repeat(32),
        bytes: 10,
        events: 1,
        milliseconds: 7,
        status: RecordingStatus::Complete,
    };
    access::RecordingClosed { recording, closed }
}

pub(crate) fn lock(id: LockId, subject: &str) -> access::SetLock {
    let subject: LockSubject = subject.parse().unwrap();
    access::SetLock { lock: Lock { id, subject, reason: "stolen laptop".to_owned(), until: None }, may_lock: true }
}

pub(crate) fn unlock(lock: LockId) -> access::Unlock {
    access::Unlock { lock, reason: Some("all clear".parse().unwrap()), may_lock: true }
}

pub(crate) fn revoke(request: RequestId) -> access::Revoke {
    access::Revoke { request, reason: "no longer needed".parse().unwrap(), may_revoke: true }
}

/// alice's certificate under a grant, until `ends`.
pub(crate) fn certificate(serial: Serial, request: RequestId, ends: Timestamp) -> access::IntendCertificate {
    access::IntendCertificate {
        certificate: CertificateBody {
            serial,
            profile: CertificateProfile::Person,
            key: "SHA256:key".to_owned(),
            ca: "SHA256:ca".to_owned(),
            key_id: request.to_string(),
            principals: BTreeSet::from([Principal::Identity("alice".parse().unwrap())]),
            valid_after: at(0).minus(minutes(1)),
            valid_before: ends,
            critical_options: BTreeMap::new(),
            extensions: BTreeSet::new(),
        },
        request: Some(request),
        tbs_sha256: "00".repeat(32),
        may_issue_host: false,
        bought_with: None,
    }
}

/// A state and the ledger that made it.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) log: Vec<Record>,
}

impl World {
    /// Decides and applies; what a decision yields must always apply.
    pub(crate) fn act(
        &mut self,
        actor: &Actor,
        command: impl Into<Command>,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let decision = decide(&self.state, actor, command.into(), now)?;
        for entry in &decision.facts {
            self.record(entry.clone());
        }
        Ok(decision)
    }

    pub(crate) fn record(&mut self, entry: Entry) {
        let record = Record { seq: self.state.next(), entry };
        self.state.apply(&record).unwrap_or_else(|corruption| panic!("{corruption}: {record:?}"));
        self.log.push(record);
    }

    /// The same, of someone, when it must succeed.
    pub(crate) fn must(&mut self, who: &str, command: impl Into<Command>, now: Timestamp) -> Decision {
        let actor = if who.starts_with("proxy") { proxy(who) } else { identity(who) };
        self.act(&actor, command, now).unwrap_or_else(|refusal| panic!("{}: {refusal}", refusal.code))
    }

    /// The code of the refusal, when it must be refused. The state stays as it is.
    pub(crate) fn refused(&mut self, who: &str, command: impl Into<Command>, now: Timestamp) -> Refusal {
        let actor = if who.starts_with("proxy") { proxy(who) } else { identity(who) };
        self.act(&actor, command, now).expect_err("it should be refused")
    }

    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Fact> {
        let decision = self.act(&Actor::System, Command::Tick, now).unwrap();
        decision.facts.into_iter().map(|entry| entry.fact).collect()
    }

    pub(crate) fn status(&self, request: &RequestId) -> &'static str {
        self.state.request(request).map_or("absent", |request| request.status())
    }

    /// alice has an active grant for root@web1 until `at(1800)`.
    pub(crate) fn granted(n: u64) -> Self {
        let mut world = Self::default();
        world.must("alice", file(req(n), spec(), vec![path("free", 60, 0, &[])]), at(0));
        assert_eq!(world.status(&req(n)), "active");
        world
    }
}
