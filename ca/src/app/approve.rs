//! Approve a request.

use access::{Review, State};
use model::{IdentityName, Reason, RequestId, Span, Timestamp, Verdict};

use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// Says yes to a request, possibly for a shorter time. The last approval that a path needs makes the grant.
    ///
    /// # Errors
    /// The caller may not see or review it, is its asker, or the request is decided already.
    pub async fn approve(
        &self,
        caller: &Caller,
        id: &RequestId,
        duration: Option<Span>,
        comment: Option<Reason>,
    ) -> Result<RequestView, AppError> {
        self.review(caller, id, &Verdict::Approve { duration }, comment.as_ref()).await
    }

    pub(super) async fn review(
        &self,
        caller: &Caller,
        id: &RequestId,
        verdict: &Verdict,
        comment: Option<&Reason>,
    ) -> Result<RequestView, AppError> {
        caller.identity()?;
        self.must_see_request(caller, id).await?;
        let build = |state: &State, now: Timestamp| {
            let request = state.request(id).ok_or_else(|| AppError::not_found("request", id))?;
            let rules = self.rules();
            let reviewer = caller.identity()?;
            let standing = rules.standing(reviewer, caller.touch(), Some(caller.address()), &request.spec, now);
            // What policy offers the asker today counts, not what it offered when they asked.
            let paths = Some(rules.paths(&request.spec, request.asked.touch, now));
            // Who approved before may have lost the right since. Whether they had touched a key, and from where they
            // called, was judged when they did.
            let earlier = |by: &IdentityName| rules.standing(by, true, None, &request.spec, now);
            let others =
                Some(request.reviews().iter().map(|review| (review.by.clone(), earlier(&review.by))).collect());
            let (request, verdict, comment) = (id.clone(), verdict.clone(), comment.cloned());
            Ok(Review { request, verdict, comment, standing, paths, others }.into())
        };
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
