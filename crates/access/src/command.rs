//! Commands: what someone wants. They carry what only the application can know: new ids, and what policy says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{
    Authority, CertificateBody, ChannelEnd, ChannelKind, Fact, FactorId, Factors, GroupName, IdentityName, Lock,
    LockId, Login, PolicyPath, Presence, ProxyName, Pty, Reason, RecordingId, RequestId, RequestSpec, Serial,
    SessionEnd, SessionId, Span, TargetName, Timestamp, Verdict, WayIn,
};

/// What someone wants to happen. Each payload turns into a command with `into()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask for access, or for more time.
    FileRequest(Box<FileRequest>),
    /// Approve or deny.
    Review(Review),
    /// Take one's own review back.
    WithdrawReview(WithdrawReview),
    /// Take one's own pending request back.
    Cancel(Cancel),
    /// Take a grant from its holder.
    Revoke(Revoke),
    /// Give one's own grant back.
    Release(Release),
    /// Place a lock.
    Lock(SetLock),
    /// Lift a lock.
    Unlock(Unlock),
    /// Have an authenticator make one's one-time codes.
    AddFactor(AddFactor),
    /// Have its codes be worth nothing any more.
    RemoveFactor(RemoveFactor),
    /// Use a one-time code up.
    UseFactor(UseFactor),
    /// Let a session in: yields the [`Permit`](crate::Permit).
    OpenSession(Box<OpenSession>),
    /// Cut one session.
    CutSession(CutSession),
    /// A session's sockets are closed.
    EndSession(EndSession),
    /// A channel was opened.
    ChannelOpened(ChannelOpened),
    /// A channel, or a request on one, was refused by the proxy.
    ChannelRefused(ChannelRefused),
    /// A channel was closed.
    ChannelClosed(ChannelClosed),
    /// A recording was armed.
    RecordingStarted(RecordingStarted),
    /// A recording was closed.
    RecordingClosed(RecordingClosed),
    /// A recording could not be written.
    RecordingFailed(RecordingFailed),
    /// Any of these, with its place among what a proxy tells of one session.
    Reported(Box<Reported>),
    /// Someone reads a recording.
    RecordingReplayed(RecordingReplayed),
    /// A certificate is about to be signed.
    IntendCertificate(Box<IntendCertificate>),
    /// A certificate was handed out.
    CertificateIssued(CertificateIssued),
    /// A certificate was not handed out.
    CertificateFailed(CertificateFailed),
    /// A key is made for a target that knows no certificates.
    MakeTargetKey(MakeTargetKey),
    /// A target's key is to be destroyed.
    DestroyTargetKey(DestroyTargetKey),
    /// A target's key is about to sign a session's log-in.
    UseTargetKey(UseTargetKey),
    /// Take the next step in replacing the key of a CA.
    RotateCa(RotateCa),
    /// Bring about what the clock has made due: at most [`BATCH`](crate::BATCH) facts; ask again while
    /// [`State::next_deadline`](crate::State::next_deadline) is not later than now.
    Tick,
    /// Record a fact that changes no state.
    Note(Note),
}

/// Ask for access; with `spec.extends`, for more time on an active grant. By the asker only.
///
/// The same `idempotency_key` with the same `spec` answers with the same request and no new fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// A new id.
    pub request: RequestId,
    /// What is asked.
    pub spec: RequestSpec,
    /// The client's key, at most [`MAX_KEY`](crate::MAX_KEY) bytes.
    pub idempotency_key: Option<String>,
    /// What the asker has shown beside their key.
    pub shown: Factors,
    /// From where they ask.
    pub address: Option<IpAddr>,
    /// What policy offers this asker for this question. Empty: refused.
    pub paths: Vec<PolicyPath>,
    /// How long the request may be pending.
    pub ttl: Span,
}

/// What policy says of a reviewer of one request, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether policy lets them review it.
    pub may_review: bool,
    /// Their groups.
    pub groups: BTreeSet<GroupName>,
}

/// Approve or deny a pending request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The request.
    pub request: RequestId,
    /// The answer.
    pub verdict: Verdict,
    /// In the reviewer's words.
    pub comment: Option<Reason>,
    /// The reviewer's right.
    pub standing: Standing,
    /// What the reviewer has shown beside their key.
    pub shown: Factors,
    /// From where they answer.
    pub address: Option<IpAddr>,
    /// What policy offers the asker now; `None`: what it offered when the request was filed.
    pub paths: Option<Vec<PolicyPath>>,
    /// What policy says now of those who approved it before; who is not in here does not count any more. `None`: all
    /// stand as they did. The locked never count.
    pub others: Option<BTreeMap<IdentityName, Standing>>,
}

/// Take one's own review of a pending request back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawReview {
    /// The request.
    pub request: RequestId,
}

/// Take one's own pending request back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The request.
    pub request: RequestId,
}

