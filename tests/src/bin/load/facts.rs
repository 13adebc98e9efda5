//! A ledger with many facts: whole stories, from the request to the released grant, appended to a data directory that
//! `portcullis up` has opened once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};
use model::{
    Actor, Asked, CertificateBody, CertificateProfile, ChannelEnd, ChannelKind, Correlation, Entry, ExitReport, Fact,
    GrantEnd, IdentityName, Login, Obligations, PolicyPath, Principal, ProxyName, Pty, Reason, RecordingClosed,
    RecordingId, RecordingStatus, RequestId, RequestSpec, Serial, SessionEnd, SessionId, Span, TargetName, Timestamp,
    Verdict, WayIn,
};
use serde_json::{Value, json};
use store::{Clock as _, Embedded, Entropy as _, Options as StoreOptions, Store as _, SystemClock, SystemEntropy};

use crate::Options;

/// Stories that are appended together.
const AT_ONCE: u64 = 100;

/// Appends at least so many facts.
pub(crate) async fn write(options: &Options) -> Result<Value> {
    let count: u64 = options.value("count")?;
    let store = Embedded::open(Path::new(options.text("data")?), StoreOptions::default(), &mut |_| {})?;
    let first = store.tail();
    if first.0 == 0 {
        bail!("the ledger is empty: let portcullis up open it first, with its own keys");
    }
    let names = Names::new()?;
    while store.tail().0 - first.0 < count {
        let now = SystemClock.now();
        let stories: Vec<Entry> = (0..AT_ONCE).flat_map(|_| names.story(now)).collect();
        store.enqueue(store.tail(), stories)?.await?;
    }
    let head = store.durable();
    Ok(json!({ "records": head.next.0, "root": head.root.to_string() }))
}

struct Names {
    alice: IdentityName,
    bob: IdentityName,
    target: TargetName,
    login: Login,
    proxy: ProxyName,
    reason: Reason,
}

impl Names {
    fn new() -> Result<Self> {
        Ok(Self {
            alice: "alice".parse()?,
            bob: "bob".parse()?,
            target: "web1".parse()?,
            login: "demo".parse()?,
            proxy: "proxy1".parse()?,
            reason: "see why the disk is full".parse()?,
        })
    }

    /// One access, from the request to the released grant.
    fn story(&self, now: Timestamp) -> Vec<Entry> {
        let request = RequestId::from_random(SystemEntropy.u64());
        let ends = now.plus(Span::from_minutes(30));
        let alice = Actor::Identity(self.alice.clone());
        let mut facts = vec![
            (alice.clone(), self.filed(&request, ends)),
            (Actor::Identity(self.bob.clone()), reviewed(&request)),
            (Actor::Identity(self.bob.clone()), self.approved(&request, now, ends)),
        ];
        facts.extend(self.certificate(&request, now, ends).map(|fact| (alice.clone(), fact)));
        facts.extend(self.session(&request, now).into_iter().map(|fact| (Actor::Proxy(self.proxy.clone()), fact)));
        facts.push((alice, Fact::GrantEnded { request: request.clone(), end: GrantEnd::Released, reason: None }));
        let correlation = Correlation::from(&request);
        let entry = |(actor, fact)| Entry { time: now, actor, correlation: correlation.clone(), fact };
        facts.into_iter().map(entry).collect()
    }

    fn filed(&self, request: &RequestId, expires: Timestamp) -> Fact {
        let spec = RequestSpec {
            identity: self.alice.clone(),
            target: self.target.clone(),
            login: self.login.clone(),
            duration: Span::from_minutes(30),
            reason: self.reason.clone(),
            ticket: None,
            command: None,
            start: None,
            extends: None,
        };
        let asked = Asked { idempotency_key: None, touch: false, totp: false, address: None, through: None, expires };
        Fact::RequestFiled { request: request.clone(), spec, asked, paths: vec![path()] }
    }

    fn approved(&self, request: &RequestId, starts: Timestamp, ends: Timestamp) -> Fact {
        let approvers = BTreeSet::from([self.bob.clone()]);
        Fact::RequestApproved { request: request.clone(), path: path(), approvers, starts, ends }
    }

    fn certificate(&self, request: &RequestId, now: Timestamp, ends: Timestamp) -> [Fact; 2] {
        let serial = Serial::from_random(SystemEntropy.u64());
        let certificate = CertificateBody {
            serial,
            profile: CertificateProfile::Person,
            key: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            ca: "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB".to_owned(),
            key_id: format!("portcullis person {request} identity=alice approvers=bob serial={serial}"),
            principals: BTreeSet::from([Principal::Identity(self.alice.clone())]),
            valid_after: now,
            valid_before: ends,
            critical_options: BTreeMap::new(),
            extensions: BTreeSet::new(),
        };
        let tbs_sha256 = "0".repeat(64);
        [
            Fact::CertificateIntended {
                certificate,
                request: Some(request.clone()),
                tbs_sha256: tbs_sha256.clone(),
                bought_with: None,
            },
            Fact::CertificateIssued { serial, sha256: tbs_sha256 },
        ]
    }

    fn session(&self, request: &RequestId, now: Timestamp) -> [Fact; 6] {
        let session = SessionId::from_random(SystemEntropy.u64());
        let recording = RecordingId::from_random(SystemEntropy.u64());
        let closed = RecordingClosed {
            sha256: "0".repeat(64),
            bytes: 12_345,
            events: 67,
            milliseconds: 89_000,
            status: RecordingStatus::Complete,
        };
        let end = ChannelEnd { bytes_in: 123, bytes_out: 4_567, exit: Some(ExitReport::Status(0)), closed_by: None };
        [
            Fact::SessionOpened {
                session: session.clone(),
                request: request.clone(),
                identity: self.alice.clone(),
                target: self.target.clone(),
                login: self.login.clone(),
                address: "192.0.2.7".to_owned(),
                proxy: self.proxy.clone(),
                way: WayIn::Jump,
                bought_with: None,
                presence: None,
            },
            Fact::RecordingStarted { recording: recording.clone(), session: session.clone(), channel: 0 },
            Fact::ChannelOpened {
                session: session.clone(),
                channel: 0,
                channel_kind: ChannelKind::Shell,
                pty: Some(Pty { term: "xterm-256color".to_owned(), columns: 80, rows: 24 }),
            },
            Fact::RecordingClosed { recording, session: session.clone(), closed },
            Fact::ChannelClosed { session: session.clone(), channel: 0, end },
            Fact::SessionEnded { session, end: SessionEnd::Client, cut: Some(now), dropped: now },
        ]
    }
}

fn reviewed(request: &RequestId) -> Fact {
    let verdict = Verdict::Approve { duration: None };
    let (groups, comment) = (BTreeSet::new(), None);
    Fact::RequestReviewed {
        request: request.clone(),
        verdict,
        groups,
        comment,
        touch: false,
        totp: false,
        address: None,
    }
}

fn path() -> PolicyPath {
    PolicyPath { policy: "engineers-prod".to_owned(), obligations: Obligations::default() }
}
