//! `portcullis revoke`: take a grant back; the portcullis drops.

use api::wire;

use crate::context::Context;
use crate::error::CliError;
use crate::{ids, show};

/// Revoke a grant: its live sessions are dropped at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The grant; a unique beginning of its id is enough
    id: String,
    /// Why, for the person who is dropped and for the ledger
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::grant(&client, &args.id).await?;
    let grant = client.revoke(&id, &wire::Revoke { reason: args.reason.clone() }).await?;
    match context.output.is_json() {
        true => context.output.json(&grant),
        false => show::grant(context, &grant),
    }
}
