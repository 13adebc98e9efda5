//! `portcullis unlock`: lift a lock.

use api::wire;

use crate::context::Context;
use crate::error::CliError;
use crate::{ask, ids};

/// Lift a lock
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis unlock lock-x7 --reason \"the laptop was found\"
  portcullis unlock identity:alice -r \"new key is in the directory\"

What the lock dropped stays dropped. The reason is kept in the ledger.")]
pub(crate) struct Args {
    /// The lock: its id, a unique beginning of it, or what is locked ("identity:alice")
    id: String,
    /// Why, for the ledger
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::optional(args.reason.as_deref())?;
    let client = context.client().await?;
    let id = ids::lock(&client, &args.id).await?;
    client.unlock(&id, &wire::LiftLock { reason }).await?;
    let lifted = serde_json::json!({ "id": id, "lifted": true });
    context.output.answer(&lifted, |_| context.output.line(format_args!("{id} is lifted")))
}
