//! `portcullis up`: CA and proxy in one process.

use crate::context::Context;
use crate::error::CliError;
use crate::serve::{self, ServeArgs};

/// Run CA and proxy in one process, until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    serve::up(context, &args.serve).await
}
