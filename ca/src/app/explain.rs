//! What would policy say?

use model::{IdentityName, Login, Span, TargetName};
use policy::{Action, Asker, Context, Explanation, Question, Requester};

use super::{App, AppError, Caller};

/// A question to be explained.
#[derive(Clone, Debug)]
pub struct Riddle {
    /// Who would ask; `None`: the caller.
    pub identity: Option<IdentityName>,
    /// For what.
    pub action: Action,
    /// Where.
    pub target: Option<TargetName>,
    /// As whom.
    pub login: Option<Login>,
    /// For how long.
    pub duration: Option<Span>,
    /// Which one exact command.
    pub command: Option<String>,
    /// With which ticket.
    pub ticket: Option<String>,
}

impl App {
    /// Explains what policy says to a question. Asking for oneself is free.
    ///
    /// # Errors
    /// It is about somebody else and the caller may not administer, or it cannot be asked.
    pub fn explain(&self, caller: &Caller, riddle: &Riddle) -> Result<Explanation, AppError> {
        let me = caller.identity()?;
        let rules = self.rules();
        let now = self.engine.now();
        let name = riddle.identity.as_ref().unwrap_or(me);
        if name != me {
            rules.demand(caller, Action::Administer, now)?;
        }
        let identity = rules.directory.identity(name).ok_or_else(|| AppError::not_found("identity", name))?;
        let target = match &riddle.target {
            Some(name) => Some(rules.directory.target(name).ok_or_else(|| AppError::not_found("target", name))?),
            None => None,
        };
        if riddle.action.is_about_login() && (target.is_none() || riddle.login.is_none()) {
            return Err(AppError::Invalid(format!("the action {} is about a target and a login", riddle.action)));
        }
        // Whose request or session it would be is not part of the question; nobody's groups are assumed.
        let nobody = std::collections::BTreeSet::new();
        let requester = match riddle.action {
            Action::Review | Action::Replay => Some(Requester { name: me, groups: &nobody }),
            Action::Request | Action::Connect | Action::Lock | Action::Administer => None,
        };
        let context = Context {
            duration: riddle.duration.unwrap_or(Span::ZERO),
            command: riddle.command.as_deref(),
            ticket: riddle.ticket.as_deref(),
            requester,
            ..Context::at(now)
        };
        let asker = Asker { name, groups: &identity.groups, touch: name == me && caller.touch() };
        let login = riddle.login.as_ref();
        Ok(rules.policies.explain(&Question { asker, action: riddle.action, target, login, context }))
    }
}
