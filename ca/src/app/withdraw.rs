//! Take one's own review back.

use access::WithdrawReview;
use identity::Desk;
use model::RequestId;

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Takes the caller's review of a pending request back.
    ///
    /// # Errors
    /// There is no such review, or the request is decided already.
    pub async fn withdraw(&self, caller: &Caller, id: &RequestId) -> Result<RequestView, AppError> {
        caller.person_at(Desk::Review)?;
        self.must_see_request(caller, id).await?;
        let build = |_: &_, _| Ok(WithdrawReview { request: id.clone() }.into());
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
