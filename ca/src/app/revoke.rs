//! Take a grant from its holder.

use access::{Revoke, State};
use identity::Desk;
use model::{Reason, RequestId, Timestamp};
use policy::Action;

use super::rights::How;
use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Revokes a grant. Its sessions are dropped as soon as their proxy hears of it, which is when this is durable.
    ///
    /// Who may lock may revoke anything; who may review a request may take back what became of it, also through a proxy
    /// that may pass on what they review.
    ///
    /// # Errors
    /// Policy lets the caller neither lock nor review this request, the grant has ended, or the directory does not let
    /// the caller's proxy pass reviews on.
    pub async fn revoke(&self, caller: &Caller, id: &RequestId, reason: &Reason) -> Result<RequestView, AppError> {
        let person = caller.person_at(Desk::Review)?;
        self.must_see_grant(caller, id).await?;
        let build = |state: &State, now: Timestamp| {
            let request = state.request(id).ok_or_else(|| AppError::not_found("grant", id))?;
            let rules = self.rules();
            let may_revoke = rules.may(caller, Action::Lock, now)
                || rules.standing(person, How::of(caller), &request.spec, now).may_review;
            Ok(Revoke { request: id.clone(), reason: reason.clone(), may_revoke }.into())
        };
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
