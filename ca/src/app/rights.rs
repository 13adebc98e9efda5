//! What policy and directory say, as they are in force at one moment. Every right is asked for here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use access::Standing;
use identity::Directory;
use model::{Factors, GroupName, IdentityName, Login, Presence, ProxyName, RequestSpec, Target, TargetName, Timestamp};
use policy::{Action, Asker, Context, Explanation, Judgement, Known, Policies, Question, Requester, Way};

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

/// Somebody at one moment: what policy looks at beside what they want.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stance<'a> {
    pub(super) name: &'a IdentityName,
    /// What they have shown beside their key.
    pub(super) shown: Factors,
    pub(super) from: Option<IpAddr>,
    pub(super) way: Way,
    pub(super) now: Timestamp,
}

/// How somebody came to ask or to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// What they have shown beside their key.
    pub(super) shown: Factors,
    /// From where.
    pub(super) from: Option<IpAddr>,
    /// Whether a proxy passed it on.
    pub(super) way: Way,
}

impl How {
    /// As the caller calls.
    pub(super) fn of(caller: &Caller) -> Self {
        Self { shown: caller.factors(), from: Some(caller.address()), way: caller.way() }
    }

    /// As a session is opened: with a plain key it is this log-in that counts; a certificate was bought at the API, by
    /// somebody who had asked as they had.
    pub(super) fn entering(presence: Option<&Presence>, asked: Factors, from: Option<IpAddr>) -> Self {
        match presence.filter(|presence| presence.certificate.is_none() && presence.key.is_some()) {
            Some(presence) => Self { shown: presence.factors(), from, way: Way::Ssh },
            None => Self { shown: asked, from, way: Way::Api },
        }
    }

    /// As it was kept with a request or a review.
    pub(super) const fn kept(shown: Factors, from: Option<IpAddr>, through: Option<&ProxyName>) -> Self {
        let way = match through {
            Some(_) => Way::Ssh,
            None => Way::Api,
        };
        Self { shown, from, way }
    }
}