/// Take a scheduled or active grant from its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// The grant.
    pub request: RequestId,
    /// Why.
    pub reason: Reason,
    /// Whether policy lets the actor do so. The system needs no leave.
    pub may_revoke: bool,
}

/// Give one's own scheduled or active grant back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The grant.
    pub request: RequestId,
}

/// Place a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLock {
    /// The lock, with a new id.
    pub lock: Lock,
    /// Whether policy lets the actor do so. The system needs no leave.
    pub may_lock: bool,
}

/// Lift a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock {
    /// The lock.
    pub lock: LockId,
    /// Why, for the ledger.
    pub reason: Option<Reason>,
    /// Whether policy lets the actor do so. The system needs no leave.
    pub may_lock: bool,
}

/// Have an authenticator make one's own one-time codes; the application has checked the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddFactor {
    /// A new id.
    pub factor: FactorId,
    /// The time step of the first code.
    pub step: u64,
    /// Whether a code of an earlier authenticator was given not long ago. The first one needs none.
    pub shown: bool,
}

/// Have an authenticator's codes be worth nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveFactor {
    /// Whose.
    pub identity: IdentityName,
    /// Which.
    pub factor: FactorId,
    /// Why, for the ledger.
    pub reason: Option<Reason>,
    /// Whether policy lets the actor remove those of others. The system needs no leave.
    pub may_administer: bool,
    /// Whether the actor has given a code not long ago: for their own.
    pub shown: bool,
}

/// Use one's own one-time code up; the application has checked which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseFactor {
    /// The authenticator that made it.
    pub factor: FactorId,
    /// Its time step.
    pub step: u64,
    /// From which address it came.
    pub address: String,
}

/// Let a session in. By a proxy only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// A new id.
    pub session: SessionId,
    /// The grant that the person's certificate names; for a plain key, theirs for this login on this target.
    pub request: RequestId,
    /// Who.
    pub identity: IdentityName,
    /// Where.
    pub target: TargetName,
    /// As whom.
    pub login: Login,
    /// From which address.
    pub address: String,
    /// Through which proxy: the actor.
    pub proxy: ProxyName,
    /// Which way.
    pub way: WayIn,
    /// The person's log-in. One opens one session.
    pub presence: Presence,
    /// When the person's certificate was intended, or their plain key logged in: one from before the latest lock on them is refused.
    pub certified: Timestamp,
    /// Fingerprint of the login key that bought it, or of the plain key.
    pub bought_with: Option<String>,
    /// What policy says to `connect`, now. Empty: refused. Their obligations are not used: those of the grant's own
    /// path hold.
    pub paths: Vec<PolicyPath>,
    /// How many sessions one identity may have at a time.
    pub sessions_limit: u32,
}

/// Cut one session. By the system, by its own person, or by someone with the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutSession {
    /// The session.
    pub session: SessionId,
    /// Why.
    pub reason: Reason,
    /// Whether policy lets the actor cut other people's sessions.
    pub may_cut: bool,
}

/// A session's sockets are closed. By its proxy, or by the system when the proxy is known to be dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// The session.
    pub session: SessionId,
    /// Why it ended.
    pub end: SessionEnd,
    /// When nothing passed any more, as far as it is known.
    pub cut: Option<Timestamp>,
    /// When the person's socket was closed.
    pub dropped: Timestamp,
}

/// A channel was opened. By the session's proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelOpened {
    /// The session.
    pub session: SessionId,
    /// Its number in the session, from 0.
    pub channel: u32,
    /// What it carries.
    pub channel_kind: ChannelKind,
    /// Its terminal.
    pub pty: Option<Pty>,
}

/// A channel, or a request on one, was refused by the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRefused {
    /// The session.
    pub session: SessionId,
    /// What was asked.
    pub asked: String,
    /// Why not.
    pub reason: String,
}

/// A channel was closed. By the session's proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelClosed {
    /// The session.
    pub session: SessionId,
    /// Its number in the session.
    pub channel: u32,
    /// What passed and how it finished.
    pub end: ChannelEnd,
}

/// A recording was armed. By the session's proxy, before the target sees the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingStarted {
    /// A new id.
    pub recording: RecordingId,
    /// Its session.
    pub session: SessionId,
    /// Its channel.
    pub channel: u32,
}

/// A recording was closed: in order, or at the next start after a crash (its session may have ended by then).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingClosed {
    /// The recording.
    pub recording: RecordingId,
    /// What it is.
    pub closed: model::RecordingClosed,
}

/// A recording could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingFailed {
    /// The recording.
    pub recording: RecordingId,
    /// What went wrong.
    pub error: String,
}

/// What a proxy tells of a session, with its place in the order. The same place twice is told once: the first answer
/// was lost, and the proxy asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The session.
    pub session: SessionId,
    /// How many facts the proxy had told of the session before this one.
    pub number: u64,
    /// What happened.
    pub command: Command,
}

