//! `portcullis requests`: who asks for what.

use api::wire::{Request, RequestState};
use model::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::words::{distance, left, span};
use crate::{ids, pages, show};

/// List requests that wait for reviews, or show one in full
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis requests     # what waits, for how long, and who can decide it
  portcullis requests x7  # one in full; the beginning of its id is enough
  portcullis requests --all --mine
  portcullis requests --state denied --json")]
pub(crate) struct Args {
    /// Show this request in full
    id: Option<String>,
    /// Decided ones too
    #[arg(long, short, conflicts_with_all = ["id", "state"])]
    all: bool,
    /// Only mine
    #[arg(long, short, conflicts_with = "id")]
    mine: bool,
    /// Only those in this state
    #[arg(long, value_name = "STATE", conflicts_with = "id",
        value_parser = ["pending", "approved", "denied", "cancelled", "expired"])]
    state: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    if let Some(text) = &args.id {
        let id = ids::request(&client, text).await?;
        return context.output.answer(&client.get_request(&id).await?, |request| show::request(context, request));
    }
    let state = match (&args.state, args.all) {
        (Some(state), _) => Some(state.as_str()),
        (None, true) => None,
        (None, false) => Some("pending"),
    };
    let requests = pages::requests(&client, state, args.mine).await?;
    let (now, nothing) = (
        context.now(),
        match state {
            Some("pending") => "no request waits for a review (portcullis requests --all shows the decided ones)",
            Some(_) | None => "no requests",
        },
    );
    let headers = ["ID", "WHO", "WHAT", "FOR", "STATE", "LEFT", "REASON", "LACKS"];
    context.output.list(&requests, headers, |request| row(now, request), nothing)
}

fn row(now: Timestamp, request: &Request) -> [String; 8] {
    let lacks = request.paths.iter().map(|gap| gap.lacks.join(", ")).collect::<Vec<_>>().join("; or ");
    let what = match &request.extends {
        Some(_) => format!("+{}", span(request.duration)),
        None => span(request.duration),
    };
    let waits = match request.state {
        RequestState::Pending => left(now, request.expires.0),
        RequestState::Approved | RequestState::Denied | RequestState::Cancelled | RequestState::Expired => {
            format!("filed {}", distance(now, request.filed.0))
        }
    };
    [
        request.id.to_string(),
        request.identity.to_string(),
        format!("{}@{}", request.login, request.target),
        what,
        request.state.to_string(),
        waits,
        clean(&request.reason),
        lacks,
    ]
}
