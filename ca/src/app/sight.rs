//! Who may see what: the same answer for lists, single things and the feed of events.

use std::collections::HashMap;

use access::State;
use model::{Actor, Fact, IdentityName, LockSubject, Login, ProxyName, Record, RequestId, RequestSpec, TargetName};
use policy::Action;

use super::rights::{How, Matter, Rules};
use super::{App, Caller};

/// How many answers of the policy one view remembers.
const REMEMBERED: usize = 10_000;

/// One caller's view.
///
/// People see their own; reviewers see what they may review, and those who may replay it what they may replay; who may
/// lock or administer sees everything. A proxy sees its own sessions, and what can end them.
pub(super) struct Sight {
    caller: Caller,
    rules: Rules,
    all: bool,
    reviews: HashMap<Asked, bool>,
    replays: HashMap<(IdentityName, TargetName, Login), bool>,
    matters: HashMap<RequestId, Option<RequestSpec>>,
}

/// All of a request that a policy can look at.
type Asked = (IdentityName, TargetName, Login, u32, Option<String>, Option<String>);

impl Sight {
    pub(super) fn new(app: &App, caller: &Caller) -> Self {
        let rules = app.rules();
        let now = app.engine.now();
        let all = [Action::Lock, Action::Administer].into_iter().any(|action| rules.may(caller, action, now));
        let caller = caller.clone();
        Self { caller, rules, all, reviews: HashMap::new(), replays: HashMap::new(), matters: HashMap::new() }
    }

    /// Whether nothing is hidden.
    pub(super) const fn is_all(&self) -> bool {
        self.all
    }

    /// Whether it was made under the policy and the directory that are in force.
    pub(super) fn is_current(&self, app: &App) -> bool {
        self.rules.same(&app.rules())
    }

    /// Whether it is the caller's own.
    pub(super) fn own(&self, owner: &IdentityName) -> bool {
        self.caller.subject().identity() == Some(owner)
    }

    /// A request, with the grant that it became.
    pub(super) fn request(&mut self, app: &App, spec: &RequestSpec) -> bool {
        self.all || self.own(&spec.identity) || self.may_review(app, spec) || self.may_replay(app, Matter::of(spec))
    }

    /// A session, with its recordings.
    pub(super) fn session(&mut self, app: &App, of: Matter<'_>, by: &ProxyName) -> bool {
        self.all || self.own(of.owner) || self.caller.subject().proxy() == Some(by) || self.may_replay(app, of)
    }

    /// A lock: one's own, one on everything, or any for those who see all.
    pub(super) fn lock(&self, subject: &LockSubject) -> bool {
        self.all
            || match subject {
                LockSubject::Identity(name) => self.own(name),
                LockSubject::Everything => true,
                LockSubject::Target(_) | LockSubject::Login(..) | LockSubject::Grant(_) => false,
            }
    }

    /// Whether the caller may replay what happened in a session.
    pub(super) fn may_replay(&mut self, app: &App, of: Matter<'_>) -> bool {
        let key = (of.owner.clone(), of.target.clone(), of.login.clone());
        if let Some(known) = self.replays.get(&key) {
            return *known;
        }
        let may = self.rules.may_replay(&self.caller, of, app.engine.now());
        remember(&mut self.replays, key, may)
    }

    /// A record of the ledger.
    pub(super) async fn record(&mut self, app: &App, record: &Record) -> bool {
        if self.all {
            return true;
        }
        match self.caller.subject().proxy().cloned() {
            Some(proxy) => self.record_for_proxy(app, &proxy, record),
            None => self.record_for_person(app, record).await,
        }
    }

    async fn record_for_person(&mut self, app: &App, record: &Record) -> bool {
        match &record.entry.fact {
            Fact::LedgerOpened { .. }
            | Fact::SystemStarted { .. }
            | Fact::FrontCaLoaded { .. }
            | Fact::CaStaged { .. }
            | Fact::CaActivated { .. }
            | Fact::CaRetired { .. }
            | Fact::CaCancelled { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. }
            | Fact::TargetKeyMade { .. }
            | Fact::TargetKeyDestroyed { .. }
            | Fact::LockLifted { .. } => false,
            Fact::IdentityLoggedIn { identity, .. }
            | Fact::IdentityLoginRefused { identity, .. }
            | Fact::FactorAdded { identity, .. }
            | Fact::FactorRemoved { identity, .. }
            | Fact::FactorUsed { identity, .. }
            | Fact::FactorRefused { identity, .. }
            | Fact::SessionRefused { identity, .. } => self.own(identity),
            Fact::RequestFiled { spec, .. } | Fact::RequestRefused { spec, .. } => self.request(app, spec),
            Fact::LockPlaced { lock } => self.lock(&lock.subject),
            Fact::RequestReviewed { .. }
            | Fact::ReviewWithdrawn { .. }
            | Fact::RequestApproved { .. }
            | Fact::RequestDenied { .. }
            | Fact::RequestCancelled { .. }
            | Fact::RequestExpired { .. }
            | Fact::GrantActivated { .. }
            | Fact::GrantExtended { .. }
            | Fact::GrantEnded { .. }
            | Fact::CertificateIntended { .. }
            | Fact::CertificateIssued { .. }
            | Fact::CertificateFailed { .. }
            | Fact::TargetKeyUsed { .. }
            | Fact::SessionOpened { .. }
            | Fact::SessionCut { .. }
            | Fact::SessionEnded { .. }
            | Fact::ChannelOpened { .. }
            | Fact::ChannelRefused { .. }
            | Fact::ChannelClosed { .. }
            | Fact::RecordingStarted { .. }
            | Fact::RecordingClosed { .. }
            | Fact::RecordingFailed { .. }
            | Fact::RecordingReplayed { .. } => match self.matter(app, record).await {
                Some(spec) => self.request(app, &spec),
                None => record.entry.actor.identity().is_some_and(|actor| self.own(actor)),
            },
        }
    }

