//! Cut one session.

use access::{CutSession, State};
use model::{Reason, SessionId, Timestamp};
use policy::Action;

use super::views::SessionView;
use super::{App, AppError, Caller};

impl App {
    /// Orders one session to be dropped; its grant stays.
    ///
    /// # Errors
    /// It is another's and policy does not let the caller lock, or it has ended.
    pub async fn kill(&self, caller: &Caller, id: &SessionId, reason: &Reason) -> Result<SessionView, AppError> {
        caller.identity()?;
        self.session(caller, id).await?;
        let build = |_: &State, now: Timestamp| {
            let may_cut = self.rules().may(caller, Action::Lock, now);
            Ok(CutSession { session: id.clone(), reason: reason.clone(), may_cut }.into())
        };
        self.engine.execute(&caller.actor(), build, |state, _| SessionView::of(state, id)).await?
    }
}
