//! From a filed request to its decision: what people see while they wait, and how it ends.

use std::time::Duration;

use api::Client;
use api::wire::{Grant, GrantState, Request, RequestState};

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::clean;
use crate::wait::{self, Waited};
use crate::words::{clock, left, span};
use crate::{ask, show};

/// Waits for the decision on a filed request, and says on standard error who can bring it about, and how long they
/// have for it.
///
/// # Errors
/// It was denied, cancelled or expired; the limit passed; Ctrl-C.
pub(crate) async fn wait(
    context: &Context,
    client: &Client,
    filed: Request,
    limit: Option<Duration>,
) -> Result<Request, CliError> {
    if filed.state != RequestState::Pending {
        return settle(filed);
    }
    let output = &context.output;
    let left = left(context.now(), filed.expires.0);
    let place = format!("{}@{} for {}", filed.login, filed.target, span(filed.duration));
    output.note(format_args!("{}: {place}, pending; it expires in {left}", filed.id));
    announce(context, &filed);
    who(context, client, &filed).await;
    output.note(format_args!("waiting; a reviewer runs: portcullis approve {}   (Ctrl-C leaves it pending)", filed.id));
    let mut reviews = filed.reviews.len();
    let waited = wait::decided(client, &filed.id, limit, |request| {
        for review in request.reviews.iter().skip(reviews) {
            let verdict = if review.approved { "approved" } else { "denied" };
            let comment = review.comment.as_deref().map(|text| format!(": {}", clean(text))).unwrap_or_default();
            output.note(format_args!("{} {verdict}{comment}", review.reviewer));
        }
        if request.reviews.len() != reviews && request.state == RequestState::Pending {
            announce(context, request);
        }
        reviews = request.reviews.len();
    })
    .await?;
    match waited {
        Waited::Decided(request) => settle(*request),
        Waited::Interrupted => Err(CliError::new(
            Kind::Interrupted,
            format!("{} stays pending", filed.id),
            format!(
                "portcullis cert {id} --wait waits for it and goes on; portcullis cancel {id} takes it back",
                id = filed.id
            ),
        )),
    }
}

/// Goes on with a request that was filed before and is still pending: waits when that was asked for, else asks the
/// person at the terminal. `again` is the command that would wait.
///
/// # Errors
/// Nobody wants to wait, or as [`wait()`].
pub(crate) async fn offer(
    context: &Context,
    client: &Client,
    pending: Request,
    wanted: bool,
    again: &str,
) -> Result<Request, CliError> {
    if !wanted {
        let left = left(context.now(), pending.expires.0);
        let lacks = pending.paths.iter().map(show::lacks).collect::<Vec<_>>().join(", or ");
        let still = format!(
            "{} for {}@{} is still pending: it lacks {lacks}, and expires in {left}",
            pending.id, pending.login, pending.target
        );
        let hint = format!("wait for the decision: {again} --wait; take it back: portcullis cancel {}", pending.id);
        if context.output.is_json() || !context.output.can_ask() {
            return Err(CliError::failed(still, hint));
        }
        context.output.note(still);
        if !ask::yes(context, "wait for the decision?", ask::Usual::Yes)? {
            return Err(CliError::failed(format!("{} stays pending", pending.id), hint));
        }
    }
    wait(context, client, pending, None).await
}

/// That a grant is active: only then is a certificate issued.
///
/// # Errors
/// It begins later, or is over.
pub(crate) fn active(context: &Context, grant: &Grant) -> Result<(), CliError> {
    match grant.state {
        GrantState::Active => Ok(()),
        GrantState::Scheduled => Err(CliError::failed(
            format!("{} starts {}", grant.id, show::moment(context.now(), grant.starts.0)),
            "come back then: a certificate is issued under an active grant only",
        )),
        GrantState::Expired | GrantState::Revoked | GrantState::Released => Err(CliError::failed(
            format!("{} is {} since {}", grant.id, grant.state, clock(grant.ends.0)),
            format!("ask again: portcullis request {}@{} --for 30m --reason \"why\"", grant.login, grant.target),
        )),
    }
}

/// Says what each path still lacks.
pub(crate) fn announce(context: &Context, request: &Request) {
    for (at, gap) in request.paths.iter().enumerate() {
        let word = if at == 0 { "lacks" } else { "or" };
        context.output.note(format_args!("  {word:<6} {}", show::lacks(gap)));
    }
}

/// Says who can approve it. Only a note: what fails here must not stand in the way.
async fn who(context: &Context, client: &Client, request: &Request) {
    if let Ok(reviewers) = client.reviewers(&request.id).await {
        context.output.note(format_args!("  who    {reviewers} can approve it"));
    }
}

/// An approved request, or the error that the other ends are.
pub(crate) fn settle(request: Request) -> Result<Request, CliError> {
    let place = format!("{}@{}", request.login, request.target);
    match request.state {
        RequestState::Approved | RequestState::Pending => Ok(request),
        RequestState::Denied => {
            let denial = request.reviews.iter().rev().find(|review| !review.approved);
            let by = denial.map(|review| format!(" by {}", review.reviewer)).unwrap_or_default();
            let comment = denial.and_then(|review| review.comment.as_deref()).map(|text| format!(": {}", clean(text)));
            Err(CliError::failed(
                format!("{} for {place} was denied{by}{}", request.id, comment.unwrap_or_default()),
                "talk to the reviewer, then ask again with a better reason",
            ))
        }
        RequestState::Cancelled => Err(CliError::failed(
            format!("{} for {place} was cancelled", request.id),
            format!("ask again: portcullis request {place} --for {} --reason \"why\"", span(request.duration)),
        )),
        RequestState::Expired => Err(CliError::new(
            Kind::TimedOut,
            format!("{} for {place} expired: nobody decided in time", request.id),
            format!("ask again: portcullis request {place} --for {} --reason \"why\"", span(request.duration)),
        )),
    }
}
