//! Deny a request.

use model::{Reason, RequestId, Verdict};

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Says no to a request, which ends it.
    ///
    /// # Errors
    /// The caller may not see or review it, is its asker, or the request is decided already.
    pub async fn deny(
        &self,
        caller: &Caller,
        id: &RequestId,
        comment: Option<Reason>,
    ) -> Result<RequestView, AppError> {
        self.review(caller, id, &Verdict::Deny, comment.as_ref()).await
    }
}
