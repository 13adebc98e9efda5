//! `portcullis approve`: a reviewer's yes.

use api::wire;
use model::Span;

use crate::context::Context;
use crate::error::CliError;
use crate::{ids, show};

/// Approve a request
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request; a unique beginning of its id is enough
    id: String,
    /// At most this long, as 15m; shorter than what was asked
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// A word to the asker and to the ledger
    #[arg(long, short = 'm', value_name = "TEXT")]
    comment: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let id = ids::request(&client, &args.id).await?;
    let body = wire::Approve { duration: args.duration.map(Span::seconds), comment: args.comment.clone() };
    let request = client.approve(&id, &body).await?;
    context.output.answer(&request, |request| show::request(context, request))
}
