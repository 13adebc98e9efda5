//! Take one's own pending request back.

use access::Cancel;
use identity::Desk;
use model::RequestId;

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Takes the caller's pending request back.
    ///
    /// # Errors
    /// It is not theirs, or not pending.
    pub async fn cancel(&self, caller: &Caller, id: &RequestId) -> Result<RequestView, AppError> {
        caller.person_at(Desk::Ask)?;
        self.must_see_request(caller, id).await?;
        let build = |_: &_, _| Ok(Cancel { request: id.clone() }.into());
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
