//! Deciding: state, who acts, what they want and when, in; facts out.

mod certificate;
mod factor;
mod file;
mod grant;
mod lock;
mod note;
mod outcome;
mod recording;
mod review;
mod rotate;
mod session;
mod target_key;
mod tick;

use model::{Actor, Correlation, Entry, Fact, IdentityName, Login, RequestId, TargetName, Timestamp};

use crate::state::{Grant, GrantState, Pending, Request, RequestState};
use crate::{Command, PathGap, Permit, PlacedLock, Refusal, State};

/// What a command leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The facts, in order. They belong together: append them all or none. Empty when all is so already.
    pub facts: Vec<Entry>,
    /// The proof that a session was allowed; only of `OpenSession`.
    pub permit: Option<Permit>,
    /// The request that `FileRequest` and `Review` are about; for a repeated idempotency key it is the first one's id.
    pub request: Option<RequestId>,
    /// What each path still lacks, least burden first, of `FileRequest` and `Review`. The path that was taken lacks
    /// nothing.
    pub gaps: Vec<PathGap>,
}

/// Decides a command at `now`.
///
/// What the clock has made due is taken into account whether or not a `Tick` has said so yet: a grant whose time is
/// up lets nobody in.
///
/// # Errors
/// A [`Refusal`] that says what is so and what to do next. Nothing changes then; an edge that must keep a refusal
/// records it with [`Note`](crate::Note).
pub fn decide(state: &State, actor: &Actor, command: Command, now: Timestamp) -> Result<Decision, Refusal> {
    let desk = Desk { state, actor, now };
    if !is_last_word(&command) {
        desk.actor_unlocked()?;
    }
    match command {
        Command::FileRequest(file) => desk.file(*file),
        Command::Review(review) => desk.review(review),
        Command::WithdrawReview(withdraw) => desk.withdraw(&withdraw).map(Decision::of),
        Command::Cancel(cancel) => desk.cancel(&cancel).map(Decision::of),
        Command::Revoke(revoke) => desk.revoke(&revoke).map(Decision::of),
        Command::Release(release) => desk.release(&release).map(Decision::of),
        Command::Lock(lock) => desk.lock(lock).map(Decision::of),
        Command::Unlock(unlock) => desk.unlock(&unlock).map(Decision::of),
        Command::AddFactor(add) => desk.add_factor(&add).map(Decision::of),
        Command::RemoveFactor(remove) => desk.remove_factor(&remove).map(Decision::of),
        Command::UseFactor(using) => desk.use_factor(&using).map(Decision::of),
        Command::OpenSession(open) => desk.open_session(*open),
        Command::CutSession(cut) => desk.cut_session(&cut).map(Decision::of),
        Command::EndSession(end) => desk.end_session(end).map(Decision::of),
        Command::ChannelOpened(opened) => desk.channel_opened(opened).map(Decision::of),
        Command::ChannelRefused(refused) => desk.channel_refused(refused).map(Decision::of),
        Command::ChannelClosed(closed) => desk.channel_closed(closed).map(Decision::of),
        Command::RecordingStarted(started) => desk.recording_started(started).map(Decision::of),
        Command::RecordingClosed(closed) => desk.recording_closed(closed).map(Decision::of),
        Command::RecordingFailed(failed) => desk.recording_failed(failed).map(Decision::of),
        Command::Reported(reported) => desk.reported(*reported),
        Command::RecordingReplayed(replayed) => desk.recording_replayed(replayed).map(Decision::of),
        Command::IntendCertificate(intend) => desk.intend_certificate(*intend).map(Decision::of),
        Command::CertificateIssued(issued) => desk.certificate_issued(issued).map(Decision::of),
        Command::CertificateFailed(failed) => desk.certificate_failed(failed).map(Decision::of),
        Command::MakeTargetKey(make) => desk.make_target_key(make).map(Decision::of),
        Command::DestroyTargetKey(destroy) => desk.destroy_target_key(&destroy).map(Decision::of),
        Command::UseTargetKey(use_it) => desk.use_target_key(use_it).map(Decision::of),
        Command::RotateCa(rotate) => desk.rotate(&rotate).map(Decision::of),
        Command::Tick => desk.tick().map(Decision::of),
        Command::Note(note) => desk.note(note).map(Decision::of),
    }
}

