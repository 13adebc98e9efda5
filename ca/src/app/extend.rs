//! Ask for more time on a grant.

use identity::Desk;
use model::{Reason, RequestId, RequestSpec, Span};

use super::request::Asker;
use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Files a request that extends the caller's active grant by `duration`; its live sessions go on.
    ///
    /// # Errors
    /// It is not theirs, not active, or no path of the policy gives that much more.
    pub async fn extend(
        &self,
        caller: &Caller,
        id: &RequestId,
        duration: Span,
        reason: Reason,
        idempotency_key: Option<String>,
    ) -> Result<RequestView, AppError> {
        caller.person_at(Desk::Ask)?;
        let old = self.must_see_grant(caller, id).await?;
        if old.spec.identity != *caller.person()? {
            return Err(AppError::forbidden(format!("only {} may extend {id}", old.spec.identity)));
        }
        let spec = RequestSpec { duration, reason, start: None, extends: Some(id.clone()), ..old.spec };
        self.file(&Asker::of(caller), spec, idempotency_key).await
    }
}
