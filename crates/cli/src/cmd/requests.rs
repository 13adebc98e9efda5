//! `portcullis requests`: who asks for what.

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::words::{distance, span};
use crate::{ids, pages, show};

/// List requests that wait for reviews, or show one in full
#[derive(Debug, clap::Args)]
#[command(after_help = "A unique beginning of an id is enough: portcullis requests x7")]
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
        let request = client.get_request(&id).await?;
        return match context.output.is_json() {
            true => context.output.json(&request),
            false => show::request(context, &request),
        };
    }
    let state = match (&args.state, args.all) {
        (Some(state), _) => Some(state.as_str()),
        (None, true) => None,
        (None, false) => Some("pending"),
    };
    let requests = pages::requests(&client, state, args.mine).await?;
    if context.output.is_json() {
        return context.output.json(&requests);
    }
    let now = context.now();
    let rows = requests.iter().map(|request| {
        let lacks = request.paths.iter().map(|gap| gap.lacks.join(", ")).collect::<Vec<_>>().join("; or ");
        let what = match &request.extends {
            Some(_) => format!("+{}", span(request.duration)),
            None => span(request.duration),
        };
        [
            request.id.to_string(),
            request.identity.to_string(),
            format!("{}@{}", request.login, request.target),
            what,
            request.state.to_string(),
            distance(now, request.filed.0),
            clean(&request.reason),
            lacks,
        ]
    });
    let nothing = match state {
        Some("pending") => "no request waits for a review (portcullis requests --all shows the decided ones)",
        Some(_) | None => "no requests",
    };
    context.output.table(["ID", "WHO", "WHAT", "FOR", "STATE", "FILED", "REASON", "LACKS"], rows.collect(), nothing)
}
