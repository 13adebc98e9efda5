//! `portcullis proxy`: a session proxy by itself.

use crate::context::Context;
use crate::error::CliError;
use crate::serve::{self, ProxyArgs};

/// Run a session proxy by itself, until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: ProxyArgs,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    serve::proxy(context, &args.serve).await
}
