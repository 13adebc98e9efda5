//! What somebody may have meant who named something that is not there. Nothing is named that they may not see: for them
//! a hidden thing and one that does not exist are answered alike.

use std::net::IpAddr;

use access::State;
use identity::strict::nearest;
use model::{IdentityName, Login, RequestId, Target, TargetName};

use super::rights::Rules;
use super::sight::Sight;
use super::{App, AppError, Caller};

/// How many near names are looked at: each costs questions to the policy.
const LOOKS: usize = 8;

/// Somebody, as far as it decides what they may ask for.
#[derive(Clone, Copy)]
pub(super) struct Seeker<'a> {
    pub(super) name: &'a IdentityName,
    pub(super) touch: bool,
    pub(super) from: IpAddr,
}

impl App {
    /// The place nearest to `login@target` among those that the person may ask for; `None` when they may ask for that
    /// very one, and when nothing is near.
    pub(super) fn near_place(&self, seeker: Seeker<'_>, login: &str, target: &str) -> Option<String> {
        let rules = self.rules();
        let may = |target: &Target, login: &Login| {
            rules.may_ask(seeker.name, seeker.touch, target, login, seeker.from, self.engine.now())
        };
        let typed = target.parse::<TargetName>().ok().and_then(|name| rules.directory.target(&name));
        if typed.is_some_and(|typed| typed.logins.iter().any(|known| known.as_str() == login && may(typed, known))) {
            return None;
        }
        let mut known: Vec<&Target> = rules.directory.targets().collect();
        for _ in 0..LOOKS {
            let near = nearest(target, known.iter().map(|target| target.name.as_str()))?.to_owned();
            let found = known.iter().find(|target| target.name.as_str() == near).copied()?;
            let open: Vec<&Login> = found.logins.iter().filter(|login| may(found, login)).collect();
            if !open.is_empty() {
                let meant = nearest(login, open.iter().map(|login| login.as_str()));
                let meant = meant.or_else(|| open.first().map(|login| login.as_str()))?;
                return Some(format!("{meant}@{}", found.name));
            }
            known.retain(|target| target.name.as_str() != near);
        }
        None
    }

    /// That there is no such target or login, with the place that the caller may have meant.
    pub(super) fn known_place(
        &self,
        rules: &Rules,
        caller: &Caller,
        target: &TargetName,
        login: &Login,
    ) -> Result<(), AppError> {
        let Err(error) = rules.target(target, login) else { return Ok(()) };
        let seeker = Seeker { name: caller.identity()?, touch: caller.touch(), from: caller.address() };
        Err(match self.near_place(seeker, login.as_str(), target.as_str()) {
            Some(place) => error.with_near(place),
            None => error,
        })
    }

    /// That there is no such request or grant, with the id that the caller may have mistyped.
    pub(super) async fn no_request(&self, caller: &Caller, what: &'static str, id: &RequestId) -> AppError {
        let error = AppError::not_found(what, id);
        let mut sight = Sight::new(self, caller);
        let near = self.engine.peek(|state: &State, _| {
            let near = nearest(id.as_str(), state.requests().map(|request| request.id.as_str()));
            let near = near.filter(|near| differing(near, id.as_str()) <= SLIPS)?;
            state
                .requests()
                .find(|request| request.id.as_str() == near)
                .map(|request| request.spec.clone())
                .zip(Some(near.to_owned()))
        });
        match near {
            Some((spec, near)) if sight.request(self, &spec) => error.with_near(near),
            Some(_) | None => error,
        }
    }
}

/// How many characters of an id may be mistyped: an id is random, so more than these are another one.
const SLIPS: usize = 2;

fn differing(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count()
}
