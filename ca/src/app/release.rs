//! Give one's own grant back.

use access::Release;
use identity::Desk;
use model::RequestId;

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Gives the caller's grant back early; its sessions are dropped.
    ///
    /// # Errors
    /// It is not theirs, or has ended.
    pub async fn release(&self, caller: &Caller, id: &RequestId) -> Result<RequestView, AppError> {
        caller.person_at(Desk::Ask)?;
        self.must_see_grant(caller, id).await?;
        let build = |_: &_, _| Ok(Release { request: id.clone() }.into());
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
