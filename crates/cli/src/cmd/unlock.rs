//! `portcullis unlock`: lift a lock.

use crate::context::Context;
use crate::error::CliError;
use crate::ids;

/// Lift a lock
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lock: its id, a unique beginning of it, or what is locked ("identity:alice")
    id: String,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::lock(&client, &args.id).await?;
    client.unlock(&id).await?;
    match context.output.is_json() {
        true => context.output.json(&serde_json::json!({ "id": id, "lifted": true })),
        false => context.output.line(format_args!("{id} is lifted")),
    }
}
