//! `portcullis locks`: what is locked.

use api::wire::LockView;
use model::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::words::distance;

/// List the locks in force
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) async fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let locks = client.locks().await?.items;
    let headers = ["ID", "LOCKED", "BY", "PLACED", "UNTIL", "REASON"];
    let now = context.now();
    context.output.list(&locks, headers, |lock| row(now, lock), "nothing is locked")
}

fn row(now: Timestamp, lock: &LockView) -> [String; 6] {
    [
        lock.id.to_string(),
        lock.subject.clone(),
        lock.by.clone(),
        distance(now, lock.placed.0),
        lock.until.map_or_else(|| "someone unlocks".to_owned(), |until| distance(now, until.0)),
        clean(&lock.reason),
    ]
}
