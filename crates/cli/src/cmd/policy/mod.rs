//! `portcullis policy`: is it right, and what does it say?

mod check;
mod explain;
mod who_can;

use std::path::Path;

use identity::{Directory, files};

use crate::context::Context;
use crate::error::{CliError, Kind, chain};

/// The actions of policies, as they are typed.
const ACTIONS: [&str; 6] = ["request", "review", "connect", "replay", "lock", "administer"];

/// Check a policy file offline, or ask the CA what it would say and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis policy check policy.cedar --directory directory.toml
  portcullis policy explain root@web1 --for 4h
  portcullis policy explain root@web1 --action review --requester alice
  portcullis policy who-can request root@web1
  portcullis policy example > policy.cedar")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check files against the schema, and their names against a directory; needs no CA
    Check(check::Args),
    /// Say what the CA would answer, by which policies, and what would help
    Explain(explain::Args),
    /// List who could do something, by the files alone; needs no CA
    WhoCan(who_can::Args),
    /// Print a commented policy to begin with
    Example,
    /// Print the schema that policies are checked against
    Schema,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.action {
        Action::Check(args) => check::run(context, args),
        Action::Explain(args) => explain::run(context, args).await,
        Action::WhoCan(args) => who_can::run(context, args),
        Action::Example => context.output.bytes(policy::EXAMPLE.as_bytes()),
        Action::Schema => context.output.bytes(policy::SCHEMA.as_bytes()),
    }
}

/// A file of policies.
fn read_policy(path: &Path) -> Result<String, CliError> {
    files::read_text(path, 16 << 20).map_err(|error| {
        CliError::new(Kind::NotFound, chain(&error), "portcullis policy example prints one to begin with")
    })
}

/// The directory that is named, else that of `portcullis.toml`; `None` when there is neither.
fn directory(context: &Context, given: Option<&Path>) -> Result<Option<Directory>, CliError> {
    let path = match (given, context.config()) {
        (Some(path), _) => path.to_owned(),
        (None, Ok(config)) => match config.ca() {
            Ok(ca) => ca.directory().to_owned(),
            Err(_) => return Ok(None),
        },
        (None, Err(error)) if error.kind() == Kind::NotFound => return Ok(None),
        (None, Err(error)) => return Err(error),
    };
    let text = files::read_text(&path, 16 << 20)
        .map_err(|error| CliError::new(Kind::NotFound, chain(&error), "name the directory with --directory FILE"))?;
    let directory = Directory::parse(&text, &path.display().to_string());
    directory.map(Some).map_err(|error| crate::config::refused(&error))
}
