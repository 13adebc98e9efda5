//! Which keys of a CA sign and are trusted, while one takes the place of another.

use model::{Authority, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use super::apply::At;
use crate::corruption::Problem;

/// The keys of one CA since its key was first replaced. Before that the ledger says nothing of it, and the only key is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaKeys {
    /// Fingerprint of the one that signs.
    pub signs: String,
    /// The other one that is trusted, while one takes the place of the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// Since when it is so.
    pub since: Timestamp,
}

/// The key beside the one that signs, by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// It is to sign.
    Next(String),
    /// It has signed.
    Previous(String),
}

impl Beside {
    /// Its fingerprint.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Next(key) | Self::Previous(key) => key,
        }
    }
}

impl CaKeys {
    /// How far the replacement is, in one word.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.beside {
            None => "settled",
            Some(Beside::Next(_)) => "staged",
            Some(Beside::Previous(_)) => "activated",
        }
    }
}

/// What happens to the keys of a CA.
pub(super) enum Turn<'a> {
    Staged { key: &'a str, signs: &'a str },
    Activated { key: &'a str, before: &'a str },
    Retired { key: &'a str },
    Cancelled { key: &'a str, signs: &'a str },
}

impl State {
    /// The keys of a CA; `None` while its key has never been replaced.
    #[must_use]
    pub fn ca_keys(&self, ca: Authority) -> Option<&CaKeys> {
        self.facts.authorities.get(&ca)
    }

    pub(super) fn turn_ca(&mut self, ca: Authority, turn: &Turn<'_>, at: &At<'_>) -> Result<(), Problem> {
        let known = self.facts.authorities.get(&ca);
        let (signs, beside) = known.map_or((None, None), |keys| (Some(keys.signs.as_str()), keys.beside.as_ref()));
        let now = match (turn, signs, beside) {
            (Turn::Staged { key, signs: told }, known, None) if known.is_none_or(|known| known == *told) => {
                ((*told).to_owned(), Some(Beside::Next((*key).to_owned())))
            }
            (Turn::Activated { key, before }, Some(signs), Some(Beside::Next(next)))
                if next == key && signs == *before =>
            {
                ((*key).to_owned(), Some(Beside::Previous((*before).to_owned())))
            }
            (Turn::Retired { key }, Some(signs), Some(Beside::Previous(previous))) if previous == key => {
                (signs.to_owned(), None)
            }
            (Turn::Cancelled { key, signs: told }, Some(signs), Some(Beside::Next(next)))
                if next == key && signs == *told =>
            {
                (signs.to_owned(), None)
            }
            (Turn::Cancelled { key, signs: told }, Some(signs), Some(Beside::Previous(previous)))
                if signs == *key && previous == told =>
            {
                (previous.clone(), None)
            }
            (Turn::Staged { .. } | Turn::Activated { .. } | Turn::Retired { .. } | Turn::Cancelled { .. }, ..) => {
                let state = known.map_or("settled", CaKeys::status);
                return Err(Problem::State { what: "CA", id: ca.to_string(), state });
            }
        };
        let (signs, beside) = now;
        self.facts.authorities.insert(ca, CaKeys { signs, beside, since: at.time });
        Ok(())
    }
}
