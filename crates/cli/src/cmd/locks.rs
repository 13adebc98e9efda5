//! `portcullis locks`: what is locked.

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
    if context.output.is_json() {
        return context.output.json(&locks);
    }
    let now = context.now();
    let rows = locks.iter().map(|lock| {
        [
            lock.id.to_string(),
            lock.subject.clone(),
            lock.by.clone(),
            distance(now, lock.placed.0),
            lock.until.map_or_else(|| "someone unlocks".to_owned(), |until| distance(now, until.0)),
            clean(&lock.reason),
        ]
    });
    context.output.table(["ID", "LOCKED", "BY", "PLACED", "UNTIL", "REASON"], rows.collect(), "nothing is locked")
}
