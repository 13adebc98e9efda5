//! The keys of targets whose servers know no certificates: made, used for one log-in a session, destroyed.

use model::{Correlation, Entry, Fact};

use super::Desk;
use crate::Refusal;
use crate::command::{DestroyTargetKey, MakeTargetKey, UseTargetKey};
use crate::limits::SESSION_CERTIFICATE;
use crate::state::{SessionState, TargetKey};

impl Desk<'_> {
    pub(super) fn make_target_key(&self, make: MakeTargetKey) -> Result<Vec<Entry>, Refusal> {
        let MakeTargetKey { target, key, public_key, may_administer } = make;
        self.allowed(may_administer, "make a target key", "--action administer")?;
        let old = self.state.target_key(&target).map(|old| self.destroyed(old));
        let made = self.entry(directory(), Fact::TargetKeyMade { target, key, public_key });
        Ok(old.into_iter().chain([made]).collect())
    }

    pub(super) fn destroy_target_key(&self, destroy: &DestroyTargetKey) -> Result<Vec<Entry>, Refusal> {
        self.allowed(destroy.may_administer, "destroy a target key", "--action administer")?;
        let key = self.state.target_key(&destroy.target);
        let key = key.ok_or_else(|| Refusal::no_target_key(&destroy.target))?;
        Ok(vec![self.destroyed(key)])
    }

    /// What a session certificate is to other targets: for the proxy of a live session, under an active grant, for its one
    /// login, and for as long.
    pub(super) fn use_target_key(&self, use_it: UseTargetKey) -> Result<Vec<Entry>, Refusal> {
        let UseTargetKey { session: id, login, connection, takes_key } = use_it;
        let session = self.own(&id, "logged in to its target")?;
        self.is_proxy(&session.proxy, "log a session in")?;
        match session.state {
            SessionState::Live => {}
            SessionState::Cut(_) | SessionState::Ended(_) => {
                let sentence = format!("session {id} is being cut: it cannot be logged in to its target");
                return Err(Refusal::new("session-not-live", sentence));
            }
        }
        let target = &session.target;
        if login != session.login {
            let sentence = format!("session {id} is for {}@{target}, not for {login}@{target}", session.login);
            return Err(Refusal::new("bad-login", sentence));
        }
        let key = self.state.target_key(target).filter(|_| takes_key);
        let key = key.ok_or_else(|| Refusal::no_target_key(target))?.key.clone();
        if session.target_log_in.is_some() {
            let sentence = format!("the key of {target} has signed for session {id}, and signs once for each");
            return Err(Refusal::new("target-key-spent", sentence).with_hint("connect again"));
        }
        if self.now >= session.opened.plus(SESSION_CERTIFICATE) {
            let sentence = format!("session {id} was opened at {}: that is too long ago", session.opened.to_second());
            return Err(Refusal::new("target-key-late", sentence).with_hint("connect again"));
        }
        let (_, _, activated) = self.active_grant(&session.request)?;
        self.unlocked(&session.identity, target, &login, Some(&session.request))?;
        let used = Fact::TargetKeyUsed { session: id, target: target.clone(), login, key, connection };
        Ok(activated.into_iter().chain([self.entry(&session.request, used)]).collect())
    }

    fn destroyed(&self, key: &TargetKey) -> Entry {
        let TargetKey { target, key, .. } = key.clone();
        self.entry(directory(), Fact::TargetKeyDestroyed { target, key })
    }
}

fn directory() -> Correlation {
    Correlation::named("directory")
}
