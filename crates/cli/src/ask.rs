//! Asking the person at the terminal for what was left out.

use std::io::{BufRead as _, Read as _};

use model::Reason;

use crate::context::Context;
use crate::error::CliError;

/// The reason that was given, else the one that is typed now. Checked here, so that a mistake costs no round trip.
pub(crate) fn reason(context: &Context, given: Option<&str>) -> Result<String, CliError> {
    match given {
        Some(text) => given_reason(text),
        None if context.output.can_ask() => {
            context.output.note("why? (reviewers and the ledger read it)");
            given_reason(&line()?)
        }
        None => Err(CliError::usage("a reason is needed", "say why: --reason \"deploy 4.2\"")),
    }
}

/// A reason that must be there once it is begun: one line of plain text.
pub(crate) fn given_reason(text: &str) -> Result<String, CliError> {
    plain(text, "say why in one line: --reason \"deploy 4.2\"")
}

/// A reason or comment that may be left out, and may not be empty: whoever typed it meant to say something.
pub(crate) fn optional(text: Option<&str>) -> Result<Option<String>, CliError> {
    text.map(|text| plain(text, "say it in one line of plain text, or leave the option out")).transpose()
}

/// A question that is answered with yes or no. Where nobody can be asked the answer is no.
pub(crate) fn yes(context: &Context, question: impl std::fmt::Display, usual: Usual) -> Result<bool, CliError> {
    if !context.output.can_ask() {
        return Ok(false);
    }
    let choice = match usual {
        Usual::Yes => "[Y/n]",
        Usual::No => "[y/N]",
    };
    context.output.prompt(format_args!("{question} {choice} "));
    let typed = line()?;
    // The end of the input is Ctrl-D: no consent to anything.
    Ok(match typed.strip_suffix('\n').map(str::trim) {
        Some("") => usual == Usual::Yes,
        Some(typed) => ["y", "yes"].contains(&typed.to_ascii_lowercase().as_str()),
        None => false,
    })
}

/// What an empty line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usual {
    /// Yes: it changes nothing for anybody.
    Yes,
    /// No: somebody else's access depends on it.
    No,
}

fn plain(text: &str, hint: &str) -> Result<String, CliError> {
    let reason: Reason = text.parse().map_err(|error: model::NameError| CliError::usage(error, hint))?;
    Ok(reason.as_str().to_owned())
}

fn line() -> Result<String, CliError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(64 * 1024).read_line(&mut line);
    read.map_err(|error| CliError::failed(format!("the terminal cannot be read: {error}"), "use the options"))?;
    Ok(line)
}
