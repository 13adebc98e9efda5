//! A recording, read line by line. The parser takes bytes as they come and does no I/O.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::ExitReport;
use serde::{Deserialize, Serialize};
use sftp::Operation;

use crate::{FileHeader, Format, ParseError};

/// The longest line that is read. Portcullis writes none of a third of this: a header holds at most a command of one
/// SSH packet (RFC 4253, section 6.1), an event 16 KiB of a terminal's output.
const LINE: usize = 4 << 20;

/// The longest time of an event, in seconds: over 30 years.
const TIME: f64 = 1e9;

/// One of a channel's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// From the person to the target.
    In,
    /// The target's standard output.
    Out,
    /// The target's standard error.
    Err,
}

/// An event of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, since the recording began.
    pub time: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The target drew on the terminal.
    Output(String),
    /// The person typed this, and the target echoed it.
    Input(String),
    /// The terminal changed its size.
    Resize {
        /// Columns, at least 1.
        columns: u16,
        /// Rows, at least 1.
        rows: u16,
    },
    /// A remark.
    Marker(String),
    /// Bytes of a channel without a terminal.
    Bytes {
        /// Which stream.
        stream: Stream,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// Something was done to a file, or refused.
    File(Box<Operation>),
    /// The end of a byte log.
    End(Counts),
    /// An event of a kind that this version does not know; to be passed over.
    Other,
}

/// What passed over a channel without a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Bytes from the person to the target.
    #[serde(rename = "in")]
    pub bytes_in: u64,
    /// Bytes of standard output.
    pub out: u64,
    /// Bytes of standard error.
    pub err: u64,
    /// Bytes of output that are in the recording.
    pub kept: u64,
    /// Bytes from the person that are in the recording.
    #[serde(rename = "kept-in", default, skip_serializing_if = "is_zero")]
    pub kept_in: u64,
    /// Whether output, or input that is to be kept, was left out because of the limit.
    pub truncated: bool,
    /// How the process finished, when the target said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitReport>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One line of a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The first.
    Header(FileHeader),
    /// Any other.
    Event(Event),
}

/// Reads a recording from bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    start: usize,
    /// How far behind `start` was looked for a line feed already.
    seen: usize,
    /// Lines read so far.
    line: u64,
    format: Option<Format>,
}

impl Parser {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line; `None`: push more.
    ///
    /// # Errors
    /// A line that does not read, with its number. Nothing of use follows it.
    pub fn next_item(&mut self) -> Result<Option<Item>, ParseError> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let unseen = rest.get(self.seen..).unwrap_or_default();
            let number = self.line.saturating_add(1);
            let Some(end) = unseen.iter().position(|&byte| byte == b'\n').map(|at| self.seen.saturating_add(at)) else {
                self.seen = rest.len();
                if self.seen > LINE {
                    return Err(ParseError::Long { line: number, limit: LINE });
                }
                return Ok(None);
            };
            let line = rest.get(..end).unwrap_or_default();
            self.seen = 0;
            self.start = self.start.saturating_add(end).saturating_add(1);
            self.line = number;
            if line.len() > LINE {
                return Err(ParseError::Long { line: number, limit: LINE });
            }
            return match self.format {
                None => {
                    let header = FileHeader::parse(line)?;
                    self.format = Some(header.format);
                    Ok(Some(Item::Header(header)))
                }
                // Players pass over empty lines.
                Some(_) if line.is_empty() => continue,
                Some(Format::Cast) => cast_event(line, number).map(|event| Some(Item::Event(event))),
                Some(Format::Bytes) => bytes_event(line, number).map(|event| Some(Item::Event(event))),
            };
        }
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// When the last line is cut off, or the header is not there.
    pub fn finish(&self) -> Result<(), ParseError> {
        if self.buffer.len() > self.start {
            return Err(ParseError::Torn { line: self.line.saturating_add(1) });
        }
        if self.format.is_none() { Err(ParseError::Empty) } else { Ok(()) }
    }

    /// How many lines were read.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.line
    }
}

