//! What the use cases answer, in the words of the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use access::{
    Grant, GrantState, PathGap, PlacedLock, Recording, RecordingState, Request, RequestState, Reviewed, Session,
    SessionState, TargetKey,
};
use api::wire;
use model::{CertificateBody, GrantEnd, GroupName, Reason, RecordingStatus, RequestId, SessionEnd, Timestamp, Verdict};

use crate::app::{
    AppError, Credential, Issued, Offer, Opened, Paged, ProxyState, RecordingView, RequestView, SessionView, Status,
    TargetView,
};

pub(super) fn page<T, U>(page: Paged<T>, item: impl FnMut(T) -> U) -> wire::Page<U> {
    let Paged { items, next } = page;
    wire::Page { items: items.into_iter().map(item).collect(), next }
}

pub(super) fn reason(text: &str) -> Result<Reason, AppError> {
    text.parse().map_err(|error: model::NameError| AppError::Invalid(error.to_string()))
}

/// A comment is a reason that may be left out.
pub(super) fn comment(text: Option<&str>) -> Result<Option<Reason>, AppError> {
    text.filter(|text| !text.trim().is_empty()).map(reason).transpose()
}

pub(super) fn request(view: &RequestView) -> wire::Request {
    let Request { id, spec, asked, filed, .. } = &view.request;
    wire::Request {
        id: id.clone(),
        identity: spec.identity.clone(),
        target: spec.target.clone(),
        login: spec.login.clone(),
        duration: spec.duration.seconds(),
        reason: spec.reason.as_str().to_owned(),
        ticket: spec.ticket.clone(),
        command: spec.command.clone(),
        extends: spec.extends.clone(),
        state: request_state(&view.request),
        filed: (*filed).into(),
        expires: asked.expires.into(),
        reviews: view.request.reviews().iter().filter(|review| review.withdrawn.is_none()).map(review).collect(),
        paths: view.gaps.iter().map(gap).collect(),
        grant: grant(view),
    }
}

pub(super) const fn request_state(request: &Request) -> wire::RequestState {
    match &request.state {
        RequestState::Pending(_) => wire::RequestState::Pending,
        RequestState::Denied(_) => wire::RequestState::Denied,
        RequestState::Cancelled(_) => wire::RequestState::Cancelled,
        RequestState::Expired(_) => wire::RequestState::Expired,
        RequestState::Granted(_) | RequestState::Extended(_) => wire::RequestState::Approved,
    }
}

fn review(review: &Reviewed) -> wire::Review {
    let (approved, duration) = match &review.verdict {
        Verdict::Approve { duration } => (true, duration.map(model::Span::seconds)),
        Verdict::Deny => (false, None),
    };
    let (reviewer, comment) = (review.by.clone(), review.comment.clone());
    wire::Review { reviewer, approved, duration, comment, at: review.at.into() }
}

pub(super) fn offer(offer: &Offer) -> wire::ExtensionOffer {
    wire::ExtensionOffer {
        usual: offer.usual.seconds(),
        longest: offer.longest.seconds(),
        paths: offer.gaps.iter().map(gap).collect(),
    }
}

fn gap(gap: &PathGap) -> wire::PathGap {
    wire::PathGap {
        policy: gap.policy.clone(),
        lacks: lacks(gap),
        approvals: gap.approvals,
        groups: gap.groups.iter().cloned().collect(),
    }
}

/// What a path still lacks, each in words.
pub(super) fn lacks(gap: &PathGap) -> Vec<String> {
    let mut lacks = Vec::new();
    let names =
        |groups: &BTreeSet<GroupName>, word: &str| groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(word);
    // Somebody of each group that is still unheard must come, even where the number is already reached.
    let approvals = gap.approvals.max(u32::from(!gap.groups.is_empty()));
    if approvals > 0 {
        let by = match (gap.groups.is_empty(), gap.approvers.is_empty()) {
            (false, _) => format!(" by {}", names(&gap.groups, " and ")),
            (true, false) => format!(" by {}", names(&gap.approvers, " or ")),
            (true, true) => String::new(),
        };
        lacks.push(format!("{}{by}", approvals_in_words(approvals)));
    }
    if let Some(longest) = gap.longest {
        lacks.push(format!("a time of at most {longest}"));
    }
    if gap.ticket {
        lacks.push("a ticket".to_owned());
    }
    if gap.touch {
        lacks.push("a touched security key".to_owned());
    }
    lacks.extend(gap.factor.map(|wanted| wanted.to_string()));
    lacks
}

