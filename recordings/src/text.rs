//! A recording as plain text: what a person at the terminal could have read.

use avt::observer::Transcript;
use avt::parser::Function;
use avt::{Observation, Observer, Operation, ScreenKind, Terminal};

use crate::safe::plain;
use crate::{Decoder, Event, FileHeader, Filter, Format, Stream, What};

/// The largest terminal that is emulated. A recording may claim 65,535 rows and columns, which would take gigabytes.
const COLUMNS: u16 = 1000;
const ROWS: u16 = 500;

/// A line of a byte log that grows beyond this is shown in parts.
const LINE: usize = 64 * 1024;

/// An emulated terminal of a recording's size, cut to what is sensible.
pub(crate) fn terminal(columns: u16, rows: u16) -> Option<Terminal> {
    Terminal::new(usize::from(columns.clamp(1, COLUMNS)), usize::from(rows.clamp(1, ROWS))).ok()
}

/// Changes the size of one.
pub(crate) fn resize<O: Observer>(terminal: &mut Terminal, columns: u16, rows: u16, observer: O) -> O::Output {
    terminal.resize_with(usize::from(columns.clamp(1, COLUMNS)), usize::from(rows.clamp(1, ROWS)), observer)
}

/// Renders events as lines of text without any control sequence.
///
/// A terminal's output goes through an emulator, so a line appears as it looked in the end, however it was drawn. The
/// last picture of each full-screen program stands between two lines that say so. Of a byte log, the kept output
/// appears, with standard error marked.
pub struct Text {
    kind: Kind,
    /// Remarks of the recording, shown at the end: their place between lines that are still on the screen is unknown.
    remarks: Vec<String>,
}

enum Kind {
    Terminal(Option<Box<Drawn>>),
    Bytes { out: Lines, err: Lines, input: Lines },
}

struct Drawn {
    /// Recorded output may ask the emulator for a size of gigabytes.
    filter: Filter,
    terminal: Terminal,
    transcript: Transcript,
    screens: Screens,
}

impl Text {
    /// Begins a text.
    #[must_use]
    pub fn new(header: &FileHeader) -> Self {
        let kind = match header.format {
            Format::Cast => {
                let drawn = |terminal| {
                    let (filter, transcript, screens) = (Filter::default(), Transcript::new(), Screens::default());
                    Box::new(Drawn { filter, terminal, transcript, screens })
                };
                Kind::Terminal(terminal(header.columns, header.rows).map(drawn))
            }
            Format::Bytes => {
                Kind::Bytes { out: Lines::new(""), err: Lines::new("[stderr] "), input: Lines::new("[stdin] ") }
            }
        };
        Self { kind, remarks: Vec::new() }
    }

    /// Takes an event; returns the lines that are final by now, without line feeds.
    pub fn event(&mut self, event: &Event) -> Vec<String> {
        let time = event.time.as_secs_f64();
        match (&mut self.kind, &event.what) {
            (_, What::Marker(label)) => self.remarks.push(format!("-- {time:.3} s: {}", plain(label))),
            (Kind::Terminal(Some(drawn)), What::Output(text)) => {
                let Drawn { filter, terminal, transcript, screens } = &mut **drawn;
                let mut safe = String::with_capacity(text.len());
                filter.push(text, &mut safe);
                let (lines, screens) = terminal.feed_with(safe.as_str(), (transcript, screens));
                return joined(&lines, &screens);
            }
            (Kind::Terminal(Some(drawn)), What::Resize { columns, rows }) => {
                let Drawn { terminal, transcript, screens, .. } = &mut **drawn;
                let (lines, screens) = resize(terminal, *columns, *rows, (transcript, screens));
                return joined(&lines, &screens);
            }
            (Kind::Bytes { out, err, input }, What::Bytes { stream, data }) => {
                let part = match stream {
                    Stream::Err => err,
                    Stream::Out => out,
                    Stream::In => input,
                };
                return part.push(data);
            }
            (_, What::File(operation)) => {
                return vec![format!("-- {time:.3} s: {}", crate::files::sentence(operation))];
            }
            (_, What::End(counts)) => {
                let (bytes_in, out, err) = (counts.bytes_in, counts.out, counts.err);
                self.remarks.push(format!("-- {time:.3} s: {bytes_in} bytes in, {out} out, {err} to stderr"));
                match &counts.exit {
                    Some(model::ExitReport::Status(status)) => {
                        self.remarks.push(format!("-- {time:.3} s: exit status {status}"));
                    }
                    Some(model::ExitReport::Signal(signal)) => {
                        self.remarks.push(format!("-- {time:.3} s: exit signal {}", plain(signal)));
                    }
                    None => {}
                }
            }
            (
                Kind::Terminal(_) | Kind::Bytes { .. },
                What::Output(_) | What::Input(_) | What::Resize { .. } | What::Bytes { .. } | What::Other,
            ) => {}
        }
        Vec::new()
    }

