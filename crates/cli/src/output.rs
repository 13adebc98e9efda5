//! The one place that writes to standard output and standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::{CliError, Kind};

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    // On a terminal, unless NO_COLOR is set. (Not a documentation comment: those would stretch every help text.)
    #[default]
    Auto,
    Always,
    Never,
}

/// How to speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    color_out: bool,
    color_err: bool,
    terminal: bool,
}

/// The colours that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It works, it is open.
    Good,
    /// It waits.
    Waiting,
    /// It is refused or cut.
    Bad,
    /// It is over.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Waiting => "33",
            Self::Bad => "31",
            Self::Dim => "2",
            Self::Strong => "1",
        }
    }
}

impl Output {
    /// Looks at the terminal once.
    pub(crate) fn new(json: bool, color: ColorChoice) -> Self {
        let wanted = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                terminal && !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        let terminal = io::stdout().is_terminal();
        Self { json, color_out: wanted(terminal), color_err: wanted(io::stderr().is_terminal()), terminal }
    }

    /// Whether `--json` was given.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether standard output is a terminal.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours are shown on standard error.
    pub(crate) const fn colors_errors(&self) -> bool {
        self.color_err
    }

    /// Whether somebody can be asked: standard input and standard error are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// A line on standard output.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), CliError> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes on standard output, as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| unwritable(&error))
    }

    /// A word to the person, on standard error: standard output stays what a script reads.
    pub(crate) fn note(&self, text: impl Display) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A question to the person, on standard error, with the cursor left behind it.
    pub(crate) fn prompt(&self, text: impl Display) {
        let mut err = io::stderr().lock();
        // Nobody is left to ask when standard error is closed; the answer will be the end of the input.
        let _ = write!(err, "{text}").and_then(|()| err.flush());
    }

    /// What was asked for: as JSON where that is wanted, else in words.
    pub(crate) fn answer<T: Serialize + ?Sized>(
        &self,
        value: &T,
        words: impl FnOnce(&T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        match self.json {
            true => self.json(value),
            false => words(value),
        }
    }

    /// A value as JSON on one line for a pipe, and indented for a terminal.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), CliError> {
        let text = match self.terminal {
            true => serde_json::to_string_pretty(value),
            false => serde_json::to_string(value),
        };
        let text = text.map_err(|error| {
            CliError::failed(format!("the answer cannot be written as JSON: {error}"), "leave out --json")
        })?;
        self.line(text)
    }

    /// A list: as JSON where that is wanted, else as a table with a row for each item.
    pub(crate) fn list<T: Serialize, const N: usize>(
        &self,
        items: &[T],
        headers: [&str; N],
        row: impl FnMut(&T) -> [String; N],
        nothing: &str,
    ) -> Result<(), CliError> {
        self.answer(items, |items| self.table(headers, items.iter().map(row).collect(), nothing))
    }

    /// A table: borders on no terminal, columns always aligned. An empty one is `nothing` in words, on standard error.
    pub(crate) fn table<const N: usize>(
        &self,
        headers: [&str; N],
        rows: Vec<[String; N]>,
        nothing: &str,
    ) -> Result<(), CliError> {
        if rows.is_empty() {
            self.note(nothing);
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width());
        }
        table.set_header(headers);
        for row in rows {
            table.add_row(row.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
        }
        if let Some(column) = table.column_mut(0) {
            column.set_padding((0, 1));
        }
        // Colours go in afterwards: the layout would count their bytes as columns.
        for (number, line) in table.lines().enumerate() {
            match number {
                0 => self.line(self.tone(Tone::Strong, line.trim_end()))?,
                _ => self.line(line.trim_end())?,
            }
        }
        Ok(())
    }

    /// Text for standard output in a colour, where colours are shown.
    pub(crate) fn tone(&self, tone: Tone, text: impl Display) -> String {
        paint(self.color_out, tone, text)
    }

    /// Tells the person what went wrong, and returns the exit code.
    pub(crate) fn error(&self, error: &CliError) -> u8 {
        let code = error.kind().code();
        if error.kind() == Kind::ClosedPipe {
            return code;
        }
        if self.json {
            let value = serde_json::json!({
                "error": {
                    "kind": error.kind().name(),
                    "code": error.api_code(),
                    "message": error.message(),
                    "hint": error.hint(),
                    "exit": code,
                }
            });
            self.note(value);
        } else {
            let (message, hint) = (clean_lines(error.message()), clean_lines(error.hint()));
            self.note(format_args!("{}: {message}", paint(self.color_err, Tone::Bad, "error")));
            if !hint.is_empty() {
                self.note(format_args!("{}: {hint}", paint(self.color_err, Tone::Strong, "hint")));
            }
        }
        code
    }
}

/// Text from elsewhere, made harmless for a terminal: control characters and those that turn text around are shown
/// as U+FFFD, so that no reason, command or file name can redraw the screen.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// The same for a text of several lines, which stay apart.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn paint(color: bool, tone: Tone, text: impl Display) -> String {
    match color {
        true => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
        false => text.to_string(),
    }
}

/// The terminal's width in columns.
fn width() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| size.ws_col).filter(|columns| *columns >= 20).unwrap_or(100)
}

fn unwritable(error: &io::Error) -> CliError {
    match error.kind() == io::ErrorKind::BrokenPipe {
        true => CliError::closed_pipe(),
        false => CliError::failed(
            format!("standard output cannot be written: {error}"),
            "look at where the output goes: the disk may be full",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(clean("żółw ok"), "żółw ok");
        assert_eq!(clean_lines("one\x07\ntwo"), "one\u{fffd}\ntwo");
    }
}
