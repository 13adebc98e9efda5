//! What somebody may have meant who named something that is not there. Nothing is named that they may not see: for them
//! a hidden thing and one that does not exist are answered alike.

use std::net::IpAddr;

use access::State;
use identity::strict::{distance, nearest};
use model::{Factors, IdentityName, Login, RequestId, RequestSpec, Target, TargetName};

use super::rights::{Rules, Stance, Want};
use super::sight::Sight;
use super::{App, AppError, Caller};

/// How many near names are looked at: each costs questions to the policy.
const LOOKS: usize = 8;
/// How many targets a mistyped name is compared with: whoever keeps mistyping holds nobody up.
const COMPARED: usize = 1_000;

/// Somebody, as far as it decides what they may ask for.
#[derive(Clone, Copy)]
pub(super) struct Seeker<'a> {
    pub(super) name: &'a IdentityName,
    pub(super) shown: Factors,
    pub(super) from: IpAddr,
}

/// What somebody may have meant by a place that they typed.
pub(super) enum Meant {
    /// That very one: they may ask for it.
    Itself,
    /// Another one, which is near.
    Place(String),
    /// None that they may ask for.
    Nothing,
}

impl App {
    /// The place nearest to `login@target` among those that the person may ask for.
    pub(super) fn near_place(&self, seeker: Seeker<'_>, login: &str, target: &str) -> Meant {
        let (rules, now) = (self.rules(), self.engine.now());
        let may =
            |target: &Target, login: &Login| rules.may_ask(seeker.name, seeker.shown, target, login, seeker.from, now);
        let typed = target.parse::<TargetName>().ok().and_then(|name| rules.directory.target(&name));
        if typed.is_some_and(|typed| typed.logins.iter().any(|known| known.as_str() == login && may(typed, known))) {
            return Meant::Itself;
        }
        let near = rules.directory.targets().take(COMPARED);
        let near = near.filter_map(|known| Some((distance(target, known.name.as_str())?, known)));
        let mut near: Vec<(usize, &Target)> = near.collect();
        near.sort_by_key(|(distance, _)| *distance);
        let place = near.into_iter().take(LOOKS).find_map(|(_, found)| {
            let open: Vec<&Login> = found.logins.iter().filter(|login| may(found, login)).collect();
            let meant = nearest(login, open.iter().map(|login| login.as_str()));
            let meant = meant.or_else(|| open.first().map(|login| login.as_str()))?;
            Some(format!("{meant}@{}", found.name))
        });
        place.map_or(Meant::Nothing, Meant::Place)
    }

    /// That there is no such target or login, with the place that the caller may have meant. One that policy hides from
    /// them is answered as if it were absent.
    pub(super) fn known_place(&self, rules: &Rules, caller: &Caller, spec: &RequestSpec) -> Result<(), AppError> {
        let who = Stance::of(caller, caller.person()?, self.engine.now());
        let all = Sight::new(self, caller).is_all();
        let known = rules.target(&spec.target, &spec.login).map(|_| ());
        let permitted = known.is_ok() && rules.judge(who, Want::Request(spec)).is_permitted();
        let shown = all || permitted || rules.may_know(who, &spec.target);
        let error = match known {
            Ok(()) if shown => return Ok(()),
            Err(error) if shown => error,
            Ok(()) | Err(_) => AppError::not_found("target", &spec.target),
        };
        let seeker = Seeker { name: who.name, shown: who.shown, from: caller.address() };
        Err(match self.near_place(seeker, spec.login.as_str(), spec.target.as_str()) {
            Meant::Place(place) => error.with_near(place),
            Meant::Itself | Meant::Nothing => error,
        })
    }

    /// That there is no such request or grant, with the id that the caller may have mistyped.
    pub(super) async fn no_request(&self, caller: &Caller, what: &'static str, id: &RequestId) -> AppError {
        let error = AppError::not_found(what, id);
        // Revocations wait for the state meanwhile. So nothing is measured or asked there, and next to nothing copied:
        // ids are random, and hardly ever is one that close.
        let near: Vec<(RequestId, RequestSpec)> = self.engine.peek(|state: &State, _| {
            let near = state.requests().filter(|request| is_slip(id.as_str(), request.id.as_str()));
            near.take(LOOKS).map(|request| (request.id.clone(), request.spec.clone())).collect()
        });
        let mut sight = Sight::new(self, caller);
        match near.into_iter().find(|(_, spec)| sight.request(self, spec)) {
            Some((near, _)) => error.with_near(near.as_str()),
            None => error,
        }
    }
}

/// How many characters of an id may be mistyped: an id is random, so more than these are another one.
const SLIPS: usize = 2;

/// Whether the ids differ in so few characters; the first ones tell for nearly all.
fn is_slip(typed: &str, known: &str) -> bool {
    let differing = typed.bytes().zip(known.bytes()).filter(|(typed, known)| typed != known);
    typed.len() == known.len() && (1..=SLIPS).contains(&differing.take(SLIPS + 1).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_of_the_same_length_and_of_two_characters_at_most() {
        for (typed, known, slip) in [
            ("r-0123456789", "r-0123456788", true),
            ("r-0123456789", "r-0123456798", true),
            ("r-0123456789", "r-0123456000", false),
            ("r-0123456789", "r-012345678", false),
            ("r-0123456789", "r-0123456789", false),
            ("", "", false),
        ] {
            assert_eq!(is_slip(typed, known), slip, "{typed} {known}");
        }
    }
}
