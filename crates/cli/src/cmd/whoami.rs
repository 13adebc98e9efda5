//! `portcullis whoami`: who the CA takes us for.

use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean};
use crate::show::{field, moment};
use crate::words::listed;

/// Show who you are to the CA, with which key, and until when
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) async fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let me = client.whoami().await?;
    if context.output.is_json() {
        return context.output.json(&me);
    }
    context.output.line(context.output.tone(Tone::Strong, &me.subject))?;
    field(context, "groups", if me.groups.is_empty() { "none".to_owned() } else { listed(&me.groups) })?;
    field(context, "key", format_args!("{}{}", me.key, if me.touch { " (touched)" } else { "" }))?;
    if let Some(until) = me.code_until {
        field(context, "code", format_args!("given; it counts until {}", moment(context.now(), until.0)))?;
    }
    field(context, "until", moment(context.now(), me.expires.0))?;
    if let Some(locked) = &me.locked {
        field(context, "locked!", context.output.tone(Tone::Bad, clean(locked)))?;
    }
    field(context, "api", client.url())
}
