//! `portcullis extend`: more time for an active grant; its live sessions go on.

use api::wire::{self, RequestState};
use model::Span;

use crate::context::Context;
use crate::error::CliError;
use crate::{ask, code, decision, ids, show};

/// Ask for more time on an active grant; waits until it is decided
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The grant: an id, a unique beginning of one, or LOGIN@TARGET
    id: String,
    /// How much more, as 15m
    #[arg(long = "for", value_name = "TIME")]
    duration: Span,
    /// Why; reviewers and the ledger read it (asked for on a terminal)
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not wait for the decision
    #[arg(long)]
    no_wait: bool,
    /// Wait at most this long
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait")]
    timeout: Option<Span>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::reason(context, args.reason.as_deref())?;
    let client = context.client().await?;
    let id = ids::grant(&client, &args.id).await?;
    let body = wire::Extend { duration: args.duration.seconds(), reason };
    let key = context.idempotency_key();
    let filed = code::with(context, &client, || async { Ok(client.extend(&id, &body, &key).await?) }).await?;
    if args.no_wait && filed.state == RequestState::Pending {
        return context.output.answer(&filed, |filed| show::request(context, filed));
    }
    decision::wait(context, &client, filed, args.timeout.map(Span::to_std)).await?;
    // The extended grant is what the person wants to see; the request was only the way to it.
    let grant = client.get_grant(&id).await?;
    match crate::keyring::renew(context, &client, &grant).await {
        Ok(()) => {}
        Err(error) => context.output.note(format_args!("the certificate was not renewed: {error}")),
    }
    context.output.answer(&grant, |grant| show::grant(context, grant))
}
