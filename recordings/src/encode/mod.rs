//! Events on their way into a file. Encoders are pure: time comes in as the length since the recording began.

mod bytes;
mod cast;

use std::io::Write as _;
use std::time::Duration;

use model::ExitReport;
use sftp::Operation;

use crate::{Format, Header, Stream};
use bytes::BytesEncoder;
use cast::CastEncoder;

pub use cast::ECHO_MARKER;

/// What the last event of a recording says that was closed at the start after a crash.
pub const RECOVERY_MARKER: &str = "recovered after a crash: what followed is lost";

/// The most bytes that go into one event, so that no line grows beyond what readers take.
const PIECE: usize = 16 * 1024;

/// The encoder of either form.
#[derive(Debug)]
pub(crate) enum Encoder {
    Cast(Box<CastEncoder>),
    Bytes(BytesEncoder),
}

impl Encoder {
    pub(crate) fn new(header: &Header) -> Self {
        match header.format() {
            Format::Cast => Self::Cast(Box::new(CastEncoder::new(header))),
            Format::Bytes => Self::Bytes(BytesEncoder::new(header)),
        }
    }

    /// What follows the header at once: players refuse a recording without an event.
    pub(crate) fn start(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.start(out),
            Self::Bytes(_) => {}
        }
    }

    pub(crate) fn data(&mut self, stream: Stream, bytes: &[u8], at: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.data(stream, bytes, at, out),
            Self::Bytes(log) => log.data(stream, bytes, at, out),
        }
    }

    /// The terminal's new size, as `window-change` carries it; a byte log has none.
    pub(crate) fn resize(&mut self, columns: u32, rows: u32, at: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.resize(columns, rows, at, out),
            Self::Bytes(_) => {}
        }
    }

    pub(crate) fn marker(&mut self, label: &str, at: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.marker(label, at, out),
            Self::Bytes(log) => log.note(label, at, out),
        }
    }

    /// Something was done to a file. Nothing of the kind passes over a terminal, where it is a remark.
    pub(crate) fn file(&mut self, operation: &Operation, at: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.marker(&crate::files::sentence(operation), at, out),
            Self::Bytes(log) => log.file(operation, at, out),
        }
    }

    /// So many bytes passed that are not to be kept.
    pub(crate) const fn count(&mut self, stream: Stream, bytes: u64) {
        match self {
            Self::Cast(_) => {}
            Self::Bytes(log) => log.count(stream, bytes),
        }
    }

    /// The last events.
    pub(crate) fn finish(&mut self, exit: Option<&ExitReport>, at: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.finish(exit, at, out),
            Self::Bytes(log) => log.finish(exit, at, out),
        }
    }

    /// How many events were written so far, and the time of the last in microseconds.
    pub(crate) const fn progress(&self) -> (u64, u64) {
        let timeline = match self {
            Self::Cast(cast) => cast.timeline(),
            Self::Bytes(log) => log.timeline(),
        };
        (timeline.events, timeline.last)
    }

    /// Whether output was left out because of the limit.
    pub(crate) const fn truncated(&self) -> bool {
        match self {
            Self::Cast(_) => false,
            Self::Bytes(log) => log.truncated(),
        }
    }
}

/// The event that closes what a crash left.
pub(crate) fn recovery_line(format: Format, at: Duration) -> Vec<u8> {
    let (before, after, end) = match format {
        Format::Cast => ("[", ", \"m\", ", "]\n"),
        Format::Bytes => ("{\"t\":", ",\"note\":", "}\n"),
    };
    let mut line = Vec::new();
    Timeline::default().begin(before, at, after, &mut line);
    json_string(RECOVERY_MARKER, &mut line);
    line.extend_from_slice(end.as_bytes());
    line
}

/// Counts events and keeps their times from running backwards, which makes players panic.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    events: u64,
    last: u64,
}

impl Timeline {
    /// Begins an event: `before`, its time in seconds with six digits, and `after`.
    fn begin(&mut self, before: &str, at: Duration, after: &str, out: &mut Vec<u8>) {
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX).max(self.last);
        self.last = micros;
        self.events = self.events.saturating_add(1);
        // Writing into a Vec never fails.
        let _ = write!(out, "{before}{}.{:06}{after}", micros / 1_000_000, micros % 1_000_000);
    }
}

/// Appends a JSON string (RFC 8259, section 7).
fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = from.split_first() else { break };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            // Below 0x20: a target may send gigabytes of these, so they take no formatting.
            _ => {
                let digit = byte & 15;
                out.extend_from_slice(if byte < 16 { b"\\u000" } else { b"\\u001" });
                out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_string_reads_back_as_it_was(text in "\\PC*|[\\x00-\\x7f]*|.*") {
            let mut out = Vec::new();
            json_string(&text, &mut out);
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
