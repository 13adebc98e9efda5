//! Facts: what happened. State is what they add up to, so no change can exist without its audit record.

mod correlation;
mod kind;
mod record;
mod recording;
mod subject;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Asked, Authority, CertificateBody, ChannelEnd, ChannelKind, FactorId, GrantEnd, GroupName, IdentityName, Lock,
    LockId, Login, PolicyPath, Presence, ProxyName, Pty, RecordingId, RequestId, RequestSpec, Serial, SessionEnd,
    SessionId, TargetName, Timestamp, Verdict, WayIn,
};

pub use correlation::Correlation;
pub use record::{Entry, Record, Seq};
pub use recording::{RecordingClosed, RecordingStatus};
pub use subject::Subject;

/// What happened.
///
/// A kind that is written is never renamed and its fields keep their meaning: the ledger outlives the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "kebab-case")]
pub enum Fact {
    /// The first fact of a ledger.
    #[serde(rename = "ledger.opened")]
    LedgerOpened {
        /// The origin line of its checkpoints.
        origin: String,
        /// Fingerprint of the user CA key ("SHA256:…").
        user_ca: String,
        /// Fingerprint of the host CA key.
        host_ca: String,
        /// The ledger key, as a signed-note verifier key.
        ledger_key: String,
    },
    /// A process took the ledger up.
    #[serde(rename = "system.started")]
    SystemStarted {
        /// The program's version.
        version: String,
    },
    /// The key that signs what proxies show to people: at the first start, and when it is another than before.
    #[serde(rename = "front-ca.loaded")]
    FrontCaLoaded {
        /// Its fingerprint ("SHA256:…").
        key: String,
    },
    /// Another key for one of the CAs was made and is trusted from here on. It signs nothing yet.
    #[serde(rename = "ca.staged")]
    CaStaged {
        /// Which CA.
        ca: Authority,
        /// Fingerprint of the new key ("SHA256:…").
        key: String,
        /// Fingerprint of the key that goes on signing.
        signs: String,
    },
    /// The staged key signs from here on. The one before it is still trusted.
    #[serde(rename = "ca.activated")]
    CaActivated {
        /// Which CA.
        ca: Authority,
        /// Fingerprint of the key that signs now.
        key: String,
        /// Fingerprint of the one before it.
        before: String,
    },
    /// The key from before is trusted no more, and is destroyed.
    #[serde(rename = "ca.retired")]
    CaRetired {
        /// Which CA.
        ca: Authority,
        /// Fingerprint of the key that is gone.
        key: String,
    },
    /// The new key is given up, before or after it signed: it is trusted no more, and is destroyed.
    #[serde(rename = "ca.cancelled")]
    CaCancelled {
        /// Which CA.
        ca: Authority,
        /// Fingerprint of the key that is gone.
        key: String,
        /// Fingerprint of the one that signs, as before.
        signs: String,
    },
    /// A process laid the ledger down in order.
    #[serde(rename = "system.stopped")]
    SystemStopped {},
    /// A policy was loaded.
    #[serde(rename = "policy.loaded")]
    PolicyLoaded {
        /// SHA-256 of its text, in hexadecimal.
        sha256: String,
        /// How many policies it holds.
        policies: u64,
    },
    /// A changed policy did not validate; the old one stays.
    #[serde(rename = "policy.refused")]
    PolicyRefused {
        /// SHA-256 of its text, in hexadecimal.
        sha256: String,
        /// The first errors.
        error: String,
    },
    /// A directory was loaded.
    #[serde(rename = "directory.loaded")]
    DirectoryLoaded {
        /// SHA-256 of its text, in hexadecimal.
        sha256: String,
        /// How many identities it holds.
        identities: u64,
        /// How many targets it holds.
        targets: u64,
    },
    /// A changed directory did not validate; the old one stays.
    #[serde(rename = "directory.refused")]
    DirectoryRefused {
        /// SHA-256 of its text, in hexadecimal.
        sha256: String,
        /// What is wrong.
        error: String,
    },
    /// A target was registered, or changed, through the API.
    #[serde(rename = "target.registered")]
    TargetRegistered {
        /// Its name.
        target: TargetName,
        /// Fingerprints of its pinned host keys.
        host_keys: Vec<String>,
    },
    /// A target is about to be taken out of the directory through the API.
    #[serde(rename = "target.removed")]
    TargetRemoved {
        /// Its name.
        target: TargetName,
    },
    /// A key was made for a target whose server knows no certificates. The CA keeps its private half.
    #[serde(rename = "target.key-made")]
    TargetKeyMade {
        /// The target.
        target: TargetName,
        /// Fingerprint of the key ("SHA256:…").
        key: String,
        /// The key, in the OpenSSH one-line form.
        public_key: String,
    },
    /// A target's key is about to be destroyed. It signs nothing any more.
    #[serde(rename = "target.key-destroyed")]
    TargetKeyDestroyed {
        /// The target.
        target: TargetName,
        /// Fingerprint of the key.
        key: String,
    },
    /// A target's key is about to sign the log-in of one session. Written and durable before the key is touched.
    #[serde(rename = "target.key-used")]
    TargetKeyUsed {
        /// The session.
        session: SessionId,
        /// The target.
        target: TargetName,
        /// As whom.
        login: Login,
        /// Fingerprint of the key.
        key: String,
        /// SHA-256 of the session identifier of the proxy's connection to the target, in hexadecimal.
        connection: String,
    },
    /// Someone proved who they are and got a session token.
    #[serde(rename = "identity.logged-in")]
    IdentityLoggedIn {
        /// Who.
        identity: IdentityName,
        /// Fingerprint of the key.
        key: String,
        /// From where.
        address: String,
        /// Whether a security key was touched.
        touch: bool,
        /// The log-in to a proxy's connection that showed it; absent where a nonce of the CA was signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<Presence>,
    },
    /// Someone whom the directory knows failed to prove it.
    #[serde(rename = "identity.login-refused")]
    IdentityLoginRefused {
        /// Who they said they were.
        identity: IdentityName,
        /// Why it was refused.
        reason: String,
        /// From where.
        address: String,
    },
    /// Someone showed, with a first code, that an authenticator makes their one-time codes from now on.
    #[serde(rename = "factor.added")]
    FactorAdded {
        /// Whose.
        identity: IdentityName,
        /// The authenticator.
        factor: FactorId,
        /// The time step (RFC 6238) of that code, which is used up.
        step: u64,
    },
    /// An authenticator's codes are worth nothing any more.
    #[serde(rename = "factor.removed")]
    FactorRemoved {
        /// Whose it was.
        identity: IdentityName,
        /// The authenticator.
        factor: FactorId,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Someone gave a good one-time code. Each is good once.
    #[serde(rename = "factor.used")]
    FactorUsed {
        /// Who.
        identity: IdentityName,
        /// The authenticator.
        factor: FactorId,
        /// The code's time step; it and those before it are used up.
        step: u64,
        /// From where.
        address: String,
    },
    /// Someone gave a one-time code that was none, or was used up.
    #[serde(rename = "factor.refused")]
    FactorRefused {
        /// Who.
        identity: IdentityName,
        /// Why it was refused.
        reason: String,
        /// From where.
        address: String,
    },
    /// Access was asked for.
    #[serde(rename = "request.filed")]
    RequestFiled {
        /// The request.
        request: RequestId,
        /// What is asked.
        spec: RequestSpec,
        /// How it came.
        #[serde(flatten)]
        asked: Asked,
        /// The paths that policy offers, as they were when it was filed.
        paths: Vec<PolicyPath>,
    },
    /// Access was asked for and refused at once; nothing is pending.
    #[serde(rename = "request.refused")]
    RequestRefused {
        /// What was asked.
        spec: RequestSpec,
        /// Why not.
        reason: String,
    },
    /// A reviewer answered.
    #[serde(rename = "request.reviewed")]
    RequestReviewed {
        /// The request.
        request: RequestId,
        /// The answer.
        verdict: Verdict,
        /// The listed approver groups that the reviewer answers for.
        groups: BTreeSet<GroupName>,
        /// In the reviewer's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
        /// Whether the reviewer had touched a security key at login: a later review judges them again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        touch: bool,
        /// Whether the reviewer had given a one-time code not long before, for the same reason.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        totp: bool,
        /// From where, for the same reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<std::net::IpAddr>,
    },
    /// A reviewer took their answer back while the request was pending.
    #[serde(rename = "request.review-withdrawn")]
    ReviewWithdrawn {
        /// The request.
        request: RequestId,
    },
    /// The request was approved, and a grant begins (or the grant that it extends goes on).
    #[serde(rename = "request.approved")]
    RequestApproved {
        /// The request, and the grant.
        request: RequestId,
        /// The path that was fulfilled.
        path: PolicyPath,
        /// Who approved; empty when the path needs nobody.
        approvers: BTreeSet<IdentityName>,
        /// The grant begins.
        starts: Timestamp,
        /// The grant ends.
        ends: Timestamp,
    },
    /// A reviewer's denial ended the request.
    #[serde(rename = "request.denied")]
    RequestDenied {
        /// The request.
        request: RequestId,
    },
    /// Its asker took the request back.
    #[serde(rename = "request.cancelled")]
    RequestCancelled {
        /// The request.
        request: RequestId,
    },
    /// Nobody decided in time.
    #[serde(rename = "request.expired")]
    RequestExpired {
        /// The request.
        request: RequestId,
    },
    /// A scheduled grant began.
    #[serde(rename = "grant.activated")]
    GrantActivated {
        /// The grant.
        request: RequestId,
    },
    /// A grant was given more time.
    #[serde(rename = "grant.extended")]
    GrantExtended {
        /// The grant.
        request: RequestId,
        /// The request that extended it.
        by: RequestId,
        /// When it would have ended.
        from: Timestamp,
        /// When it ends now.
        to: Timestamp,
    },
    /// A grant ended.
    #[serde(rename = "grant.ended")]
    GrantEnded {
        /// The grant.
        request: RequestId,
        /// How.
        end: GrantEnd,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A certificate is about to be signed. Written and durable before the CA key is touched.
    #[serde(rename = "certificate.intended")]
    CertificateIntended {
        /// What it will say.
        certificate: CertificateBody,
        /// The grant that it is issued under; `None` for a host certificate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// SHA-256 of the bytes to be signed, in hexadecimal.
        tbs_sha256: String,
        /// Fingerprint of the login key that bought a person's certificate; absent in facts of before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bought_with: Option<String>,
    },
    /// The certificate was signed, compared and handed out.
    #[serde(rename = "certificate.issued")]
    CertificateIssued {
        /// Its serial.
        serial: Serial,
        /// SHA-256 of the whole certificate, in hexadecimal.
        sha256: String,
    },
    /// The certificate was not handed out: the signer failed, or what it signed was not what was intended.
    #[serde(rename = "certificate.failed")]
    CertificateFailed {
        /// Its serial.
        serial: Serial,
        /// What went wrong.
        error: String,
    },
    /// A session was allowed and its certificate ordered.
    #[serde(rename = "session.opened")]
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Its grant.
        request: RequestId,
        /// Who.
        identity: IdentityName,
        /// Where.
        target: TargetName,
        /// As whom.
        login: Login,
        /// From which address.
        address: String,
        /// Through which proxy.
        proxy: ProxyName,
        /// Which way.
        way: WayIn,
        /// Fingerprint of the login key that bought the person's certificate; absent in facts of before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bought_with: Option<String>,
        /// The log-in of the person's own key that opened it; absent in facts of before it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<Presence>,
    },
    /// A session was asked for and refused.
    #[serde(rename = "session.refused")]
    SessionRefused {
        /// Who.
        identity: IdentityName,
        /// Where; as it was typed.
        target: String,
        /// As whom; as it was typed.
        login: String,
        /// From which address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// One session is to be cut.
    #[serde(rename = "session.cut")]
    SessionCut {
        /// The session.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// A session ended. For a kill this is its receipt.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Why.
        end: SessionEnd,
        /// When nothing passed any more, in either direction: the target's socket was shut down and the person's bytes
        /// were no longer taken. Absent in facts of before it was kept, and where no proxy was there to see it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Timestamp>,
        /// When the person's socket was closed; not before `cut`.
        dropped: Timestamp,
    },
    /// A channel was opened and the target agreed to run what it asks for.
    #[serde(rename = "channel.opened")]
    ChannelOpened {
        /// The session.
        session: SessionId,
        /// Its number in the session, from 0.
        channel: u32,
        /// What it carries.
        channel_kind: ChannelKind,
        /// Its terminal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pty: Option<Pty>,
    },
    /// A channel, or a request on one, was refused by the grant.
    #[serde(rename = "channel.refused")]
    ChannelRefused {
        /// The session.
        session: SessionId,
        /// What was asked.
        asked: String,
        /// Why not.
        reason: String,
    },
    /// A channel was closed.
    #[serde(rename = "channel.closed")]
    ChannelClosed {
        /// The session.
        session: SessionId,
        /// Its number in the session.
        channel: u32,
        /// What passed and how it finished.
        #[serde(flatten)]
        end: ChannelEnd,
    },
    /// A recording was armed, before the target saw the request.
    #[serde(rename = "recording.started")]
    RecordingStarted {
        /// The recording.
        recording: RecordingId,
        /// Its session.
        session: SessionId,
        /// Its channel.
        channel: u32,
    },
    /// A recording was closed.
    #[serde(rename = "recording.closed")]
    RecordingClosed {
        /// The recording.
        recording: RecordingId,
        /// Its session.
        session: SessionId,
        /// What it is.
        #[serde(flatten)]
        closed: RecordingClosed,
    },
    /// A recording could not be written.
    #[serde(rename = "recording.failed")]
    RecordingFailed {
        /// The recording.
        recording: RecordingId,
        /// Its session.
        session: SessionId,
        /// What went wrong.
        error: String,
    },
    /// A recording was read.
    #[serde(rename = "recording.replayed")]
    RecordingReplayed {
        /// The recording.
        recording: RecordingId,
        /// Its session.
        session: SessionId,
    },
    /// A lock fell.
    #[serde(rename = "lock.placed")]
    LockPlaced {
        /// The lock.
        lock: Lock,
    },
    /// A lock was lifted, or its time was up.
    #[serde(rename = "lock.lifted")]
    LockLifted {
        /// The lock.
        lock: LockId,
        /// Why, in words; absent when its time was up, when nobody said, and in facts of before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
