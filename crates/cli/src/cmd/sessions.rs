//! `portcullis sessions`: who is in.

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::show::{field, moment};
use crate::words::{distance, listed};
use crate::{ids, pages};

/// List the live sessions, or show one in full
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show this session in full; a unique beginning of its id is enough
    id: Option<String>,
    /// Ended ones too
    #[arg(long, short, conflicts_with = "id")]
    all: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    if let Some(text) = &args.id {
        let id = ids::session(&client, text).await?;
        let session = client.get_session(&id).await?;
        return match context.output.is_json() {
            true => context.output.json(&session),
            false => show(context, &session),
        };
    }
    let sessions = pages::sessions(&client, !args.all).await?;
    if context.output.is_json() {
        return context.output.json(&sessions);
    }
    let now = context.now();
    let rows = sessions.iter().map(|session| {
        let end = match (&session.ended, &session.end) {
            (None, _) => "live".to_owned(),
            (Some(at), Some(end)) => format!("{} {}", clean(end), distance(now, at.0)),
            (Some(at), None) => distance(now, at.0),
        };
        [
            session.id.to_string(),
            session.identity.to_string(),
            format!("{}@{}", session.login, session.target),
            session.address.clone(),
            distance(now, session.opened.0),
            end,
            listed(&session.recordings),
        ]
    });
    let headers = ["ID", "WHO", "WHERE", "FROM", "OPENED", "ENDED", "RECORDINGS"];
    context.output.table(headers, rows.collect(), "no session is live (portcullis sessions --all shows the ended ones)")
}

/// One session in full.
pub(crate) fn show(context: &Context, session: &api::wire::Session) -> Result<(), CliError> {
    let now = context.now();
    context
        .output
        .line(format_args!("{}  {} as {}@{}", session.id, session.identity, session.login, session.target))?;
    field(context, "grant", &session.request)?;
    field(context, "from", &session.address)?;
    field(context, "through", &session.proxy)?;
    field(context, "opened", moment(now, session.opened.0))?;
    match session.ended {
        Some(at) => field(context, "ended", moment(now, at.0))?,
        None => field(context, "state", "live")?,
    }
    if let Some(end) = &session.end {
        field(context, "because", clean(end))?;
    }
    if let Some(micros) = session.drop_micros {
        field(context, "dropped in", format_args!("{}.{:03} ms", micros / 1000, micros % 1000))?;
    }
    for recording in &session.recordings {
        field(context, "recording", format_args!("{recording}  (portcullis play {recording})"))?;
    }
    Ok(())
}
