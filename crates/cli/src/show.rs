//! Requests and grants in full, for the verbs that show one.

use api::wire::{Grant, PathGap, Request};
use model::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean};
use crate::words::{clock, distance, grant_state, listed, request_state, span};

/// One request with everything that a reviewer needs in ten seconds: who, what, for how long, why, what it lacks.
pub(crate) fn request(context: &Context, request: &Request) -> Result<(), CliError> {
    let (output, now) = (&context.output, context.now());
    let what = match &request.extends {
        Some(grant) => format!("{} more of {grant}", span(request.duration)),
        None => format!("for {}", span(request.duration)),
    };
    output.line(format_args!(
        "{}  {} asks for {} {what}  {}",
        output.tone(Tone::Strong, &request.id),
        request.identity,
        output.tone(Tone::Strong, format_args!("{}@{}", request.login, request.target)),
        request_state(output, request.state),
    ))?;
    field(context, "reason", clean(&request.reason))?;
    if let Some(ticket) = &request.ticket {
        field(context, "ticket", clean(ticket))?;
    }
    if let Some(command) = &request.command {
        field(context, "command", clean(command))?;
    }
    field(context, "filed", moment(now, request.filed.0))?;
    if request.state == api::wire::RequestState::Pending {
        field(context, "expires", moment(now, request.expires.0))?;
    }
    for review in &request.reviews {
        let verdict = match (review.approved, review.duration) {
            (true, Some(seconds)) => format!("approved for {} by", span(seconds)),
            (true, None) => "approved by".to_owned(),
            (false, _) => "denied by".to_owned(),
        };
        let comment = review.comment.as_deref().map(|text| format!(": {}", clean(text))).unwrap_or_default();
        field(context, &verdict, format_args!("{} {}{comment}", review.reviewer, distance(now, review.at.0)))?;
    }
    for (at, gap) in request.paths.iter().enumerate() {
        // Paths are alternatives: one of them is enough.
        field(context, if at == 0 { "lacks" } else { "or" }, lacks(gap))?;
    }
    if let Some(grant) = &request.grant {
        field(context, "grant", grant_line(context, grant))?;
    }
    Ok(())
}

/// One grant in full.
pub(crate) fn grant(context: &Context, grant: &Grant) -> Result<(), CliError> {
    let (output, now) = (&context.output, context.now());
    output.line(format_args!(
        "{}  {} as {}  {}",
        output.tone(Tone::Strong, &grant.id),
        grant.identity,
        output.tone(Tone::Strong, format_args!("{}@{}", grant.login, grant.target)),
        grant_state(output, grant.state),
    ))?;
    field(context, "policy", &grant.policy)?;
    if !grant.approvers.is_empty() {
        field(context, "approved by", listed(&grant.approvers))?;
    }
    if let Some(command) = &grant.command {
        field(context, "command", clean(command))?;
    }
    field(context, "starts", moment(now, grant.starts.0))?;
    field(context, "ends", moment(now, grant.ends.0))?;
    if let Some(reason) = &grant.reason {
        field(context, "reason", clean(reason))?;
    }
    field(context, "sessions", format_args!("{} live", grant.sessions))
}

/// What one path of the policy still lacks.
pub(crate) fn lacks(gap: &PathGap) -> String {
    match gap.lacks.is_empty() {
        true => format!("nothing (by {})", gap.policy),
        false => format!("{} (by {})", gap.lacks.join(", and "), gap.policy),
    }
}

/// A named line of a thing that is shown in full.
pub(crate) fn field(context: &Context, name: &str, value: impl std::fmt::Display) -> Result<(), CliError> {
    let name = context.output.tone(Tone::Dim, format_args!("{name:<12}"));
    context.output.line(format_args!("  {name} {value}"))
}

/// A moment with its distance: "2026-11-20T18:00:00Z (in 12m)".
pub(crate) fn moment(now: Timestamp, at: Timestamp) -> String {
    format!("{} ({})", clock(at), distance(now, at))
}

fn grant_line(context: &Context, grant: &Grant) -> String {
    let ends = moment(context.now(), grant.ends.0);
    format!("{}, ends {ends}", grant_state(&context.output, grant.state))
}
