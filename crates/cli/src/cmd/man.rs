//! `portcullis man`: the man pages, one a verb.

use std::io::Write as _;
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
    page(command, name, &mut text).map_err(unwritten)?;
    std::fs::write(&path, text).map_err(unwritten)?;
    let mut pages = 1;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        pages += write(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(pages)
}

/// A page with the synopsis that `--help` shows: the generator's own names every option and the value of none.
fn page(command: &clap::Command, name: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(command.clone().display_name(name)).title(name);
    man.render_title(out)?;
    man.render_name_section(out)?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    writeln!(out, ".SH SYNOPSIS")?;
    for line in usage.lines() {
        writeln!(out, ".nf\n{}\n.fi", escaped(line.trim()))?;
    }
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.get_subcommands().any(|sub| sub.get_name() != "help") {
        writeln!(out, ".SH COMMANDS")?;
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(out, ".TP\n{}(1)\n{}", escaped(&format!("{name}-{}", sub.get_name())), escaped(&about))?;
        }
    }
    if let Some(more) = command.get_after_help() {
        // Examples and tables keep their lines and columns.
        writeln!(out, ".SH NOTES\n.nf")?;
        for line in more.to_string().lines() {
            writeln!(out, "{}", escaped(line))?;
        }
        writeln!(out, ".fi")?;
    }
    if let Some((parent, _)) = name.rsplit_once('-').filter(|_| command.get_name() != "portcullis") {
        writeln!(out, ".SH SEE ALSO\n{}(1)", escaped(parent))?;
    }
    Ok(())
}

/// Text as roff takes it: nothing in it is a request or an escape.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