impl State {
    /// Refuses an identity that is under a lock of its own. A lock on everything keeps everybody out of the targets,
    /// and nobody from lifting it.
    ///
    /// # Errors
    /// The refusal, with the lock's reason.
    pub fn check_unlocked(&self, identity: &IdentityName, now: Timestamp) -> Result<(), Refusal> {
        match self.lock_on(&model::LockSubject::Identity(identity.clone()), now) {
            Some(placed) => Err(locked(placed)),
            None => Ok(()),
        }
    }
}

/// Whether a command only keeps what was refused or went wrong: that is wanted of the locked as well.
fn is_last_word(command: &Command) -> bool {
    match command {
        Command::CertificateFailed(_) => true,
        Command::Reported(reported) => is_last_word(&reported.command),
        Command::Note(note) => matches!(
            note.fact,
            Fact::RequestRefused { .. }
                | Fact::SessionRefused { .. }
                | Fact::IdentityLoginRefused { .. }
                | Fact::FactorRefused { .. }
        ),
        Command::FileRequest(_)
        | Command::Review(_)
        | Command::WithdrawReview(_)
        | Command::Cancel(_)
        | Command::Revoke(_)
        | Command::Release(_)
        | Command::Lock(_)
        | Command::Unlock(_)
        | Command::AddFactor(_)
        | Command::RemoveFactor(_)
        | Command::UseFactor(_)
        | Command::OpenSession(_)
        | Command::CutSession(_)
        | Command::EndSession(_)
        | Command::ChannelOpened(_)
        | Command::ChannelRefused(_)
        | Command::ChannelClosed(_)
        | Command::RecordingStarted(_)
        | Command::RecordingClosed(_)
        | Command::RecordingFailed(_)
        | Command::RecordingReplayed(_)
        | Command::IntendCertificate(_)
        | Command::CertificateIssued(_)
        | Command::MakeTargetKey(_)
        | Command::DestroyTargetKey(_)
        | Command::UseTargetKey(_)
        | Command::RotateCa(_)
        | Command::Tick => false,
    }
}

impl Decision {
    fn of(facts: Vec<Entry>) -> Self {
        Self { facts, ..Self::default() }
    }
}

/// What a decision is made from. The files beside this one add one subject each.
struct Desk<'a> {
    state: &'a State,
    actor: &'a Actor,
    now: Timestamp,
}

impl<'a> Desk<'a> {
    /// A fact caused by the actor.
    fn entry(&self, correlation: impl Into<Correlation>, fact: Fact) -> Entry {
        self.entry_by(self.actor.clone(), correlation, fact)
    }

    /// A fact caused by a deadline or by policy.
    fn system_entry(&self, correlation: impl Into<Correlation>, fact: Fact) -> Entry {
        self.entry_by(Actor::System, correlation, fact)
    }

    fn entry_by(&self, actor: Actor, correlation: impl Into<Correlation>, fact: Fact) -> Entry {
        Entry { time: self.now, actor, correlation: correlation.into(), fact }
    }

