//! What the binary `portcullis` does. It stands in a library so that the fuzz targets reach its parsers; nobody else has a
//! use for it.
#![forbid(unsafe_code)]

mod ask;
mod cli;
mod cmd;
mod code;
mod config;
mod context;
mod credentials;
mod decision;
mod enrolment;
mod error;
mod fetch;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod ids;
mod keyboard;
mod keyring;
mod output;
mod pages;
mod profile;
mod progress;
mod serve;
mod show;
mod ssh_files;
mod token;
mod trust;
mod wait;
mod words;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{ColorChoice, Output};

/// The whole program: reads the command line, does what it says, and tells how that went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.json, cli.color);
    let context = Context::new(output, cli.home, cli.config, cli.verbose);
    match run(&context, &cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(output.error(&error)),
    }
}

fn run(context: &Context, verb: &cli::Verb) -> Result<(), CliError> {
    // The one provider of cryptography for TLS; a second call would only say that it is there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::failed(format!("the runtime cannot be started: {error}"), "look at the limits of this process")
    })?;
    let done = runtime.block_on(cli::run(context, verb));
    // What still runs waits for a peer that no longer matters.
    runtime.shutdown_background();
    done
}

/// Help and version go to standard output; everything else is a mistake, said with a hint.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that went away has seen enough.
        let _ = error.print();
        return ExitCode::from(if asked { 0 } else { 2 });
    }
    let json = std::env::args_os().any(|arg| arg == "--json");
    let output = Output::new(json, ColorChoice::Auto);
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    // clap ends with a blank line and "For more information, try '--help'."; ours is the hint.
    let (message, _) = text.split_once("\n\nFor more information").unwrap_or((text, ""));
    let hint = match typed_verb() {
        Some(verb) => format!("{verb} --help shows what it takes"),
        None => "portcullis --help lists the verbs".to_owned(),
    };
    ExitCode::from(output.error(&CliError::usage(message, hint)))
}

/// The verb that was typed, with its own verb when it has one: "portcullis target add".
fn typed_verb() -> Option<String> {
    let mut command = <Cli as clap::CommandFactory>::command();
    let mut name = command.get_name().to_owned();
    let mut known = false;
    for word in std::env::args().skip(1) {
        let Some(next) = command.find_subcommand(&word).cloned() else { continue };
        name = format!("{name} {word}");
        command = next;
        known = true;
    }
    known.then_some(name)
}
