//! Take a grant from its holder.

use access::{Revoke, State};
use model::{Reason, RequestId, Timestamp};
use policy::Action;

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Revokes a grant. Its sessions are dropped as soon as their proxy hears of it, which is when this is durable.
    ///
    /// # Errors
    /// Policy does not let the caller lock, or the grant has ended.
    pub async fn revoke(&self, caller: &Caller, id: &RequestId, reason: &Reason) -> Result<RequestView, AppError> {
        caller.identity()?;
        self.must_see_grant(caller, id).await?;
        let build = |_: &State, now: Timestamp| {
            let may_revoke = self.rules().may(caller, Action::Lock, now);
            Ok(Revoke { request: id.clone(), reason: reason.clone(), may_revoke }.into())
        };
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