fn cast_event(line: &[u8], number: u64) -> Result<Event, ParseError> {
    let shape = |problem| ParseError::Shape { line: number, problem };
    let (seconds, code, data): (f64, String, String) = serde_json::from_slice(line)
        .map_err(|source| ParseError::Json { line: number, expected: "an asciicast event", source })?;
    let what = match code.as_str() {
        "o" => What::Output(data),
        "i" => What::Input(data),
        "m" => What::Marker(data),
        "r" => {
            let size = data.split_once('x').and_then(|(columns, rows)| Some((size(columns)?, size(rows)?)));
            let (columns, rows) = size.ok_or_else(|| shape("a resize to no size: it reads COLUMNSxROWS"))?;
            What::Resize { columns, rows }
        }
        _ => What::Other,
    };
    Ok(Event { time: time(seconds, number)?, what })
}

fn size(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&size| size > 0)
}

fn time(seconds: f64, line: u64) -> Result<Duration, ParseError> {
    let shape = |problem| ParseError::Shape { line, problem };
    if !(0.0..=TIME).contains(&seconds) {
        return Err(shape("a time that is below 0 or beyond all sense"));
    }
    // Whole microseconds, as they were written.
    Duration::try_from_secs_f64((seconds * 1e6).round() / 1e6).map_err(|_| shape("a time beyond all sense")).map(
        |time| {
            let micros = time.as_nanos().saturating_add(500) / 1000;
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        },
    )
}

#[derive(Deserialize)]
struct BytesLine {
    t: f64,
    s: Option<String>,
    b64: Option<String>,
    note: Option<String>,
    end: Option<Counts>,
    file: Option<serde_json::Value>,
}

