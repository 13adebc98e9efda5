//! Reviews.

use std::collections::{BTreeMap, BTreeSet};

use model::{Fact, Factors, GroupName, PolicyPath, RequestId, RequestSpec, Span, Verdict};

use super::file::Approval;
use super::{Decision, Desk};
use crate::Refusal;
use crate::command::{Review, Standing, WithdrawReview};
use crate::limits::{MAX_PATHS, MAX_REVIEWS, MAX_REVIEWS_EACH};
use crate::paths::{self, Case};
use crate::state::{Pending, Reviewed};
use model::{Entry, IdentityName};

impl Desk<'_> {
    pub(super) fn review(&self, review: Review) -> Result<Decision, Refusal> {
        let Review { request: id, verdict, comment, standing, shown, address, paths: rejudged, others } = review;
        let Factors { touch, totp } = shown;
        let reviewer = self.person("review a request")?;
        let cannot = match verdict {
            Verdict::Approve { .. } => "approved",
            Verdict::Deny => "denied",
        };
        let (request, pending) = self.pending(&id, cannot)?;
        let spec = &request.spec;
        if *reviewer == spec.identity {
            return Err(Refusal::new("self-review", format!("{reviewer} asked for {id} and cannot review it"))
                .with_hint(format!("someone else must; to take it back, run: portcullis cancel {id}")));
        }
        if !standing.may_review {
            return Err(Refusal::new("not-a-reviewer", format!("{reviewer} may not review {id}")).with_hint(format!(
                "run: portcullis policy explain {} --action review --requester {}",
                super::place(request),
                spec.identity
            )));
        }
        check_room(pending, reviewer, &id)?;
        let offered = rejudged.unwrap_or_else(|| pending.paths.clone());
        let reviewed = Reviewed {
            by: reviewer.clone(),
            at: self.now,
            verdict: verdict.clone(),
            groups: answers_for(&standing.groups, pending.paths.iter().chain(&offered)),
            comment: comment.map(String::from),
            touch,
            totp,
            address,
            through: self.actor.through().cloned(),
            withdrawn: None,
        };
        let mut facts = vec![self.entry(
            &id,
            Fact::RequestReviewed {
                request: id.clone(),
                verdict: verdict.clone(),
                groups: reviewed.groups.clone(),
                comment: reviewed.comment.clone(),
                touch,
                totp,
                address,
            },
        )];
        let gaps = match verdict {
            Verdict::Deny => {
                facts.push(self.entry(&id, Fact::RequestDenied { request: id.clone() }));
                Vec::new()
            }
            Verdict::Approve { duration } => {
                check_duration(spec, duration)?;
                check_offer(spec, &offered)?;
                self.unlocked(&spec.identity, &spec.target, &spec.login, spec.extends.as_ref())?;
                let (extended, activated) = match &spec.extends {
                    Some(grant) => {
                        let (_, grant, activated) = self.active_grant(grant)?;
                        (Some(grant), activated)
                    }
                    None => (None, None),
                };
                let earlier: Vec<Reviewed> =
                    pending.standing().filter_map(|review| self.still(review, others.as_ref())).collect();
                let case = Case::judged(self.state, request, &earlier, self.now).and(&reviewed);
                if let Some((path, approvers)) = paths::best(&offered, &case) {
                    facts.extend(activated);
                    let approval = Approval { path, approvers, granted: case.duration(), extended };
                    facts.extend(self.approved(&id, spec, approval, |fact| self.entry(&id, fact))?);
                }
                paths::gaps(&offered, &case)
            }
        };
        Ok(Decision { facts, permit: None, request: Some(id), gaps })
    }

    /// An earlier review as far as it counts now: its reviewer may have been locked, or have lost a group or the right.
    fn still(&self, review: &Reviewed, others: Option<&BTreeMap<IdentityName, Standing>>) -> Option<Reviewed> {
        self.state.check_unlocked(&review.by, self.now).ok()?;
        let Some(others) = others else { return Some(review.clone()) };
        let standing = others.get(&review.by).filter(|standing| standing.may_review)?;
        let groups = review.groups.intersection(&standing.groups).cloned().collect();
        Some(Reviewed { groups, ..review.clone() })
    }

    pub(super) fn withdraw(&self, withdraw: &WithdrawReview) -> Result<Vec<Entry>, Refusal> {
        let id = &withdraw.request;
        let reviewer = self.person("withdraw a review")?;
        let (_, pending) = self.pending(id, "reviewed differently")?;
        if pending.standing().all(|review| review.by != *reviewer) {
            let sentence = format!("{reviewer} has no review of {id} to withdraw");
            return Err(Refusal::new("no-review", sentence)
                .with_hint(format!("portcullis requests {id} shows the reviews that there are")));
        }
        Ok(vec![self.entry(id, Fact::ReviewWithdrawn { request: id.clone() })])
    }
}

/// The reviewer's groups that a path asks for.
fn answers_for<'a>(groups: &BTreeSet<GroupName>, paths: impl Iterator<Item = &'a PolicyPath>) -> BTreeSet<GroupName> {
    paths.flat_map(|path| path.obligations.approvers.intersection(groups)).cloned().collect()
}

fn check_room(pending: &Pending, reviewer: &IdentityName, id: &RequestId) -> Result<(), Refusal> {
    if pending.standing().any(|review| review.by == *reviewer) {
        return Err(Refusal::new("already-reviewed", format!("{reviewer} has already reviewed {id}"))
            .with_hint("withdraw that review first, to give another"));
    }
    let own = pending.reviews.iter().filter(|review| review.by == *reviewer).count();
    if own >= MAX_REVIEWS_EACH || pending.reviews.len() >= MAX_REVIEWS {
        let sentence = format!("{id} has been reviewed {} times, {own} times by {reviewer}", pending.reviews.len());
        return Err(Refusal::new("too-many-reviews", sentence).with_hint("the asker can file a new request"));
    }
    Ok(())
}

fn check_duration(spec: &RequestSpec, duration: Option<Span>) -> Result<(), Refusal> {
    match duration {
        Some(Span::ZERO) => {
            Err(Refusal::new("bad-duration", "an approval for no time at all is none").with_hint("deny it instead"))
        }
        Some(longer) if longer > spec.duration => {
            let sentence = format!("{longer} is longer than the {} that is asked", spec.duration);
            Err(Refusal::new("bad-duration", sentence).with_hint("an approver can shorten, and not lengthen"))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_offer(spec: &RequestSpec, offered: &[PolicyPath]) -> Result<(), Refusal> {
    let place = format!("{}@{}", spec.login, spec.target);
    if offered.is_empty() {
        let sentence = format!("policy no longer offers {} a way to {place}", spec.identity);
        return Err(Refusal::new("no-path", sentence)
            .with_hint(format!("run: portcullis policy explain {place} --as {}", spec.identity)));
    }
    if offered.len() > MAX_PATHS {
        let sentence = format!("policy offers {} ways to {place}; the limit is {MAX_PATHS}", offered.len());
        return Err(Refusal::new("too-many-paths", sentence).with_hint("narrow the permits that match"));
    }
    Ok(())
}
