//! The steps of requests and grants: what a fact must find, and what it makes of it.

use std::collections::BTreeSet;

use model::{GrantEnd, IdentityName, RequestId, Timestamp, Verdict};

use super::apply::At;
use super::request::Approval;
use super::{CutCause, Ended, Grant, GrantState, Pending, Request, RequestState, Reviewed, State};
use crate::corruption::{Problem, unknown};

impl State {
    pub(super) fn file(&mut self, request: Request) -> Result<(), Problem> {
        if self.facts.requests.contains_key(&request.id) {
            return Err(Problem::Duplicate { what: "request", id: request.id.to_string() });
        }
        if let Some(key) = &request.asked.idempotency_key
            && self.keyed(&request.spec.identity, key).is_some()
        {
            return Err(Problem::Duplicate { what: "idempotency key", id: format!("{key:?}") });
        }
        self.index.add_request(&request);
        self.facts.requests.insert(request.id.clone(), request);
        Ok(())
    }

    /// Who reviewed: a person, and never the asker.
    pub(super) fn reviewer(&self, request: &RequestId, at: &At<'_>) -> Result<IdentityName, Problem> {
        let asker = &self.request(request).ok_or_else(|| unknown("request", request))?.spec.identity;
        match at.actor.identity() {
            Some(name) if name != asker => Ok(name.clone()),
            Some(_) | None => Err(Problem::Actor { actor: at.actor.to_string() }),
        }
    }

    pub(super) fn review(&mut self, request: &RequestId, review: Reviewed) -> Result<(), Problem> {
        if self.pending_at(request)?.standing().any(|standing| standing.by == review.by) {
            return Err(Problem::Duplicate { what: "review", id: format!("of {} on {request}", review.by) });
        }
        self.pending_step(request, |pending| RequestState::Pending(pending.reviewed(review)))
    }

    pub(super) fn withdraw(&mut self, request: &RequestId, by: &IdentityName, at: &At<'_>) -> Result<(), Problem> {
        if self.pending_at(request)?.standing().all(|standing| standing.by != *by) {
            return Err(unknown("review", &format!("of {by} on {request}")));
        }
        self.pending_step(request, |pending| RequestState::Pending(pending.withdrawn(by, at.time)))
    }

    pub(super) fn deny(&mut self, request: &RequestId, at: &At<'_>) -> Result<(), Problem> {
        let by = self.pending_at(request)?.denial().ok_or(Problem::Approvers)?.by.clone();
        self.pending_step(request, |pending| RequestState::Denied(pending.denied(by, at.time, at.seq)))
    }

    pub(super) fn approve(
        &mut self,
        request: &RequestId,
        approval: Approval,
        starts: Timestamp,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        if approval.ends <= starts {
            return Err(Problem::Times { from: starts, to: approval.ends });
        }
        let pending = self.pending_at(request)?;
        let counted = u32::try_from(approval.approvers.len()).unwrap_or(u32::MAX);
        let yes = pending.approvers();
        let all = approval.approvers.iter().all(|name| yes.contains(name));
        if !all || pending.denial().is_some() || counted < approval.path.obligations.approvals {
            return Err(Problem::Approvers);
        }
        let extends = self.request(request).and_then(|known| known.spec.extends.clone());
        if let Some(grant) = &extends {
            self.grant(grant).ok_or_else(|| unknown("grant", grant))?;
        }
        self.pending_step(request, |pending| match extends {
            Some(grant) => RequestState::Extended(pending.extended(approval, grant, at.seq)),
            None => RequestState::Granted(pending.granted(approval, starts)),
        })
    }

    pub(super) fn activate(&mut self, request: &RequestId) -> Result<(), Problem> {
        let scheduled = |grant: &Grant| match grant.state {
            GrantState::Scheduled => Ok(()),
            GrantState::Active => Err(wrong(request, "active")),
            GrantState::Ended(_) => Err(wrong(request, "over")),
        };
        self.grant_step(request, scheduled, Grant::activated)
    }

