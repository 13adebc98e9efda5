//! What policy and directory say, as they are in force at one moment. Every right is asked for here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use access::Standing;
use identity::Directory;
use model::{GroupName, IdentityName, Login, PolicyPath, RequestSpec, Target, TargetName, Timestamp};
use policy::{Action, Asker, Context, Judgement, Policies, Question, Requester};

use super::{AppError, Caller};

/// Policy and directory at one moment.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) policies: Arc<Policies>,
    pub(super) directory: Arc<Directory>,
}

/// Somebody's request or session, as far as rights depend on it.
#[derive(Clone, Copy)]
pub(super) struct Matter<'a> {
    pub(super) owner: &'a IdentityName,
    pub(super) target: &'a TargetName,
    pub(super) login: &'a Login,
}

impl<'a> Matter<'a> {
    pub(super) const fn of(spec: &'a RequestSpec) -> Self {
        Self { owner: &spec.identity, target: &spec.target, login: &spec.login }
    }
}

/// Nobody's groups.
static NO_GROUPS: BTreeSet<GroupName> = BTreeSet::new();

impl Rules {
    /// Whether both are the very same policy and directory.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.policies, &other.policies) && Arc::ptr_eq(&self.directory, &other.directory)
    }

    /// The groups of an identity; none when the directory does not know it.
    pub(super) fn groups(&self, name: &IdentityName) -> &BTreeSet<GroupName> {
        self.directory.identity(name).map_or(&NO_GROUPS, |identity| &identity.groups)
    }

    /// A target with this login.
    ///
    /// # Errors
    /// The directory has none.
    pub(super) fn target(&self, name: &TargetName, login: &Login) -> Result<&Target, AppError> {
        let target = self.directory.target(name).ok_or_else(|| AppError::not_found("target", name))?;
        if target.logins.contains(login) {
            Ok(target)
        } else {
            Err(AppError::not_found("login", format_args!("{login}@{name}")))
        }
    }

    /// What policy offers for a request: nobody when its asker, its target or its login left the directory.
    pub(super) fn request(&self, spec: &RequestSpec, touch: bool, from: Option<IpAddr>, now: Timestamp) -> Judgement {
        let context = Context {
            duration: spec.duration,
            command: spec.command.as_deref(),
            ticket: spec.ticket.as_deref(),
            address: from,
            ..Context::at(now)
        };
        self.on_login(&spec.identity, touch, Action::Request, (&spec.target, &spec.login), context)
    }

    /// What policy offers for a request, as paths.
    pub(super) fn paths(&self, spec: &RequestSpec, touch: bool, now: Timestamp) -> Vec<PolicyPath> {
        self.request(spec, touch, None, now).paths()
    }

    /// Whether somebody could ask for a login at all, whatever the time, the ticket or the command.
    pub(super) fn may_ask(
        &self,
        name: &IdentityName,
        touch: bool,
        target: &Target,
        login: &Login,
        from: IpAddr,
        now: Timestamp,
    ) -> bool {
        let context = Context { address: Some(from), ..Context::at(now) };
        self.on_login(name, touch, Action::Request, (&target.name, login), context).is_permitted()
    }

    /// What policy says of a reviewer of a request.
    pub(super) fn standing(
        &self,
        reviewer: &IdentityName,
        touch: bool,
        from: Option<IpAddr>,
        spec: &RequestSpec,
        now: Timestamp,
    ) -> Standing {
        let context = Context {
            duration: spec.duration,
            command: spec.command.as_deref(),
            ticket: spec.ticket.as_deref(),
            address: from,
            requester: Some(self.requester(&spec.identity)),
            ..Context::at(now)
        };
        let judged = self.on_login(reviewer, touch, Action::Review, (&spec.target, &spec.login), context);
        Standing { may_review: judged.is_permitted(), groups: self.groups(reviewer).clone() }
    }

    /// Whether policy lets a session go on, or begin.
    pub(super) fn connect(
        &self,
        who: Matter<'_>,
        touch: bool,
        command: Option<&str>,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Judgement {
        let context = Context { command, address: from, ..Context::at(now) };
        self.on_login(who.owner, touch, Action::Connect, (who.target, who.login), context)
    }

    /// Whether a caller may replay somebody's sessions.
    pub(super) fn may_replay(&self, caller: &Caller, of: Matter<'_>, now: Timestamp) -> bool {
        let Ok(name) = caller.identity() else { return false };
        let requester = Some(self.requester(of.owner));
        let context = Context { requester, address: Some(caller.address()), ..Context::at(now) };
        let at = (of.target, of.login);
        self.on_login(name, caller.touch(), Action::Replay, at, context).is_permitted()
    }

    /// Whether a caller may lock, or administer.
    pub(super) fn may(&self, caller: &Caller, action: Action, now: Timestamp) -> bool {
        self.judge_system(caller, action, now).is_some_and(|judged| judged.is_permitted())
    }

    /// Insists on a right to the system.
    ///
    /// # Errors
    /// The caller lacks it.
    pub(super) fn demand(&self, caller: &Caller, action: Action, now: Timestamp) -> Result<(), AppError> {
        caller.identity()?;
        match self.judge_system(caller, action, now) {
            Some(judged) if judged.is_permitted() => Ok(()),
            judged => Err(AppError::Forbidden {
                sentence: format!(
                    "{} may not {action}: {}",
                    caller.subject(),
                    judged.map_or_else(|| "the directory does not know them".to_owned(), |judged| judged.sentence())
                ),
                hint: Some(format!("run: portcullis policy explain --action {action}")),
            }),
        }
    }

    fn judge_system(&self, caller: &Caller, action: Action, now: Timestamp) -> Option<Judgement> {
        let identity = self.directory.identity(caller.identity().ok()?)?;
        let asker = Asker { name: &identity.name, groups: &identity.groups, touch: caller.touch() };
        let context = Context { address: Some(caller.address()), ..Context::at(now) };
        Some(self.policies.judge(&Question { asker, action, target: None, login: None, context }))
    }

    fn on_login(
        &self,
        name: &IdentityName,
        touch: bool,
        action: Action,
        (target, login): (&TargetName, &Login),
        context: Context<'_>,
    ) -> Judgement {
        // Who or what left the directory has no labels or groups to judge by: nothing is permitted.
        let nothing = Judgement::NothingMatches { skipped: Vec::new() };
        let Some(identity) = self.directory.identity(name) else { return nothing };
        let Ok(target) = self.target(target, login) else { return nothing };
        let asker = Asker { name: &identity.name, groups: &identity.groups, touch };
        self.policies.judge(&Question { asker, action, target: Some(target), login: Some(login), context })
    }

    fn requester<'a>(&'a self, name: &'a IdentityName) -> Requester<'a> {
        Requester { name, groups: self.groups(name) }
    }
}
