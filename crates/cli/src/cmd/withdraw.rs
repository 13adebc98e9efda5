//! `portcullis withdraw`: a reviewer takes their own review back.

use crate::context::Context;
use crate::error::CliError;
use crate::{ids, show};

/// Take your review of a pending request back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request; a unique beginning of its id is enough
    id: String,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::request(&client, &args.id).await?;
    let request = client.withdraw(&id).await?;
    context.output.answer(&request, |request| show::request(context, request))
}
