//! `portcullis release`: the holder gives a grant back early.

use crate::context::Context;
use crate::error::CliError;
use crate::{ids, show};

/// Give your grant back before its time; its live sessions end
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The grant: an id, a unique beginning of one, or LOGIN@TARGET
    id: String,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::grant(&client, &args.id).await?;
    let grant = client.release(&id).await?;
    crate::keyring::forget(context, &grant).await;
    context.output.answer(&grant, |grant| show::grant(context, grant))
}
