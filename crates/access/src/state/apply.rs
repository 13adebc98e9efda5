//! Adding one recorded fact to the state. Facts are checked for sense, not for right: the right was decided when they
//! were made, and an old ledger must load whatever the rules are by then.

use model::{Actor, Entry, Fact, Record, Seq, Timestamp};

use super::authority::Turn;
use super::request::Approval;
use super::{
    Certificate, CertificateState, Channel, Cut, CutCause, Factor, Pending, Request, RequestState, Reviewed, Session,
    SessionState, State, TargetKey,
};
use crate::corruption::{Corruption, Problem};

/// Where and when a fact stands, and who caused it.
pub(super) struct At<'a> {
    pub(super) seq: Seq,
    pub(super) time: Timestamp,
    pub(super) actor: &'a Actor,
}

impl State {
    /// Adds one recorded fact. The cost is logarithmic in what is kept; a lock and the end of a grant also touch each
    /// session that they cut.
    ///
    /// # Errors
    /// When the fact cannot follow from those before it. The state is left as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), Corruption> {
        let corrupt = |problem| Corruption { seq: record.seq, kind: record.entry.fact.kind(), problem };
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
            | Fact::FrontCaLoaded { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. }
            | Fact::IdentityLoggedIn { .. }
            | Fact::IdentityLoginRefused { .. }
            | Fact::FactorRefused { .. }
            | Fact::RequestRefused { .. }
            | Fact::SessionRefused { .. }
            | Fact::RecordingReplayed { .. } => Ok(()),
            Fact::FactorAdded { identity, factor, step } => {
                let (id, added) = (factor.clone(), at.time);
                self.add_factor(identity, Factor { id, added, step: *step, used: None })
            }
            Fact::FactorRemoved { identity, factor, .. } => self.remove_factor(identity, factor),
            Fact::FactorUsed { identity, factor, step, .. } => self.use_factor(identity, factor, *step, at.time),
            Fact::CaStaged { ca, key, signs } => self.turn_ca(*ca, &Turn::Staged { key, signs }, at),
            Fact::CaActivated { ca, key, before } => self.turn_ca(*ca, &Turn::Activated { key, before }, at),
            Fact::CaRetired { ca, key } => self.turn_ca(*ca, &Turn::Retired { key }, at),
            Fact::CaCancelled { ca, key, signs } => self.turn_ca(*ca, &Turn::Cancelled { key, signs }, at),
            Fact::RequestFiled { request, spec, asked, paths } => self.file(Request {
                id: request.clone(),
                spec: spec.clone(),
                asked: asked.clone(),
                filed: at.time,
                state: RequestState::Pending(Pending { paths: paths.clone(), reviews: Vec::new() }),
            }),
            Fact::RequestReviewed { request, verdict, groups, comment, touch, totp, address } => {
                let by = self.reviewer(request, at)?;
                let reviewed = Reviewed {
                    by,
                    at: at.time,
                    verdict: verdict.clone(),
                    groups: groups.clone(),
                    comment: comment.clone(),
                    touch: *touch,
                    totp: *totp,
                    address: *address,
                    through: at.actor.through().cloned(),
                    withdrawn: None,
                };
                self.review(request, reviewed)
            }
            Fact::ReviewWithdrawn { request } => {
                let by = self.reviewer(request, at)?;
                self.withdraw(request, &by, at)
            }
            Fact::RequestApproved { request, path, approvers, starts, ends } => {
                let approval = Approval { path: path.clone(), approvers: approvers.clone(), at: at.time, ends: *ends };
                self.approve(request, approval, *starts, at)
            }
            Fact::RequestDenied { request } => self.deny(request, at),
            Fact::RequestCancelled { request } => self.pending_step(request, |pending| {
                RequestState::Cancelled(pending.closed(at.actor.clone(), at.time, at.seq))
            }),
            Fact::RequestExpired { request } => self.pending_step(request, |pending| {
                RequestState::Expired(pending.closed(at.actor.clone(), at.time, at.seq))
            }),
            Fact::GrantActivated { request } => self.activate(request),
            Fact::GrantExtended { request, by, from, to } => self.extend(request, by, *from, *to),
            Fact::GrantEnded { request, end, reason } => self.end_grant(request, *end, reason.as_ref(), at),
            Fact::CertificateIntended { certificate, request, tbs_sha256: _, bought_with } => {
                self.intend(Certificate {
                    body: certificate.clone(),
                    request: request.clone(),
                    by: at.actor.clone(),
                    bought_with: bought_with.clone(),
                    intended: at.time,
                    state: CertificateState::Intended,
                    seq: at.seq,
                })
            }
            Fact::CertificateIssued { serial, sha256 } => {
                self.settle(*serial, CertificateState::Issued { sha256: sha256.clone(), at: at.time })
            }
            Fact::CertificateFailed { serial, error } => {
                self.settle(*serial, CertificateState::Failed { error: error.clone(), at: at.time })
            }
            Fact::SessionOpened {
                session,
                request,
                identity,
                target,
                login,
                address,
                proxy,
                way,
                bought_with,
                presence,
            } => self.open_session(Session {
                id: session.clone(),
                request: request.clone(),
                identity: identity.clone(),
                target: target.clone(),
                login: login.clone(),
                address: address.clone(),
                proxy: proxy.clone(),
                way: *way,
                bought_with: bought_with.clone(),
                presence: presence.clone(),
                opened: at.time,
                target_log_in: None,
                channels: std::collections::BTreeMap::new(),
                channels_opened: 0,
                told: 0,
                bytes_in: 0,
                bytes_out: 0,
                state: SessionState::Live,
            }),
            Fact::SessionCut { session, reason } => {
                let cause = CutCause::Order(reason.clone());
                let cut = Cut { cause, by: at.actor.clone(), at: at.time };
                self.session_step(session, |live| live.cut(cut))
            }
            // It counts nothing: the CA ends sessions too, when it hears that nobody carries them. The end that a proxy
            // tells again is known by what it says.
            Fact::SessionEnded { session, end, cut, dropped } => {
                self.session_step(session, |live| live.ended(end.clone(), *cut, *dropped, at.seq))
            }
            Fact::ChannelOpened { session, channel, channel_kind, pty } => {
                let (kind, pty) = (channel_kind.clone(), pty.clone());
                self.open_channel(session, *channel, Channel { kind, pty, opened: at.time, end: None })?;
                self.tell(session)
            }
            Fact::ChannelRefused { session, .. } => {
                self.live_session(session)?;
                self.tell(session)
            }
            Fact::ChannelClosed { session, channel, end } => {
                self.close_channel(session, *channel, end)?;
                self.tell(session)
            }
            Fact::RecordingStarted { recording, session, channel } => {
                self.start_recording(recording, session, *channel, at)?;
                self.tell(session)
            }
            Fact::RecordingClosed { recording, session, closed } => {
                self.close_recording(recording, closed.clone(), at)?;
                self.tell(session)
            }
            Fact::RecordingFailed { recording, session, error } => {
                self.fail_recording(recording, error, at)?;
                self.tell(session)
            }
            Fact::TargetKeyMade { target, key, public_key } => {
                let (target, key, public_key) = (target.clone(), key.clone(), public_key.clone());
                self.add_target_key(TargetKey { target, key, public_key, made: at.time })
            }
            Fact::TargetKeyDestroyed { target, key } => self.drop_target_key(target, key),
            Fact::TargetKeyUsed { session, target, key, connection, .. } => {
                self.use_target_key(session, target, key, connection)
            }
            Fact::LockPlaced { lock } => self.place_lock(lock, at),
            Fact::LockLifted { lock, .. } => self.lift_lock(lock),
        }
    }
}