fn bytes_event(line: &[u8], number: u64) -> Result<Event, ParseError> {
    let shape = |problem| ParseError::Shape { line: number, problem };
    let read: BytesLine = serde_json::from_slice(line).map_err(|source| ParseError::Json {
        line: number,
        expected: "an event of a byte log",
        source,
    })?;
    let what = match read {
        BytesLine { end: Some(counts), .. } => What::End(counts),
        BytesLine { note: Some(note), .. } => What::Marker(note),
        // Another version may know operations that this one does not.
        BytesLine { file: Some(file), .. } => {
            serde_json::from_value(file).map_or(What::Other, |operation| What::File(Box::new(operation)))
        }
        BytesLine { s: Some(stream), b64: Some(data), .. } => {
            let stream = match stream.as_str() {
                "in" => Stream::In,
                "out" => Stream::Out,
                "err" => Stream::Err,
                _ => return Err(shape("a stream that is not \"in\", \"out\" or \"err\"")),
            };
            let data = STANDARD.decode(data).map_err(|_| shape("\"b64\" is not base64"))?;
            What::Bytes { stream, data }
        }
        _ => What::Other,
    };
    Ok(Event { time: time(read.t, number)?, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAST: &str = "{\"version\":2,\"width\":80,\"height\":24}\n";
    const BYTES: &str = "{\"portcullis-bytes\":1}\n";

    fn parse(pieces: &[&[u8]]) -> Result<Vec<Item>, ParseError> {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece);
            while let Some(item) = parser.next_item()? {
                items.push(item);
            }
        }
        parser.finish().map(|()| items)
    }

    fn whats(text: &str) -> Result<Vec<What>, ParseError> {
        let items = parse(&[text.as_bytes()])?;
        Ok(items
            .into_iter()
            .filter_map(|item| if let Item::Event(event) = item { Some(event.what) } else { None })
            .collect())
    }

    #[test]
    fn every_kind_of_event_reads() {
        let text = format!(
            "{CAST}[0.5,\"o\",\"a\\u001b\"]\n\n[1,\"i\",\"b\"]\n[1.5,\"r\",\"100x50\"]\n[2,\"m\",\"c\"]\n[3,\"x\",\"0\"]\n"
        );
        assert_eq!(
            whats(&text).unwrap(),
            [
                What::Output("a\x1b".into()),
                What::Input("b".into()),
                What::Resize { columns: 100, rows: 50 },
                What::Marker("c".into()),
                What::Other
            ]
        );
        let text = format!(
            "{BYTES}{{\"t\":1,\"s\":\"err\",\"b64\":\"/w==\"}}\n{{\"t\":2,\"note\":\"n\"}}\n{{\"t\":3,\"future\":1}}\n"
        );
        assert_eq!(
            whats(&text).unwrap(),
            [What::Bytes { stream: Stream::Err, data: vec![0xff] }, What::Marker("n".into()), What::Other]
        );
    }

    #[test]
    fn operations_on_files_read_and_unknown_ones_are_passed_over() {
        let operation = r#"{"op":"rename","path":"/a","to":"/b","result":"done"}"#;
        let text = format!(
            "{BYTES}{{\"t\":1,\"file\":{operation}}}\n{{\"t\":2,\"file\":{{\"op\":\"teleport\"}}}}\n{{\"t\":3,\"file\":7}}\n"
        );
        let expected = What::File(Box::new(serde_json::from_str(operation).unwrap()));
        assert_eq!(whats(&text).unwrap(), [expected, What::Other, What::Other]);
    }

    #[test]
    fn errors_name_their_line() {
        for (text, error) in [
            (String::new(), "line 1: there is no header"),
            ("x".repeat(40), "line 1: cut off"),
            ("nonsense\n".into(), "line 1: not the header"),
            (format!("{CAST}[1,\"o\",\"a\"]\n[2,\"o\"]\n"), "line 3: not an asciicast event"),
            (format!("{CAST}[-1,\"o\",\"a\"]\n"), "line 2: a time"),
            (format!("{CAST}[1e300,\"o\",\"a\"]\n"), "line 2: a time"),
            (format!("{CAST}[1,\"r\",\"0x0\"]\n"), "line 2: a resize"),
            (format!("{CAST}[1,\"r\",\"70000x1\"]\n"), "line 2: a resize"),
            (format!("{CAST}[1,\"o\",\"a"), "line 2: cut off"),
            (format!("{BYTES}{{\"t\":0,\"s\":\"two\",\"b64\":\"\"}}\n"), "line 2: a stream"),
            (format!("{BYTES}{{\"t\":0,\"s\":\"out\",\"b64\":\"?\"}}\n"), "line 2: \"b64\""),
            (format!("{BYTES}[]\n"), "line 2: not an event of a byte log"),
        ] {
            let shown = parse(&[text.as_bytes()]).unwrap_err().to_string();
            assert!(shown.starts_with(error), "{text:?}: {shown}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let mut result = Ok(None);
        for _ in 0..100 {
            parser.push(&[b'x'; 64 * 1024]);
            result = parser.next_item();
            if result.is_err() {
                break;
            }
        }
        assert!(matches!(result, Err(ParseError::Long { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn times_read_back_to_the_microsecond(micros in 0u64..1_000_000_000_000) {
            let text = format!("{CAST}[{}.{:06},\"o\",\"\"]\n", micros / 1_000_000, micros % 1_000_000);
            let items = parse(&[text.as_bytes()]).unwrap();
            prop_assert_eq!(&items[1], &Item::Event(Event { time: Duration::from_micros(micros), what: What::Output(String::new()) }));
        }

        #[test]
        fn no_bytes_panic(head in prop::sample::select(vec!["", CAST, BYTES]), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&[head.as_bytes(), &bytes]);
        }

        #[test]
        fn no_near_miss_panics(head in prop::sample::select(vec![CAST, BYTES]), text in "([\\[\\]{}\",:0-9.eorimxtsnb64-]|\"o\"|\"b64\"|\"end\"|\n){0,60}") {
            let _ = parse(&[head.as_bytes(), text.as_bytes()]);
        }

        #[test]
        fn cuts_change_nothing(cut in 0usize..200) {
            let text = format!("{CAST}[0.5,\"o\",\"abc€\"]\n[1,\"i\",\"b\"]\n[1.5,\"r\",\"100x50\"]\n");
            let (a, b) = text.as_bytes().split_at(cut.min(text.len()));
            prop_assert_eq!(parse(&[a, b]).unwrap(), parse(&[text.as_bytes()]).unwrap());
        }
    }
}