    /// What can end a session, whoever's it is, and what its own sessions did.
    fn record_for_proxy(&mut self, app: &App, proxy: &ProxyName, record: &Record) -> bool {
        match &record.entry.fact {
            Fact::GrantActivated { .. }
            | Fact::GrantExtended { .. }
            | Fact::GrantEnded { .. }
            | Fact::LockPlaced { .. }
            | Fact::LockLifted { .. }
            // Whom it trusts, and with what it is trusted.
            | Fact::CaStaged { .. }
            | Fact::CaActivated { .. }
            | Fact::CaRetired { .. }
            | Fact::CaCancelled { .. } => true,
            Fact::SessionCut { session, .. } => {
                // One that the state has forgotten ended long ago, and whoever follows from there may as well hear it.
                app.engine.peek(|state, _| state.session(session).is_none_or(|known| known.proxy == *proxy))
            }
            Fact::SessionOpened { proxy: by, .. } => by == proxy,
            // Whoever asks for more time in a live session is told there when it is no, and meanwhile that it is pending.
            Fact::RequestFiled { spec, .. } => spec.extends.is_some(),
            Fact::RequestDenied { request } | Fact::RequestExpired { request } | Fact::RequestCancelled { request } => {
                let extends = |state: &State| state.request(request).is_some_and(|known| known.spec.extends.is_some());
                app.engine.peek(|state, _| extends(state))
            }
            Fact::SessionEnded { .. }
            | Fact::ChannelOpened { .. }
            | Fact::ChannelRefused { .. }
            | Fact::ChannelClosed { .. }
            | Fact::RecordingStarted { .. }
            | Fact::RecordingClosed { .. }
            | Fact::RecordingFailed { .. } => record.entry.actor == Actor::Proxy(proxy.clone()),
            Fact::LedgerOpened { .. }
            | Fact::SystemStarted { .. }
            | Fact::FrontCaLoaded { .. }
            | Fact::SystemStopped {}
            | Fact::PolicyLoaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. }
            | Fact::TargetKeyMade { .. }
            | Fact::TargetKeyDestroyed { .. }
            | Fact::TargetKeyUsed { .. }
            | Fact::IdentityLoggedIn { .. }
            | Fact::IdentityLoginRefused { .. }
            | Fact::FactorAdded { .. }
            | Fact::FactorRemoved { .. }
            | Fact::FactorUsed { .. }
            | Fact::FactorRefused { .. }
            | Fact::RequestRefused { .. }
            | Fact::RequestReviewed { .. }
            | Fact::ReviewWithdrawn { .. }
            | Fact::RequestApproved { .. }
            | Fact::CertificateIntended { .. }
            | Fact::CertificateIssued { .. }
            | Fact::CertificateFailed { .. }
            | Fact::SessionRefused { .. }
            | Fact::RecordingReplayed { .. } => false,
        }
    }

    fn may_review(&mut self, app: &App, spec: &RequestSpec) -> bool {
        let Ok(reviewer) = self.caller.person() else { return false };
        let seconds = spec.duration.seconds();
        let (target, login) = (spec.target.clone(), spec.login.clone());
        let key = (spec.identity.clone(), target, login, seconds, spec.command.clone(), spec.ticket.clone());
        if let Some(known) = self.reviews.get(&key) {
            return *known;
        }
        let may = self.rules.standing(reviewer, How::of(&self.caller), spec, app.engine.now()).may_review;
        remember(&mut self.reviews, key, may)
    }

    /// What the request was that a record belongs to.
    async fn matter(&mut self, app: &App, record: &Record) -> Option<RequestSpec> {
        let id: RequestId = record.entry.correlation.as_str().parse().ok()?;
        if let Some(known) = self.matters.get(&id) {
            return known.clone();
        }
        let spec = app.engine.peek(|state: &State, _| state.request(&id).map(|request| request.spec.clone()));
        let spec = match spec {
            Some(spec) => Some(spec),
            None => app.spec_from_ledger(&id).await,
        };
        remember(&mut self.matters, id, spec)
    }
}

fn remember<K: std::hash::Hash + Eq, V: Clone>(memory: &mut HashMap<K, V>, key: K, value: V) -> V {
    if memory.len() >= REMEMBERED {
        memory.clear();
    }
    memory.insert(key, value.clone());
    value
}
