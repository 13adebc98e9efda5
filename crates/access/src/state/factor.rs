//! Authenticators: whose they are, and which of their codes are used up.

use model::{FactorId, IdentityName, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use crate::corruption::{Problem, unknown};

/// An authenticator that makes somebody's one-time codes. Its secret is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Factor {
    /// Its id.
    pub id: FactorId,
    /// When it was added.
    pub added: Timestamp,
    /// The latest time step of which a code was used. It and all before it are used up.
    pub step: u64,
    /// When a code of it was last used, but for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

impl State {
    /// Every authenticator, with whose it is.
    pub fn factors(&self) -> impl Iterator<Item = (&IdentityName, &Factor)> {
        self.facts.factors.iter().flat_map(|(identity, own)| own.values().map(move |factor| (identity, factor)))
    }

    /// The authenticators of one identity.
    pub fn factors_of(&self, identity: &IdentityName) -> impl Iterator<Item = &Factor> {
        self.facts.factors.get(identity).into_iter().flat_map(|own| own.values())
    }

    /// One authenticator of an identity.
    #[must_use]
    pub fn factor(&self, identity: &IdentityName, id: &FactorId) -> Option<&Factor> {
        self.facts.factors.get(identity)?.get(id)
    }

    pub(super) fn add_factor(&mut self, identity: &IdentityName, factor: Factor) -> Result<(), Problem> {
        if self.factors().any(|(_, known)| known.id == factor.id) {
            return Err(Problem::Duplicate { what: "factor", id: factor.id.to_string() });
        }
        self.facts.factors.entry(identity.clone()).or_default().insert(factor.id.clone(), factor);
        Ok(())
    }

    pub(super) fn remove_factor(&mut self, identity: &IdentityName, id: &FactorId) -> Result<(), Problem> {
        let own = self.facts.factors.get_mut(identity).ok_or_else(|| unknown("factor", id))?;
        own.remove(id).ok_or_else(|| unknown("factor", id))?;
        if own.is_empty() {
            self.facts.factors.remove(identity);
        }
        Ok(())
    }

    pub(super) fn use_factor(
        &mut self,
        identity: &IdentityName,
        id: &FactorId,
        step: u64,
        at: Timestamp,
    ) -> Result<(), Problem> {
        let own = self.facts.factors.get_mut(identity).and_then(|own| own.get_mut(id));
        let factor = own.ok_or_else(|| unknown("factor", id))?;
        if step <= factor.step {
            return Err(Problem::Duplicate { what: "one-time code", id: format!("{step} of {id}") });
        }
        factor.step = step;
        factor.used = Some(at);
        Ok(())
    }
}