pub(super) fn approvals_in_words(count: u32) -> String {
    format!("{count} approval{}", if count == 1 { "" } else { "s" })
}

/// The grant, when there is one.
pub(super) fn grant(view: &RequestView) -> Option<wire::Grant> {
    let request = view.grant.as_ref()?;
    let grant = request.grant()?;
    let Request { id, spec, .. } = request;
    let (ends, reason) = match &grant.state {
        GrantState::Scheduled | GrantState::Active => (grant.ends, None),
        GrantState::Ended(ended) => (ended.at.min(grant.ends), ended.reason.clone()),
    };
    Some(wire::Grant {
        id: id.clone(),
        identity: spec.identity.clone(),
        target: spec.target.clone(),
        login: spec.login.clone(),
        command: spec.command.clone(),
        state: grant_state(grant),
        policy: grant.path.policy.clone(),
        approvers: grant.approvers.iter().cloned().collect(),
        starts: grant.starts.into(),
        ends: ends.into(),
        reason,
        sessions: view.sessions,
    })
}

/// The grant of a use case that is about one.
pub(super) fn grant_of(view: &RequestView) -> Result<wire::Grant, AppError> {
    grant(view).ok_or_else(|| AppError::Internal("a grant without a grant".to_owned()))
}

pub(super) const fn grant_state(grant: &Grant) -> wire::GrantState {
    match &grant.state {
        GrantState::Scheduled => wire::GrantState::Scheduled,
        GrantState::Active => wire::GrantState::Active,
        GrantState::Ended(ended) => match ended.end {
            GrantEnd::Expired => wire::GrantState::Expired,
            GrantEnd::Revoked => wire::GrantState::Revoked,
            GrantEnd::Released => wire::GrantState::Released,
        },
    }
}

pub(super) fn certificate(
    body: CertificateBody,
    request: Option<RequestId>,
    certificate: Option<String>,
) -> wire::Certificate {
    wire::Certificate {
        serial: body.serial.get(),
        profile: body.profile.to_string(),
        request,
        key_id: body.key_id,
        principals: body.principals.iter().map(ToString::to_string).collect(),
        valid_after: body.valid_after.into(),
        valid_before: body.valid_before.into(),
        key: body.key,
        certificate,
    }
}

pub(super) fn issued(issued: Issued) -> wire::Certificate {
    certificate(issued.body, issued.request, Some(issued.certificate))
}

pub(super) fn opened(opened: Opened, host_ca: String) -> wire::OpenedSession {
    let Opened { permit, target, credential, seq } = opened;
    wire::OpenedSession {
        session: permit.session().clone(),
        request: permit.request().clone(),
        identity: permit.identity().clone(),
        target: permit.target().clone(),
        login: permit.login().clone(),
        addresses: target.addresses.iter().map(ToString::to_string).collect(),
        host_keys: target.host_keys,
        host_ca,
        credential: match credential {
            Credential::Certificate(line) => wire::Credential::Certificate(line),
            Credential::TargetKey(line) => wire::Credential::TargetKey(line),
        },
        deadline: permit.ends().into(),
        command: permit.command().map(str::to_owned),
        obligations: permit.obligations().clone(),
        seq: seq.0,
    }
}

pub(super) fn session(view: SessionView) -> wire::Session {
    let Session { id, request, identity, target, login, address, proxy, opened, state, .. } = view.session;
    let end = match &state {
        SessionState::Live => None,
        SessionState::Cut(cut) => Some(format!("being dropped since {}", cut.at.to_second())),
        SessionState::Ended(ended) => Some(ended.end.to_string()),
    };
    let over = match &state {
        SessionState::Live | SessionState::Cut(_) => None,
        SessionState::Ended(ended) => Some(ended),
    };
    let (cut, dropped) = (over.and_then(|ended| ended.cut), over.map(|ended| ended.dropped));
    let ordered = over.and_then(|ended| ordered(&ended.end));
    let took = |to: Option<model::Timestamp>| {
        ordered.zip(to).map(|(at, to)| u64::try_from(to.since(at).as_micros()).unwrap_or(u64::MAX))
    };
    wire::Session {
        id,
        request,
        identity,
        target,
        login,
        address,
        proxy,
        opened: opened.into(),
        cut: cut.map(Into::into),
        ended: dropped.map(Into::into),
        end,
        cut_micros: took(cut),
        drop_micros: took(dropped),
        recordings: view.recordings,
    }
}

