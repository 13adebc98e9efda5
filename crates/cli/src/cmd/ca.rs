//! `portcullis ca`: the CA by itself.

use crate::context::Context;
use crate::error::CliError;
use crate::serve::{self, ServeArgs};

/// Run the CA by itself, until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    serve::ca(context, &args.serve).await
}
