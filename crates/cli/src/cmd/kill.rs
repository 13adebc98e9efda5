//! `portcullis kill`: cut one live session; its grant stays.

use std::time::{Duration, Instant};

use api::wire;

use crate::cmd::sessions;
use crate::context::Context;
use crate::error::CliError;
use crate::{ask, ids};

/// The longest wait for the receipt. The drop itself waits for nobody.
const RECEIPT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// Cut one live session; its grant stays (revoke takes that back too)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session; a unique beginning of its id is enough
    id: String,
    /// Why, for the person who is dropped and for the ledger
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::optional(args.reason.as_deref())?;
    let client = context.client().await?;
    let id = ids::session(&client, &args.id).await?;
    let mut session = client.kill(&id, &wire::Kill { reason }).await?;
    // The receipt comes from the proxy, a moment after the sockets are closed.
    let start = Instant::now();
    while session.ended.is_none() && start.elapsed() < RECEIPT {
        tokio::time::sleep(POLL).await;
        session = client.get_session(&id).await?;
    }
    context.output.answer(&session, |session| sessions::show(context, session))
}
