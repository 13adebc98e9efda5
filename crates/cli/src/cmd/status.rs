//! `portcullis status`: how the CA is.

use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean_lines};
use crate::show::{field, moment};

/// Show how the CA is: version, ledger, policy, directory, what is open
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) async fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let status = client.status().await?;
    if context.output.is_json() {
        return context.output.json(&status);
    }
    let output = &context.output;
    output.line(format_args!("{} at {}", output.tone(Tone::Strong, &status.server), client.url()))?;
    field(context, "version", &status.version)?;
    field(context, "up since", moment(context.now(), status.started.0))?;
    field(context, "ledger", format_args!("{} records, root {}", status.records, status.root))?;
    let troubles =
        [("ledger", &status.ledger_error), ("policy", &status.policy_error), ("directory", &status.directory_error)];
    field(context, "policy", &status.policy)?;
    field(context, "directory", &status.directory)?;
    field(context, "pending", status.pending)?;
    field(context, "grants", status.grants)?;
    field(context, "sessions", status.sessions)?;
    field(context, "locks", status.locks)?;
    for (what, error) in troubles {
        if let Some(error) = error {
            // A validator's message has several lines.
            let text = clean_lines(error).replace('\n', "\n               ");
            field(context, &format!("{what}!"), output.tone(Tone::Bad, text))?;
        }
    }
    Ok(())
}