    /// The person who acts.
    fn person(&self, what: &str) -> Result<&'a IdentityName, Refusal> {
        self.actor
            .identity()
            .ok_or_else(|| Refusal::new("not-a-person", format!("{} cannot {what}: only a person can", self.actor)))
    }

    fn request(&self, id: &RequestId) -> Result<&'a Request, Refusal> {
        self.state.request(id).ok_or_else(|| {
            Refusal::new("unknown-request", format!("there is no request {id}"))
                .with_hint("an ended one may be out of reach here: search the ledger for it")
        })
    }

    /// A request that is pending, also by the clock.
    fn pending(&self, id: &RequestId, cannot: &str) -> Result<(&'a Request, &'a Pending), Refusal> {
        let request = self.request(id)?;
        match &request.state {
            RequestState::Pending(pending) if self.now < request.asked.expires && pending.denial().is_none() => {
                Ok((request, pending))
            }
            RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_) => Err(outcome::not_pending(request, cannot, self.now)),
        }
    }

    /// A grant that is scheduled or active, also by the clock.
    fn live_grant(&self, id: &RequestId, cannot: &str) -> Result<(&'a Request, &'a Grant), Refusal> {
        let request = self.request(id)?;
        match &request.state {
            RequestState::Granted(grant) if grant.is_live() && self.now < grant.ends => Ok((request, grant)),
            RequestState::Granted(_)
            | RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => Err(outcome::not_live(request, cannot, self.now)),
        }
    }

    /// A grant that is active, and the fact that says so when the clock was first to say it.
    fn active_grant(&self, id: &RequestId) -> Result<(&'a Request, &'a Grant, Option<Entry>), Refusal> {
        let request = self.request(id)?;
        match &request.state {
            RequestState::Granted(grant) if grant.is_active(self.now) => {
                let activated = match grant.state {
                    GrantState::Scheduled => Some(self.system_entry(id, Fact::GrantActivated { request: id.clone() })),
                    GrantState::Active | GrantState::Ended(_) => None,
                };
                Ok((request, grant, activated))
            }
            RequestState::Granted(grant) if grant.is_live() && self.now < grant.starts => {
                let sentence = format!("grant {id} for {} begins at {}", place(request), grant.starts.to_second());
                let hint = format!("try again at {}", grant.starts.to_second());
                Err(Refusal::new("no-active-grant", sentence).with_hint(hint))
            }
            RequestState::Granted(grant) if grant.is_live() => Err(self.no_grant(request, "over")),
            RequestState::Granted(_)
            | RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => Err(self.no_grant(request, described(request.status()))),
        }
    }

    fn no_grant(&self, request: &Request, word: &str) -> Refusal {
        let place = place(request);
        let hint = match request.state {
            RequestState::Pending(_) => format!("it waits for an answer: portcullis requests {}", request.id),
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_) => format!("run: portcullis request {place} --for 30m"),
        };
        Refusal::new("no-active-grant", format!("no active grant for {place}: {} is {word}", request.id))
            .with_hint(hint)
    }

    /// Refuses when a lock covers this.
    fn unlocked(
        &self,
        identity: &IdentityName,
        target: &TargetName,
        login: &Login,
        grant: Option<&RequestId>,
    ) -> Result<(), Refusal> {
        match self.state.lock_over(identity, target, login, grant, self.now) {
            Some(placed) => Err(locked(placed)),
            None => Ok(()),
        }
    }

    /// Refuses when the person who acts is locked.
    fn actor_unlocked(&self) -> Result<(), Refusal> {
        self.actor.identity().map_or(Ok(()), |name| self.state.check_unlocked(name, self.now))
    }

    /// Refuses someone without the right. The system needs none.
    fn allowed(&self, allowed: bool, what: &str, explain: &str) -> Result<(), Refusal> {
        match self.actor {
            Actor::System => Ok(()),
            Actor::Identity(_) | Actor::Through { .. } | Actor::Proxy(_) if allowed => Ok(()),
            Actor::Identity(_) | Actor::Through { .. } | Actor::Proxy(_) => {
                Err(Refusal::new("not-allowed", format!("{} may not {what}", self.actor))
                    .with_hint(format!("run: portcullis policy explain {explain}")))
            }
        }
    }
}

/// "root@web1"
fn place(request: &Request) -> String {
    format!("{}@{}", request.spec.login, request.spec.target)
}

/// A state's word as it is said of a request that is no longer pending.
fn described(word: &'static str) -> &'static str {
    match word {
        "scheduled" | "active" => "approved",
        other => other,
    }
}

fn locked(placed: &PlacedLock) -> Refusal {
    let PlacedLock { lock, .. } = placed;
    let refusal = Refusal::new("locked", format!("{} is locked: {}", lock.subject, lock.reason));
    match lock.until {
        Some(until) => {
            refusal.with_hint(format!("{} lifts itself at {}; ask an administrator", lock.id, until.to_second()))
        }
        None => refusal.with_hint(format!(
            "ask an administrator: someone who may lock can lift it with portcullis unlock {}",
            lock.id
        )),
    }
}