    /// The lines that are left, and the remarks.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        let mut lines = match self.kind {
            Kind::Terminal(Some(drawn)) => {
                let Drawn { terminal, transcript, mut screens, .. } = *drawn;
                screens.look(&terminal);
                joined(&transcript.finish(&terminal), &screens.ready)
            }
            Kind::Terminal(None) => Vec::new(),
            Kind::Bytes { out, err, input } => [input.finish(), out.finish(), err.finish()].concat(),
        };
        lines.extend(self.remarks);
        lines
    }
}

/// Notes the last picture of each full-screen program.
#[derive(Default)]
struct Screens {
    last: Vec<String>,
    ready: Vec<String>,
}

impl Screens {
    fn look(&mut self, terminal: &Terminal) {
        if terminal.active_screen_kind() == ScreenKind::Alternate {
            self.last = terminal.screen().visible_lines().map(|line| line.text().trim_end().to_owned()).collect();
            self.show();
        }
    }

    fn show(&mut self) {
        while self.last.last().is_some_and(String::is_empty) {
            self.last.pop();
        }
        if !self.last.is_empty() {
            self.ready.push("-- full-screen program".to_owned());
            self.ready.append(&mut self.last);
            self.ready.push("-- end of full-screen program".to_owned());
        }
    }
}

impl Observer for Screens {
    type Output = Vec<String>;

    fn before(&mut self, context: &mut Observation<'_>, operation: &Operation) {
        // Afterwards the picture is gone. A reset and a change of modes are the two ways out of it.
        if matches!(operation, Operation::Function(Function::Decrst(_) | Function::Ris)) {
            let terminal = context.terminal();
            if terminal.active_screen_kind() == ScreenKind::Alternate {
                self.last = terminal.screen().visible_lines().map(|line| line.text().trim_end().to_owned()).collect();
            }
        }
    }

    fn after(&mut self, context: &mut Observation<'_>, _: &Operation) {
        if !self.last.is_empty() {
            if context.terminal().active_screen_kind() == ScreenKind::Primary {
                self.show();
            }
            self.last.clear();
        }
    }

    fn end(&mut self, _: &mut Observation<'_>) -> Self::Output {
        std::mem::take(&mut self.ready)
    }
}

fn joined(lines: &[String], screens: &[String]) -> Vec<String> {
    lines.iter().chain(screens).map(|line| plain(line)).collect()
}

/// Cuts a stream of bytes into lines of text.
struct Lines {
    mark: &'static str,
    decoder: Decoder,
    rest: String,
}

impl Lines {
    fn new(mark: &'static str) -> Self {
        Self { mark, decoder: Decoder::default(), rest: String::new() }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut text = std::mem::take(&mut self.rest);
        self.decoder.push(bytes, &mut text);
        let mut lines = Vec::new();
        let mut rest = text.as_str();
        while let Some((line, after)) = rest.split_once('\n') {
            lines.push(self.line(line));
            rest = after;
        }
        if rest.len() > LINE {
            lines.push(self.line(rest));
            rest = "";
        }
        self.rest = rest.to_owned();
        lines
    }

    fn finish(mut self) -> Vec<String> {
        let mut text = std::mem::take(&mut self.rest);
        self.decoder.finish(&mut text);
        if text.is_empty() { Vec::new() } else { vec![self.line(&text)] }
    }

