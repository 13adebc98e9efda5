//! Asking the person at the terminal for what was left out.

use std::io::{BufRead as _, Read as _};

use model::Reason;

use crate::context::Context;
use crate::error::CliError;

/// The reason that was given, else the one that is typed now. Checked here, so that a mistake costs no round trip.
pub(crate) fn reason(context: &Context, given: Option<&str>) -> Result<String, CliError> {
    let text = match given {
        Some(text) => text.to_owned(),
        None if context.output.can_ask() => {
            context.output.note("why? (reviewers and the ledger read it)");
            let mut line = String::new();
            let read = std::io::stdin().lock().take(64 * 1024).read_line(&mut line);
            read.map_err(|error| CliError::failed(format!("the terminal cannot be read: {error}"), "use --reason"))?;
            line
        }
        None => return Err(CliError::usage("a reason is needed", "say why: --reason \"deploy 4.2\"")),
    };
    let reason: Reason = text
        .parse()
        .map_err(|error: model::NameError| CliError::usage(error, "say why in one line: --reason \"deploy 4.2\""))?;
    Ok(reason.as_str().to_owned())
}
