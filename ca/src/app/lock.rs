//! Place locks, and list them.

use access::{PlacedLock, SetLock, State};
use model::{Lock, LockId, LockSubject, Reason, Span, Timestamp};
use policy::Action;

use super::sight::Sight;
use super::{App, AppError, Caller};

impl App {
    /// Locks a subject: refuses the new and drops the live. Answers with the lock and how many sessions it drops.
    ///
    /// # Errors
    /// Policy does not let the caller lock, or the directory does not know the subject: a lock on a mistyped name
    /// would look like one that works.
    pub async fn lock(
        &self,
        caller: &Caller,
        subject: &LockSubject,
        reason: &Reason,
        duration: Option<Span>,
    ) -> Result<(PlacedLock, u32), AppError> {
        caller.identity()?;
        let id = LockId::from_random(self.entropy.u64());
        let build = |_: &State, now: Timestamp| {
            let rules = self.rules();
            let may_lock = rules.may(caller, Action::Lock, now);
            let unknown = match subject {
                LockSubject::Identity(name) => rules.directory.identity(name).is_none(),
                LockSubject::Target(name) | LockSubject::Login(_, Some(name)) => rules.directory.target(name).is_none(),
                LockSubject::Login(_, None) | LockSubject::Grant(_) | LockSubject::Everything => false,
            };
            if may_lock && unknown {
                return Err(AppError::not_found("entry in the directory for", subject));
            }
            let until = duration.map(|span| now.plus(span));
            let lock = Lock { id: id.clone(), subject: subject.clone(), reason: reason.as_str().to_owned(), until };
            Ok(SetLock { lock, may_lock }.into())
        };
        let view = |state: &State, applied: &super::Applied| {
            let hit = state.live_sessions().filter(|session| {
                subject.covers(&session.identity, &session.target, &session.login, Some(&session.request))
            });
            let hit = u32::try_from(hit.count()).unwrap_or(u32::MAX);
            // Where the subject was locked already, that lock is the answer.
            let placed = state.lock(&id).or_else(|| state.lock_on(subject, applied.now)).cloned();
            placed.map(|placed| (placed, hit)).ok_or_else(|| AppError::not_found("lock", &id))
        };
        self.engine.execute(&caller.actor(), build, view).await?
    }

    /// The locks that the caller may see, newest first.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn locks(&self, caller: &Caller) -> Result<Vec<PlacedLock>, AppError> {
        caller.identity()?;
        let sight = Sight::new(self, caller);
        let look =
            |state: &State, now: Timestamp| state.locks().filter(|l| l.in_force(now)).cloned().collect::<Vec<_>>();
        let mut locks = self.engine.read(look).await?;
        locks.retain(|placed| sight.lock(&placed.lock.subject));
        locks.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.lock.id.cmp(&b.lock.id)));
        Ok(locks)
    }
}
