//! `portcullis man`: the man pages, one a verb.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CliError;
use crate::words::count;

/// Write the man pages into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to, as /usr/local/share/man/man1; it is made when it is not there
    dir: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    std::fs::create_dir_all(&args.dir).map_err(|error| CliError::file("make", &args.dir, &error))?;
    let mut command = Cli::command();
    command.build();
    let pages = write(&command, "portcullis", &args.dir)?;
    context.output.line(format_args!("{} in {}", count(pages, "page"), args.dir.display()))
}

/// Writes a command's page and those of its subcommands: portcullis-target-add.1.
fn write(command: &clap::Command, name: &str, dir: &Path) -> Result<usize, CliError> {
    let path = dir.join(format!("{name}.1"));
    let mut text = Vec::new();
    let unwritten = |error: std::io::Error| CliError::file("write", &path, &error);
    clap_mangen::Man::new(command.clone()).title(name).render(&mut text).map_err(unwritten)?;
    std::fs::write(&path, text).map_err(unwritten)?;
    let mut pages = 1;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        pages += write(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(pages)
}
