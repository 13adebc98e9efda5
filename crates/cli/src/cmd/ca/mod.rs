//! `portcullis ca`: the CA by itself; and its keys, replaced while it runs.

mod rotate;

use crate::context::Context;
use crate::error::CliError;
use crate::serve::{self, ServeArgs};

/// Run the CA by itself, until SIGTERM or Ctrl-C; or replace its keys
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Replace the key of the user, host or front CA while everything runs, step by step
    Rotate(rotate::Args),
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.verb {
        Some(Verb::Rotate(args)) => rotate::run(context, args).await,
        None => serve::ca(context, &args.serve).await,
    }
}