/// What somebody wants: all the questions that there are.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    /// To have their own request filed.
    Request(&'a RequestSpec),
    /// To ask for a login, for no time and without anything that could be named, but for a ticket.
    Anything(Matter<'a>, Option<&'a str>),
    /// To review somebody's request.
    Review(&'a RequestSpec),
    /// To open a session, under a grant for this one command if there is one.
    Connect(Matter<'a>, Option<&'a str>),
    /// To read the recordings of somebody's session.
    Replay(Matter<'a>),
    /// To place locks and revoke, or to administer.
    System(Action),
}

impl<'a> Stance<'a> {
    /// The caller as they call. `name` is theirs.
    pub(super) fn of(caller: &Caller, name: &'a IdentityName, now: Timestamp) -> Self {
        Self::at(name, How::of(caller), now)
    }

    pub(super) const fn at(name: &'a IdentityName, how: How, now: Timestamp) -> Self {
        let How { shown, from, way } = how;
        Self { name, shown, from, way, now }
    }
}

impl<'a> Matter<'a> {
    pub(super) const fn of(spec: &'a RequestSpec) -> Self {
        Self { owner: &spec.identity, target: &spec.target, login: &spec.login }
    }
}

/// What a directory holds, for looking up the names that a policy mentions.
#[must_use]
pub fn names(directory: &Directory) -> Known<'_> {
    Known::new(
        directory.groups().map(|(group, _)| group),
        directory.identities().map(|identity| (&identity.name, &identity.groups)),
        directory.targets(),
    )
}

/// A ticket as good as any other, for asking whether one would help.
pub(super) const ANY_TICKET: &str = "OPS-1";

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

    /// What policy says to somebody who wants something.
    pub(super) fn judge(&self, who: Stance<'_>, want: Want<'_>) -> Judgement {
        // Who or what left the directory has no labels or groups to judge by: nothing is permitted.
        let nothing = Judgement::NothingMatches { skipped: Vec::new() };
        self.put(who, want, |question| self.policies.judge(question)).unwrap_or(nothing)
    }

    /// The same with the part that each policy has in it; `None` when the directory lacks the person, the target or
    /// the login.
    pub(super) fn explain(&self, who: Stance<'_>, want: Want<'_>) -> Option<Explanation> {
        self.put(who, want, |question| self.policies.explain(question))
    }

    /// What policy offers for a request: nobody when its asker, its target or its login left the directory.
    pub(super) fn request(&self, spec: &RequestSpec, how: How, now: Timestamp) -> Judgement {
        self.judge(Stance::at(&spec.identity, how, now), Want::Request(spec))
    }

    /// Whether somebody could ask for a login at all, whatever the time, the ticket or the command.
    pub(super) fn may_ask(
        &self,
        name: &IdentityName,
        shown: Factors,
        target: &Target,
        login: &Login,
        from: IpAddr,
        now: Timestamp,
    ) -> bool {
        let of = Matter { owner: name, target: &target.name, login };
        let how = How { shown, from: Some(from), way: Way::Api };
        self.judge(Stance::at(name, how, now), Want::Anything(of, None)).is_permitted()
    }

    /// Whether somebody may know that there is a target: they may ask for one of its logins, or could with what they
    /// can bring along, second factors and a ticket, or if no forbid stopped them. To everybody else it is as
    /// good as absent.
    pub(super) fn may_know(&self, who: Stance<'_>, target: &TargetName) -> bool {
        let Some(target) = self.directory.target(target) else { return false };
        let could = |login: &Login| {
            let of = Matter { owner: who.name, target: &target.name, login };
            let (own, all) = (who.shown, Factors::ALL);
            let ways = [(own, None), (all, None), (own, Some(ANY_TICKET)), (all, Some(ANY_TICKET))];
            let mut ways = ways.into_iter();
            let offers = |question: &Question<'_>| self.policies.offers(question);
            ways.any(|(shown, ticket)| {
                self.put(Stance { shown, ..who }, Want::Anything(of, ticket), offers).unwrap_or(false)
            })
        };
        target.logins.iter().any(could)
    }

    /// What policy says of a reviewer of a request.
    pub(super) fn standing(&self, reviewer: &IdentityName, how: How, spec: &RequestSpec, now: Timestamp) -> Standing {
        let judged = self.judge(Stance::at(reviewer, how, now), Want::Review(spec));
        Standing { may_review: judged.is_permitted(), groups: self.groups(reviewer).clone() }
    }

    /// Whether policy lets a session go on, or begin.
    pub(super) fn connect(&self, who: Matter<'_>, how: How, command: Option<&str>, now: Timestamp) -> Judgement {
        self.judge(Stance::at(who.owner, how, now), Want::Connect(who, command))
    }

    /// Whether a caller may replay somebody's sessions.
    pub(super) fn may_replay(&self, caller: &Caller, of: Matter<'_>, now: Timestamp) -> bool {
        let Ok(name) = caller.identity() else { return false };
        self.judge(Stance::of(caller, name, now), Want::Replay(of)).is_permitted()
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
        let who = Stance::of(caller, caller.identity().ok()?, now);
        self.put(who, Want::System(action), |question| self.policies.judge(question))
    }

    /// Puts a question in the words of the policies: the one place where that is done.
    fn put<'a, T>(&'a self, who: Stance<'a>, want: Want<'a>, to: impl FnOnce(&Question<'_>) -> T) -> Option<T> {
        let identity = self.directory.identity(who.name)?;
        let asker = Asker { name: &identity.name, groups: &identity.groups, shown: who.shown };
        let bare = Context { address: who.from, way: who.way, ..Context::at(who.now) };
        let asking = |spec: &'a RequestSpec| Context {
            duration: spec.duration,
            command: spec.command.as_deref(),
            ticket: spec.ticket.as_deref(),
            ..bare
        };
        let (action, of, context) = match want {
            Want::Request(spec) => (Action::Request, Some(Matter::of(spec)), asking(spec)),
            Want::Anything(of, ticket) => (Action::Request, Some(of), Context { ticket, ..bare }),
            Want::Review(spec) => {
                let context = Context { requester: Some(self.requester(&spec.identity)), ..asking(spec) };
                (Action::Review, Some(Matter::of(spec)), context)
            }
            Want::Connect(of, command) => (Action::Connect, Some(of), Context { command, ..bare }),
            Want::Replay(of) => {
                (Action::Replay, Some(of), Context { requester: Some(self.requester(of.owner)), ..bare })
            }
            Want::System(action) => (action, None, bare),
        };
        let (target, login) = match of {
            Some(of) => (Some(self.target(of.target, of.login).ok()?), Some(of.login)),
            None => (None, None),
        };
        Some(to(&Question { asker, action, target, login, context }))
    }

    fn requester<'a>(&'a self, name: &'a IdentityName) -> Requester<'a> {
        Requester { name, groups: self.groups(name) }
    }
}
