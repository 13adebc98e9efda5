//! Approve a request.

use access::{Review, Reviewed, State};
use identity::Desk;
use model::{Reason, RequestId, Span, Timestamp, Verdict};

use super::rights::How;
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
        caller.person_at(Desk::Review)?;
        self.must_see_request(caller, id).await?;
        let build = |state: &State, now: Timestamp| {
            let request = state.request(id).ok_or_else(|| AppError::not_found("request", id))?;
            let rules = self.rules();
            let reviewer = caller.person()?;
            let (shown, address) = (caller.factors(), Some(caller.address()));
            let standing = rules.standing(reviewer, How::of(caller), &request.spec, now);
            // What policy offers the asker today counts, not what it offered when they asked. Where they asked from,
            // and with which key they had logged in, is as it was.
            let asked = &request.asked;
            let asked = How::kept(asked.factors(), asked.address, asked.through.as_ref());
            let paths = Some(rules.request(&request.spec, asked, now).paths());
            // Who approved before may have lost the right since: the rules are today's, and the circumstances (when,
            // from where, with which key) those of their own approval.
            let earlier = |review: &Reviewed| {
                let Reviewed { by, at, address, through, .. } = review;
                let how = How::kept(review.factors(), *address, through.as_ref());
                let mut standing = rules.standing(by, how, &request.spec, *at);
                // A review that a proxy passed on counts for as long as it may pass them on.
                let desk = |proxy| rules.directory.proxy(proxy).is_some_and(|proxy| proxy.desk >= Desk::Review);
                standing.may_review &= through.as_ref().is_none_or(desk);
                (by.clone(), standing)
            };
            let others =
                Some(request.reviews().iter().filter(|review| review.withdrawn.is_none()).map(earlier).collect());
            let (request, verdict, comment) = (id.clone(), verdict.clone(), comment.cloned());
            Ok(Review { request, verdict, comment, standing, shown, address, paths, others }.into())
        };
        self.engine.execute(&caller.actor(), build, |state, applied| RequestView::of(state, id, applied.now)).await?
    }
}
