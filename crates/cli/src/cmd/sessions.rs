//! `portcullis sessions`: who is in.

use api::wire::Session;
use model::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::show::{field, moment};
use crate::words::{distance, listed, milliseconds};
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
        return context.output.answer(&client.get_session(&id).await?, |session| show(context, session));
    }
    let sessions = pages::sessions(&client, !args.all).await?;
    let headers = ["ID", "WHO", "WHERE", "FROM", "OPENED", "ENDED", "RECORDINGS"];
    let nothing = "no session is live (portcullis sessions --all shows the ended ones)";
    let now = context.now();
    context.output.list(&sessions, headers, |session| row(now, session), nothing)
}

fn row(now: Timestamp, session: &Session) -> [String; 7] {
    let end = match (&session.ended, &session.end) {
        (None, None) => "live".to_owned(),
        (None, Some(dropping)) => clean(dropping),
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
}

/// One session in full.
pub(crate) fn show(context: &Context, session: &Session) -> Result<(), CliError> {
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
    if let Some(micros) = session.cut_micros {
        field(context, "cut in", format_args!("{}  (nothing passed any more)", milliseconds(micros)))?;
    }
    if let Some(micros) = session.drop_micros {
        field(context, "dropped in", format_args!("{}  (the person's connection was closed)", milliseconds(micros)))?;
    }
    for recording in &session.recordings {
        field(context, "recording", format_args!("{recording}  (portcullis play {recording})"))?;
    }
    Ok(())
}
