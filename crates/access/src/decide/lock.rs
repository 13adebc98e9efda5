//! Locks.

use model::{Entry, Fact, LockSubject, Reason};

use super::Desk;
use crate::Refusal;
use crate::command::{SetLock, Unlock};
use crate::limits::MAX_LOCKS;

impl Desk<'_> {
    pub(super) fn lock(&self, set: SetLock) -> Result<Vec<Entry>, Refusal> {
        let SetLock { lock, may_lock } = set;
        self.allowed(may_lock, &format!("lock {}", lock.subject), "--action lock")?;
        if self.state.lock(&lock.id).is_some() {
            return Err(Refusal::new("id-taken", format!("there is already a lock {}", lock.id)).with_hint("try again"));
        }
        if let Err(error) = lock.reason.parse::<Reason>() {
            return Err(Refusal::new("bad-reason", error.to_string()));
        }
        if lock.until.is_some_and(|until| until <= self.now) {
            return Err(Refusal::new("bad-until", "a lock that lifts itself in the past locks nothing"));
        }
        if let LockSubject::Grant(grant) = &lock.subject {
            self.request(grant)?;
        }
        if self.state.locks().count() >= MAX_LOCKS {
            let sentence = format!("there are {MAX_LOCKS} locks, which is the limit");
            return Err(Refusal::new("too-many-locks", sentence).with_hint("lift some, or lock something larger"));
        }
        Ok(vec![self.entry(&lock.id.clone(), Fact::LockPlaced { lock })])
    }

    pub(super) fn unlock(&self, unlock: &Unlock) -> Result<Vec<Entry>, Refusal> {
        let id = &unlock.lock;
        let placed = self.state.lock(id);
        let placed = placed.ok_or_else(|| Refusal::new("unknown-lock", format!("there is no lock {id} to lift")))?;
        self.allowed(unlock.may_lock, &format!("unlock {}", placed.lock.subject), "--action lock")?;
        let reason = unlock.reason.clone().map(String::from);
        Ok(vec![self.entry(id, Fact::LockLifted { lock: id.clone(), reason })])
    }
}
