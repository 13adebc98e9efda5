//! `portcullis deny`: a reviewer's no, which ends the request.

use api::wire;

use crate::context::Context;
use crate::error::CliError;
use crate::{ask, ids, show};

/// Deny a request
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request; a unique beginning of its id is enough
    id: String,
    /// A word to the asker and to the ledger
    #[arg(long, short = 'm', visible_alias = "reason", value_name = "TEXT")]
    comment: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let comment = ask::optional(args.comment.as_deref())?;
    let client = context.client().await?;
    let id = ids::request(&client, &args.id).await?;
    let request = client.deny(&id, &wire::Deny { comment }).await?;
    context.output.answer(&request, |request| show::request(context, request))
}
