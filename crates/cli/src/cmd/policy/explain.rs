//! `portcullis policy explain`: what would the CA answer, and why?

use std::net::IpAddr;

use api::wire::{ExplainRequest, ExplainedPath, Explanation, Time};
use model::{IdentityName, Login, Span, TargetName, Timestamp};

use super::ACTIONS;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean};
use crate::show::field;
use crate::words::{Place, listed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The account and the server, as root@web1; needed for all but lock and administer
    #[arg(value_name = "LOGIN@TARGET")]
    place: Option<Place>,
    /// The account, where the server is named with --target
    #[arg(long, value_name = "LOGIN", requires = "target", conflicts_with = "place")]
    login: Option<Login>,
    /// The server, where the account is named with --login
    #[arg(long, value_name = "TARGET", requires = "login", conflicts_with = "place")]
    target: Option<TargetName>,
    /// What would be done
    #[arg(long, default_value = "request", value_parser = ACTIONS)]
    action: String,
    /// Who would do it; without it, you
    #[arg(long = "as", value_name = "NAME", alias = "identity")]
    identity: Option<IdentityName>,
    /// Whose request would be reviewed, or whose session replayed
    #[arg(long, value_name = "NAME")]
    requester: Option<IdentityName>,
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "30m")]
    duration: Span,
    /// One exact command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A ticket in another system
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// From which address; without it, yours
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// As if a security key had been touched at login
    #[arg(long)]
    touch: bool,
    /// As if a one-time code had been given of late
    #[arg(long)]
    totp: bool,
    /// As if it were this moment, as 2026-11-21T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Show every policy, those about something else too
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let (login, target) = match &args.place {
        Some(place) => (Some(place.login.clone()), Some(place.target.clone())),
        None => (args.login.clone(), args.target.clone()),
    };
    let action = args.action.parse::<policy::Action>();
    if target.is_none() && action.is_ok_and(policy::Action::is_about_login) {
        return Err(CliError::usage(
            format!("{} is about a login on a server, and none is named", args.action),
            format!("name it: portcullis policy explain root@web1 --action {}", args.action),
        ));
    }
    if args.requester.is_none() && ["review", "replay"].contains(&args.action.as_str()) {
        return Err(CliError::usage(
            format!("{} is about somebody's request or session, and nobody is named", args.action),
            format!("name them: portcullis policy explain root@web1 --action {} --requester NAME", args.action),
        ));
    }
    let body = ExplainRequest {
        identity: args.identity.as_ref().map(ToString::to_string),
        action: args.action.clone(),
        target,
        login,
        duration: Some(args.duration.seconds()),
        command: args.command.clone(),
        ticket: args.ticket.clone(),
        requester: args.requester.clone(),
        address: args.address,
        touch: args.touch.then_some(true),
        totp: args.totp.then_some(true),
        at: args.at.map(Time),
    };
    let explanation = context.client().await?.explain(&body).await?;
    match context.output.is_json() {
        true => context.output.json(&explanation),
        false => show(context, &explanation, args.all),
    }
}

fn show(context: &Context, explanation: &Explanation, all: bool) -> Result<(), CliError> {
    let output = &context.output;
    let (tone, word) = if explanation.yes { (Tone::Good, "yes") } else { (Tone::Bad, "no") };
    output.line(format_args!("{}: {}", output.tone(tone, word), clean(&explanation.answer)))?;
    field(context, "question", clean(&explanation.question))?;
    for path in &explanation.paths {
        let name = if path.taken { "takes" } else { "offers" };
        field(context, name, format_args!("{} ({})", output.tone(Tone::Strong, &path.policy), path.place))?;
        field(context, "", format_args!("asks   {}", path.obligations.join(", ")))?;
        field(context, "", format_args!("lacks  {}", lacks(path)))?;
    }
    let word = |decides: bool| if decides { "decided by" } else { "looked at" };
    let shown = explanation.policies.iter().filter(|policy| all || policy.concerned);
    for policy in shown {
        let why = policy.description.as_deref().map(|text| format!(" ({text})")).unwrap_or_default();
        let line = format!("{} {} ({}): {}{why}", policy.effect, policy.policy, policy.place, policy.outcome);
        field(context, word(policy.decides), clean(&line))?;
    }
    for hint in &explanation.hints {
        field(context, "hint", clean(hint))?;
    }
    Ok(())
}

fn lacks(path: &ExplainedPath) -> String {
    match path.lacks.is_empty() {
        true => "nothing".to_owned(),
        false => listed(&path.lacks),
    }
}