    pub(super) fn extend(
        &mut self,
        request: &RequestId,
        by: &RequestId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(), Problem> {
        match self.request(by).map(|extension| &extension.state) {
            Some(RequestState::Extended(extension)) if extension.of == *request && extension.ends == to => {}
            Some(other) => return Err(Problem::State { what: "request", id: by.to_string(), state: other.word() }),
            None => return Err(unknown("request", by)),
        }
        let active = |grant: &Grant| match grant.state {
            GrantState::Active if grant.ends == from && from < to => Ok(()),
            GrantState::Active => Err(Problem::Times { from, to }),
            GrantState::Scheduled => Err(wrong(request, "scheduled")),
            GrantState::Ended(_) => Err(wrong(request, "over")),
        };
        self.grant_step(request, active, |grant| grant.extended(by.clone(), to))
    }

    pub(super) fn end_grant(
        &mut self,
        request: &RequestId,
        end: GrantEnd,
        reason: Option<&String>,
        at: &At<'_>,
    ) -> Result<(), Problem> {
        let live = |grant: &Grant| match grant.state {
            GrantState::Scheduled | GrantState::Active => Ok(()),
            GrantState::Ended(_) => Err(wrong(request, "over")),
        };
        let ended = Ended { end, by: at.actor.clone(), at: at.time, reason: reason.cloned(), done: at.seq };
        self.grant_step(request, live, |grant| grant.ended(ended))?;
        let under: Vec<_> = self.sessions_under(request).map(|session| session.id.clone()).collect();
        self.cut(under, &CutCause::Grant(end), at);
        Ok(())
    }

    /// Lets `step` consume a pending request.
    pub(super) fn pending_step(
        &mut self,
        id: &RequestId,
        step: impl FnOnce(Pending) -> RequestState,
    ) -> Result<(), Problem> {
        self.pending_at(id)?;
        self.request_step(id, |state| match state {
            RequestState::Pending(pending) => step(pending),
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_) => state,
        });
        Ok(())
    }

    fn pending_at(&self, id: &RequestId) -> Result<&Pending, Problem> {
        match &self.request(id).ok_or_else(|| unknown("request", id))?.state {
            RequestState::Pending(pending) => Ok(pending),
            other @ (RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Granted(_)
            | RequestState::Extended(_)) => {
                Err(Problem::State { what: "request", id: id.to_string(), state: other.word() })
            }
        }
    }

    /// Lets `step` consume a grant that `check` finds good.
    fn grant_step(
        &mut self,
        id: &RequestId,
        check: impl FnOnce(&Grant) -> Result<(), Problem>,
        step: impl FnOnce(Grant) -> Grant,
    ) -> Result<(), Problem> {
        let request = self.request(id).ok_or_else(|| unknown("grant", id))?;
        match request.grant() {
            Some(grant) => check(grant)?,
            None => return Err(wrong(id, request.status())),
        }
        self.request_step(id, |state| match state {
            RequestState::Granted(grant) => RequestState::Granted(step(grant)),
            RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => state,
        });
        Ok(())
    }

    /// Takes a request out, lets `step` consume its state, and puts it back, with the index in step.
    fn request_step(&mut self, id: &RequestId, step: impl FnOnce(RequestState) -> RequestState) {
        if let Some(request) = self.facts.requests.remove(id) {
            self.index.remove_request(&request);
            let Request { id, spec, asked, filed, state } = request;
            let request = Request { id, spec, asked, filed, state: step(state) };
            self.index.add_request(&request);
            self.facts.requests.insert(request.id.clone(), request);
        }
    }
}

impl Pending {
    /// Those whose approval stands.
    fn approvers(&self) -> BTreeSet<&IdentityName> {
        let yes = self.standing().filter(|review| match review.verdict {
            Verdict::Approve { .. } => true,
            Verdict::Deny => false,
        });
        yes.map(|review| &review.by).collect()
    }
}

fn wrong(grant: &RequestId, state: &'static str) -> Problem {
    Problem::State { what: "grant", id: grant.to_string(), state }
}
