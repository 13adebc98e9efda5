//! What became of a request, said to somebody who comes too late: who did it, when, and what can be done now.

use model::{Actor, GrantEnd, Timestamp};

use super::place;
use crate::Refusal;
use crate::state::{Grant, GrantState, Request, RequestState};

/// A refusal that says what became of the request and why it cannot be `cannot` ("approved") any more.
pub(super) fn not_pending(request: &Request, cannot: &str, now: Timestamp) -> Refusal {
    let sentence = format!("request {} {}: it cannot be {cannot}", request.id, became(request, now));
    Refusal::new("request-not-pending", sentence).with_hint(next(request, now))
}

/// A refusal that says what became of the request and why there is no grant to be `cannot` ("revoked").
pub(super) fn not_live(request: &Request, cannot: &str, now: Timestamp) -> Refusal {
    let sentence = format!("request {} {}: there is no grant to be {cannot}", request.id, became(request, now));
    Refusal::new("grant-not-live", sentence).with_hint(next(request, now))
}

/// What became of it: "was denied by bob at 2026-11-20T18:00:00Z".
fn became(request: &Request, now: Timestamp) -> String {
    match &request.state {
        RequestState::Pending(pending) => match pending.denial() {
            Some(denial) => format!("was denied by {} at {}", denial.by, denial.at.to_second()),
            None if request.asked.expires <= now => expired(request.asked.expires),
            None => "is pending".to_owned(),
        },
        RequestState::Denied(denied) => format!("was denied by {} at {}", denied.by, denied.at.to_second()),
        RequestState::Cancelled(closed) => format!("was cancelled by {} at {}", closed.by, closed.at.to_second()),
        RequestState::Expired(closed) => expired(closed.at),
        RequestState::Granted(grant) => granted(grant, now),
        RequestState::Extended(extension) => {
            format!("was approved{} at {}", by(&extension.approvers), extension.approved.to_second())
        }
    }
}

fn granted(grant: &Grant, now: Timestamp) -> String {
    match &grant.state {
        GrantState::Ended(ended) => {
            let how = match ended.end {
                GrantEnd::Expired => "is over",
                GrantEnd::Revoked => "was revoked",
                GrantEnd::Released => "was released",
            };
            let who = match &ended.by {
                Actor::System => String::new(),
                actor @ (Actor::Identity(_) | Actor::Through { .. } | Actor::Proxy(_)) => format!(" by {actor}"),
            };
            let since = if ended.end == GrantEnd::Expired { "since" } else { "at" };
            format!("{how}{who} {since} {}", ended.at.to_second())
        }
        GrantState::Scheduled | GrantState::Active if grant.ends <= now => {
            format!("is over since {}", grant.ends.to_second())
        }
        GrantState::Scheduled | GrantState::Active => {
            format!("was approved{} at {}", by(&grant.approvers), grant.approved.to_second())
        }
    }
}

/// What can be done now.
fn next(request: &Request, now: Timestamp) -> String {
    let id = &request.id;
    let again = format!("to ask again, run: portcullis request {} --for {}", place(request), request.spec.duration);
    match &request.state {
        RequestState::Pending(pending) if pending.denial().is_none() && now < request.asked.expires => {
            format!("it waits for an answer: portcullis approve {id}, portcullis deny {id}, portcullis cancel {id}")
        }
        RequestState::Pending(_) | RequestState::Denied(_) | RequestState::Cancelled(_) | RequestState::Expired(_) => {
            again
        }
        RequestState::Granted(grant) if grant.is_live() && now < grant.ends => {
            format!("its grant lasts until {}; to take it back, run: portcullis revoke {id}", grant.ends.to_second())
        }
        RequestState::Granted(_) => again,
        RequestState::Extended(extension) => {
            format!("it gave its time to the grant {0}: portcullis grants {0}", extension.of)
        }
    }
}

fn expired(at: Timestamp) -> String {
    format!("expired at {}, because nobody decided in time", at.to_second())
}

fn by(approvers: &std::collections::BTreeSet<model::IdentityName>) -> String {
    let names: Vec<_> = approvers.iter().map(model::IdentityName::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" by {}", names.join(" and ")) }
}
