//! `portcullis approve`: a reviewer's yes.

use api::Client;
use api::wire::{self, PathGap, Request, WhoAmI};
use model::Span;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::words::listed;
use crate::{ask, ids, pages, show};

/// Approve a request; without an id, the only one that waits for you
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis approve  # shows the one that waits for you, and asks
  portcullis approve x7 --for 15m -m \"only for the restart\"")]
pub(crate) struct Args {
    /// The request; a unique beginning of its id is enough
    id: Option<String>,
    /// At most this long, as 15m; shorter than what was asked
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// A word to the asker and to the ledger
    #[arg(long, short = 'm', value_name = "TEXT")]
    comment: Option<String>,
    /// Without an id: do not ask
    #[arg(long, short, conflicts_with = "id")]
    yes: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let comment = ask::optional(args.comment.as_deref())?;
    let client = context.client().await?;
    let id = match &args.id {
        Some(text) => ids::request(&client, text).await?,
        None => {
            let only = waiting(&client).await?;
            if !args.yes {
                confirm(context, &only)?;
            }
            only.id
        }
    };
    let body = wire::Approve { duration: args.duration.map(Span::seconds), comment };
    let request = client.approve(&id, &body).await?;
    context.output.answer(&request, |request| show::request(context, request))
}

/// The only request that waits for the caller.
async fn waiting(client: &Client) -> Result<Request, CliError> {
    let me = client.whoami().await?;
    let mut mine = pages::requests(client, Some("pending"), false).await?;
    mine.retain(|request| waits_for(request, &me));
    match (mine.pop(), mine.as_slice()) {
        (Some(only), []) => Ok(only),
        (Some(last), others) => {
            let all = others.iter().chain([&last]);
            let each = listed(all.map(|one| format!("{} ({} for {}@{})", one.id, one.identity, one.login, one.target)));
            Err(CliError::usage(format!("{} requests wait for you: {each}", others.len() + 1), "name one by its id"))
        }
        (None, _) => Err(CliError::new(
            Kind::NotFound,
            "no request waits for you",
            "portcullis requests lists all that are pending, with what each lacks",
        )),
    }
}

/// Whether a review by this person is what a request lacks, as far as that can be seen from here. Policy has the last
/// word, when the review is given.
fn waits_for(request: &Request, me: &WhoAmI) -> bool {
    let Some(name) = &me.identity else { return false };
    let listens = |gap: &PathGap| {
        let wanted = gap.approvals > 0 || !gap.groups.is_empty();
        wanted && (gap.groups.is_empty() || gap.groups.iter().any(|group| me.groups.contains(group)))
    };
    request.identity != *name
        && request.reviews.iter().all(|review| review.reviewer != *name)
        && request.paths.iter().any(listens)
}

/// Shows what is about to be approved, and asks.
fn confirm(context: &Context, request: &Request) -> Result<(), CliError> {
    let hint = format!("portcullis approve {} approves it; so does --yes without an id", request.id);
    if context.output.is_json() || !context.output.can_ask() {
        return Err(CliError::usage(format!("{} waits for you, and nobody can be asked", request.id), hint));
    }
    show::request(context, request)?;
    match ask::yes(context, "approve it?", ask::Usual::No)? {
        true => Ok(()),
        false => Err(CliError::failed(format!("{} is not approved", request.id), hint)),
    }
}
