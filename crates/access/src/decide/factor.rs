//! Second factors: authenticators are added and removed, and their codes used, each once.

use model::{Correlation, Entry, Fact, FactorId, IdentityName};

use super::Desk;
use crate::command::{AddFactor, RemoveFactor, UseFactor};
use crate::limits::MAX_FACTORS;
use crate::{Refusal, State};

impl Desk<'_> {
    pub(super) fn add_factor(&self, add: &AddFactor) -> Result<Vec<Entry>, Refusal> {
        let AddFactor { factor, step, shown } = add;
        let identity = self.person("add an authenticator")?;
        self.by_themselves()?;
        let own = self.state.factors_of(identity).count();
        if self.state.factors().any(|(_, known)| known.id == *factor) {
            return Err(Refusal::new("id-taken", format!("there is already a factor {factor}")).with_hint("try again"));
        }
        // Otherwise whoever finds a key would add an authenticator of their own beside its owner's.
        if own > 0 && !shown {
            return Err(needed(format!("{identity} has an authenticator already; another one takes a code of it")));
        }
        if own >= MAX_FACTORS {
            let sentence = format!("{identity} has {MAX_FACTORS} authenticators, which is the limit");
            return Err(Refusal::new("too-many-factors", sentence).with_hint("remove one: portcullis factor remove ID"));
        }
        let added = Fact::FactorAdded { identity: identity.clone(), factor: factor.clone(), step: *step };
        Ok(vec![self.entry(correlation(), added)])
    }

    pub(super) fn remove_factor(&self, remove: &RemoveFactor) -> Result<Vec<Entry>, Refusal> {
        let RemoveFactor { identity, factor, reason, may_administer, shown } = remove;
        self.by_themselves()?;
        let own = self.actor.identity() == Some(identity);
        if !own {
            self.allowed(*may_administer, &format!("remove an authenticator of {identity}"), "--action administer")?;
            let administrator = self.person("remove an authenticator")?;
            self.with_code(administrator, *shown, &format!("to remove an authenticator of {identity}"))?;
        }
        known(self.state, identity, factor)?;
        // Not even administrators remove their own without it: with their key alone nobody must get rid of it.
        if own && !shown {
            return Err(needed("to remove your own authenticator takes a code of one of yours".to_owned()));
        }
        let reason = reason.clone().map(String::from);
        let removed = Fact::FactorRemoved { identity: identity.clone(), factor: factor.clone(), reason };
        Ok(vec![self.entry(correlation(), removed)])
    }

    /// Refuses somebody who has an authenticator and gave no code of it.
    pub(super) fn with_code(&self, identity: &IdentityName, shown: bool, what: &str) -> Result<(), Refusal> {
        if shown || self.state.factors_of(identity).next().is_none() {
            return Ok(());
        }
        Err(needed(format!("{what} takes a code of your authenticator")))
    }

    /// What a proxy passes on never changes what its people prove themselves with.
    fn by_themselves(&self) -> Result<(), Refusal> {
        match self.actor.through() {
            None => Ok(()),
            Some(proxy) => Err(Refusal::new("not-allowed", format!("no authenticator is changed through {proxy}"))),
        }
    }

    pub(super) fn use_factor(&self, using: &UseFactor) -> Result<Vec<Entry>, Refusal> {
        let UseFactor { factor, step, address } = using;
        let identity = self.person("give a one-time code")?;
        let last = known(self.state, identity, factor)?;
        if *step <= last {
            let sentence = "this one-time code, or a later one, was used already: each is good once";
            return Err(Refusal::new("code-used", sentence).with_hint("wait for the next code"));
        }
        let (identity, factor, address) = (identity.clone(), factor.clone(), address.clone());
        let used = Fact::FactorUsed { identity, factor, step: *step, address };
        Ok(vec![self.entry(correlation(), used)])
    }
}

/// The last step that was used of a factor that is there.
fn known(state: &State, identity: &IdentityName, factor: &FactorId) -> Result<u64, Refusal> {
    let found = state.factor(identity, factor);
    found.map(|found| found.step).ok_or_else(|| {
        Refusal::new("unknown-factor", format!("{identity} has no authenticator {factor}"))
            .with_hint("portcullis factor list shows those that there are")
    })
}

fn needed(sentence: String) -> Refusal {
    Refusal::new("factor-needed", sentence).with_hint("give a one-time code first: portcullis login --code")
}

fn correlation() -> Correlation {
    Correlation::named("factors")
}
