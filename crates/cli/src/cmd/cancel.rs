//! `portcullis cancel`: the asker takes a pending request back.

use crate::context::Context;
use crate::error::CliError;
use crate::{ids, show};

/// Cancel your own pending request
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request; a unique beginning of its id is enough
    id: String,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::request(&client, &args.id).await?;
    let request = client.cancel(&id).await?;
    context.output.answer(&request, |request| show::request(context, request))
}
