//! Whether somebody who logs in at a proxy is to be asked for a one-time code there: once they are in, only who has a
//! terminal can be asked.

use identity::TokenInfo;
use model::{Factors, IdentityName, Login, TargetName};
use policy::Way;

use super::App;
use super::explain::supposed;
use super::open_session::standing;
use super::rights::{How, Matter, Rules};

/// What a proxy is to ask somebody for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeWanted {
    /// Whether they have an authenticator at all.
    pub authenticator: bool,
    /// Whether a code is wanted now, for where they go.
    pub code: bool,
}

impl App {
    /// What is to be asked for of who has just bought a pass to go to this place.
    #[must_use]
    pub fn code_wanted(&self, info: &TokenInfo, place: Option<(&str, &str)>) -> CodeWanted {
        let (Some(identity), Some(through)) = (info.subject.identity(), &info.through) else {
            return CodeWanted::default();
        };
        let authenticator = self.engine.peek(|state, _| state.factors_of(identity).next().is_some());
        let place = place.and_then(|(login, target)| Some((login.parse().ok()?, target.parse().ok()?)));
        let Some((login, target)) = place.filter(|_| authenticator) else {
            return CodeWanted { authenticator, code: false };
        };
        let rules = self.rules();
        let how = How { shown: through.presence.factors(), from: Some(info.address), way: Way::Ssh };
        CodeWanted { authenticator, code: self.lacks_code(&rules, identity, how, &login, &target) }
    }

    /// Whether a session there would be refused without a code and not with one; and where no grant is active, whether
    /// each way to one takes a code.
    fn lacks_code(&self, rules: &Rules, identity: &IdentityName, how: How, login: &Login, target: &TargetName) -> bool {
        let with = How { shown: Factors { totp: true, ..how.shown }, ..how };
        let of = Matter { owner: identity, target, login };
        let active = self.engine.peek(|state, now| {
            let id = standing(state, identity, login, target, how.shown, now)?;
            let (request, grant) = state.grant(&id).filter(|(_, grant)| grant.is_active(now))?;
            Some((request.spec.command.clone(), grant.path.obligations.clone()))
        });
        let now = self.engine.now();
        if let Some((command, asks)) = active {
            let may = |how| rules.connect(of, how, command.as_deref(), now).is_permitted();
            return asks.factor_lacking(how.shown).is_some() || (!may(how) && may(with));
        }
        let Ok(spec) = supposed(identity, login, target) else { return false };
        let paths = rules.request(&spec, with, now).paths();
        let closed = !rules.request(&spec, how, now).is_permitted();
        let all = paths.iter().all(|path| path.obligations.factor_lacking(how.shown).is_some());
        !paths.is_empty() && (closed || all)
    }
}