/// Someone reads a recording. The state forgets old recordings, so session and request come from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingReplayed {
    /// The recording.
    pub recording: RecordingId,
    /// Its session.
    pub session: SessionId,
    /// Its grant.
    pub request: RequestId,
    /// Whether policy lets the actor replay it.
    pub may_replay: bool,
}

/// A certificate is about to be signed.
///
/// A person's: by the holder of the active grant in `request`. A session's: by a proxy that has a live session under
/// it. A host's: `request` is `None`, and the application says that the actor may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntendCertificate {
    /// What it will say.
    pub certificate: CertificateBody,
    /// The grant.
    pub request: Option<RequestId>,
    /// SHA-256 of the bytes to be signed, in hexadecimal.
    pub tbs_sha256: String,
    /// For a host certificate: whether the actor may have it. The system needs no leave.
    pub may_issue_host: bool,
    /// Fingerprint of the login key of the person who buys it.
    pub bought_with: Option<String>,
}

/// A certificate was signed, compared and is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIssued {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of the whole certificate, in hexadecimal.
    pub sha256: String,
}

/// A certificate was not handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFailed {
    /// Its serial.
    pub serial: Serial,
    /// What went wrong.
    pub error: String,
}

/// A key is made for a target that knows no certificates. The one that it has is destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeTargetKey {
    /// The target.
    pub target: TargetName,
    /// Fingerprint of the new key.
    pub key: String,
    /// The new key, in the OpenSSH one-line form.
    pub public_key: String,
    /// Whether policy lets the actor administer. The system needs no leave.
    pub may_administer: bool,
}

/// A target's key is to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyTargetKey {
    /// The target.
    pub target: TargetName,
    /// Whether policy lets the actor administer. The system needs no leave.
    pub may_administer: bool,
}

/// A target's key is about to sign the log-in of one session. By the proxy that carries it, once, within the life of a
/// session certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseTargetKey {
    /// The session.
    pub session: SessionId,
    /// As whom its proxy wants to log in.
    pub login: Login,
    /// SHA-256 of the session identifier of the connection to the target, in hexadecimal.
    pub connection: String,
    /// Whether the directory says that its target takes one.
    pub takes_key: bool,
}

/// Take the next step in replacing the key of a CA. By a person with the right, and through no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateCa {
    /// Which CA.
    pub ca: Authority,
    /// Which step.
    pub step: CaStep,
    /// Fingerprint of the key that the actor means: the one that is to sign, or that is to be trusted no more. `None`: the
    /// only one that the step can mean.
    pub key: Option<String>,
    /// The proxies that are there and do not trust the next key yet, which the state does not know.
    pub behind: Vec<ProxyName>,
    /// The targets that show no certificate of the host CA's new key and have no pinned key, which the state does not know.
    pub left: Vec<TargetName>,
    /// Whether the step is to be taken although it shuts somebody out.
    pub force: bool,
    /// Whether policy lets the actor do so.
    pub may_rotate: bool,
    /// Whether a one-time code was given of late: who has an authenticator must.
    pub shown: bool,
}

/// A step in replacing the key of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaStep {
    /// A new key is made, and is trusted beside the one that signs.
    Stage {
        /// Fingerprint of the new key.
        key: String,
        /// Fingerprint of the one that signs.
        signs: String,
    },
    /// The staged key signs.
    Activate,
    /// The key from before is trusted no more.
    Retire,
    /// The new key is given up; the one from before signs, as it did.
    Cancel,
}

/// A fact that changes no state: the ledger, the system, policy, directory, targets, logins, and refusals of requests
/// and sessions. Any other kind is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The fact.
    pub fact: Fact,
    /// The request that it belongs to, if it belongs to one.
    pub request: Option<RequestId>,
}

macro_rules! into_command {
    ($($name:ident),* $(,)?) => {
        $(impl From<$name> for Command {
            fn from(payload: $name) -> Self {
                Self::$name(payload)
            }
        })*
    };
    (boxed $($name:ident),* $(,)?) => {
        $(impl From<$name> for Command {
            fn from(payload: $name) -> Self {
                Self::$name(Box::new(payload))
            }
        })*
    };
}

into_command!(
    Review,
    WithdrawReview,
    Cancel,
    Revoke,
    Release,
    Unlock,
    AddFactor,
    RemoveFactor,
    UseFactor,
    CutSession,
    EndSession,
    ChannelOpened,
    ChannelRefused,
    ChannelClosed,
    RecordingStarted,
    RecordingClosed,
    RecordingFailed,
    RecordingReplayed,
    CertificateIssued,
    CertificateFailed,
    MakeTargetKey,
    DestroyTargetKey,
    UseTargetKey,
    RotateCa,
    Note,
);
into_command!(boxed FileRequest, OpenSession, Reported, IntendCertificate);

impl From<SetLock> for Command {
    fn from(payload: SetLock) -> Self {
        Self::Lock(payload)
    }
}