    fn line(&self, line: &str) -> String {
        format!("{}{}", self.mark, plain(line.strip_suffix('\r').unwrap_or(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counts;
    use std::time::Duration;

    fn text(format: Format, events: Vec<What>) -> Vec<String> {
        let header = FileHeader {
            format,
            columns: 20,
            rows: 3,
            timestamp: None,
            title: None,
            command: None,
            subsystem: None,
            env: std::collections::BTreeMap::new(),
        };
        let mut text = Text::new(&header);
        let mut lines = Vec::new();
        for (second, what) in events.into_iter().enumerate() {
            lines.extend(text.event(&Event { time: Duration::from_secs(second as u64), what }));
        }
        lines.extend(text.finish());
        lines
    }

    fn output(text: &str) -> What {
        What::Output(text.to_owned())
    }

    #[test]
    fn a_terminal_reads_as_it_looked() {
        let lines = text(
            Format::Cast,
            vec![
                output("$ lx\x08 \x08s\r\n\x1b[32mone\x1b[0m\r\ntwo\r\n"),
                What::Resize { columns: 30, rows: 2 },
                output("\u{202e}three\r\n"),
                What::Marker("exit status 0".into()),
            ],
        );
        assert_eq!(lines, ["$ ls", "one", "two", "\u{fffd}three", "-- 3.000 s: exit status 0"]);
    }

    #[test]
    fn a_full_screen_program_leaves_its_last_picture() {
        for leave in ["\x1b[?1049l", "\x1bc"] {
            let events = vec![output("$ vim\r\n\x1b[?1049h\x1b[Hfile text"), output(leave), output("$ ")];
            let lines = text(Format::Cast, events);
            let picture = ["-- full-screen program", "file text", "-- end of full-screen program"];
            assert!(lines.windows(3).any(|window| window == picture), "{lines:?}");
        }
        let lines = text(Format::Cast, vec![output("\x1b[?1049hstill here")]);
        assert!(lines.contains(&"still here".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_hostile_size_takes_no_memory() {
        let lines = text(
            Format::Cast,
            vec![What::Resize { columns: 65535, rows: 65535 }, output("\x1b[8;65535;65535tok\x1b[65535b")],
        );
        assert!(lines[0].starts_with("ok"), "{lines:?}");
    }

    #[test]
    fn a_byte_log_reads_as_lines() {
        let bytes = |stream, data: &[u8]| What::Bytes { stream, data: data.to_vec() };
        let lines = text(
            Format::Bytes,
            vec![
                bytes(Stream::Out, b"one\r\ntw\xc3"),
                bytes(Stream::Err, b"bad\n"),
                bytes(Stream::Out, b"\xa9\x1b[31m\n\xff"),
                What::End(Counts { bytes_in: 1, out: 2, err: 3, ..Counts::default() }),
            ],
        );
        assert_eq!(
            lines,
            ["one", "[stderr] bad", "twé\u{fffd}[31m", "\u{fffd}", "-- 3.000 s: 1 bytes in, 2 out, 3 to stderr"]
        );
    }

    #[test]
    fn operations_on_files_read_as_lines() {
        let operation = r#"{"op":"remove","path":"/a\\x1b[31m","result":{"refused":{"reason":"no\u001b"}}}"#;
        let lines = text(Format::Bytes, vec![What::File(Box::new(serde_json::from_str(operation).unwrap()))]);
        assert_eq!(lines, ["-- 0.000 s: remove /a\\x1b[31m: REFUSED: no\u{fffd}"]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn no_output_puts_a_control_character_into_the_text(outputs in proptest::collection::vec("([ -~]|\r\n|\x1b[\\[\\]P(]?[?>0-9;]{0,6}[@-~]|[\u{80}-\u{9f}]|\x07){0,40}", 0..6)) {
            let lines = text(Format::Cast, outputs.iter().map(|text| output(text)).collect());
            proptest::prop_assert!(lines.iter().all(|line| !line.chars().any(|c| c.is_control() && c != '\t')));
        }
    }
}