/// When a kill was ordered.
const fn ordered(end: &SessionEnd) -> Option<model::Timestamp> {
    match end {
        SessionEnd::Revoked { at, .. }
        | SessionEnd::Released { at }
        | SessionEnd::Locked { at, .. }
        | SessionEnd::Cut { at, .. } => Some(*at),
        SessionEnd::Client
        | SessionEnd::Target { .. }
        | SessionEnd::Expired
        | SessionEnd::Idle
        | SessionEnd::Recording { .. }
        | SessionEnd::Proxy { .. } => None,
    }
}

pub(super) fn lock(placed: PlacedLock, sessions: Option<u32>) -> wire::LockView {
    let PlacedLock { lock, by, at } = placed;
    wire::LockView {
        id: lock.id,
        subject: lock.subject.to_string(),
        reason: lock.reason,
        by: by.to_string(),
        placed: at.into(),
        until: lock.until.map(Into::into),
        sessions,
    }
}

pub(super) fn recording(view: RecordingView) -> wire::Recording {
    let Recording { id, session, request, identity, target, login, channel, started, state, .. } = view.recording;
    let (status, closed) = match state {
        RecordingState::Open => ("live", None),
        RecordingState::Failed { .. } => ("failed", None),
        RecordingState::Closed { closed, failure, .. } => {
            let status = match (closed.status, failure) {
                (_, Some(_)) => "failed",
                (RecordingStatus::Complete, None) => "complete",
                (RecordingStatus::Truncated, None) => "truncated",
                (RecordingStatus::Recovered, None) => "recovered",
            };
            (status, Some(closed))
        }
    };
    wire::Recording {
        id,
        session,
        request,
        channel,
        identity,
        target,
        login,
        started: started.into(),
        status: status.to_owned(),
        sha256: closed.as_ref().map(|closed| closed.sha256.clone()),
        bytes: closed.as_ref().map(|closed| closed.bytes),
        milliseconds: closed.as_ref().map(|closed| closed.milliseconds),
        seq: view.seq.map(|seq| seq.0),
    }
}

pub(super) fn target(view: TargetView) -> wire::TargetView {
    let TargetView { target, key } = view;
    let keys = target.host_keys.iter().filter_map(|line| identity::parse_public_key(line).ok());
    wire::TargetView {
        name: target.name,
        addresses: target.addresses.iter().map(ToString::to_string).collect(),
        labels: target.labels,
        logins: target.logins.into_iter().collect(),
        host_keys: keys.map(|key| identity::fingerprint(key.key_data())).collect(),
        auth: target.auth,
        target_key: key,
    }
}

pub(super) fn target_key(key: TargetKey) -> wire::TargetKey {
    let TargetKey { target, key, public_key, made } = key;
    wire::TargetKey { target, public_key, fingerprint: key, made: made.into() }
}

pub(super) fn status(status: Status, server: &str) -> wire::Status {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    wire::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server: server.to_owned(),
        started: status.started.into(),
        records: status.records.0,
        root: status.root.to_string(),
        policy: status.policy,
        policy_error: status.policy_error,
        policy_refused: status.policy_refused.map(Into::into),
        directory: status.directory,
        directory_error: status.directory_error,
        directory_refused: status.directory_refused.map(Into::into),
        pending: count(status.pending),
        grants: count(status.grants),
        sessions: count(status.sessions),
        locks: count(status.locks),
        ledger_error: status.ledger_error,
        proxies: status.proxies.iter().map(|state| proxy(state, status.now)).collect(),
    }
}

fn proxy(state: &ProxyState, now: Timestamp) -> wire::ProxyStatus {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let said = state.word.as_ref();
    let refused = said.and_then(|(word, _)| word.refused.as_ref());
    wire::ProxyStatus {
        name: state.name.clone(),
        told: said.map(|(_, told)| (*told).into()),
        feed_age: state.feed_age(now).map(millis),
        feed_limit: said.map(|(word, _)| millis(word.feed_limit)),
        host_key: said.map(|(word, _)| word.host_key.clone()),
        host_key_error: refused.map(|(why, _)| why.clone()).filter(|why| !why.is_empty()),
        host_key_refused: refused.map(|(_, at)| (*at).into()),
    }
}
