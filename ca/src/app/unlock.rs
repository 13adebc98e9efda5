//! Lift a lock.

use access::{State, Unlock};
use model::{LockId, Reason, Timestamp};
use policy::Action;

use super::{App, AppError, Caller};

impl App {
    /// Lifts a lock. What it dropped stays dropped.
    ///
    /// # Errors
    /// Policy does not let the caller lock, or there is no such lock.
    pub async fn unlock(&self, caller: &Caller, id: &LockId, reason: Option<&Reason>) -> Result<(), AppError> {
        self.rules().demand(caller, Action::Lock, self.engine.now())?;
        let build = |_: &State, now: Timestamp| {
            let may_lock = self.rules().may(caller, Action::Lock, now);
            Ok(Unlock { lock: id.clone(), reason: reason.cloned(), may_lock }.into())
        };
        self.engine.execute(&caller.actor(), build, |_, _| ()).await
    }
}
