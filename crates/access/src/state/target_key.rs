//! The keys of targets whose servers know no certificates.

use model::{SessionId, TargetName, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use super::others::duplicate;
use crate::corruption::{Problem, unknown};

/// The key of one target: its public half, which stands in `authorized_keys` there. The CA holds the other half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetKey {
    /// The target.
    pub target: TargetName,
    /// Its fingerprint ("SHA256:…").
    pub key: String,
    /// The key, in the OpenSSH one-line form.
    pub public_key: String,
    /// When it was made.
    pub made: Timestamp,
}

impl State {
    /// The key of a target.
    #[must_use]
    pub fn target_key(&self, target: &TargetName) -> Option<&TargetKey> {
        self.facts.target_keys.get(target)
    }

    /// Every key that was made and not destroyed, by target.
    pub fn target_keys(&self) -> impl Iterator<Item = &TargetKey> {
        self.facts.target_keys.values()
    }

    pub(super) fn add_target_key(&mut self, key: TargetKey) -> Result<(), Problem> {
        if self.facts.target_keys.contains_key(&key.target) {
            return Err(duplicate("target key", &key.target));
        }
        self.facts.target_keys.insert(key.target.clone(), key);
        Ok(())
    }

    pub(super) fn drop_target_key(&mut self, target: &TargetName, key: &str) -> Result<(), Problem> {
        self.known_target_key(target, key)?;
        self.facts.target_keys.remove(target);
        Ok(())
    }

    pub(super) fn use_target_key(
        &mut self,
        session: &SessionId,
        target: &TargetName,
        key: &str,
        connection: &str,
    ) -> Result<(), Problem> {
        self.known_target_key(target, key)?;
        if self.live_session(session)?.target_log_in.is_some() {
            return Err(duplicate("log-in", session));
        }
        self.session_step(session, |live| live.logged_in(connection.to_owned()))
    }

    /// That this is the target's key and no other.
    fn known_target_key(&self, target: &TargetName, key: &str) -> Result<(), Problem> {
        match self.target_key(target) {
            Some(known) if known.key == key => Ok(()),
            Some(_) | None => Err(unknown("target key", &format!("{key} of {target}"))),
        }
    }
}
