//! asciicast v2 events (docs.asciinema.org, "asciicast file format (version 2)").

use std::time::Duration;

use model::ExitReport;

use super::{PIECE, Timeline, json_string};
use crate::echo::{EchoGate, Typed};
use crate::{Decoder, Header, Stream};

/// The marker in place of typed input that the target did not echo.
pub const ECHO_MARKER: &str = "input not echoed";

/// Writes the events of one terminal.
#[derive(Debug)]
pub(crate) struct CastEncoder {
    timeline: Timeline,
    out: Decoder,
    err: Decoder,
    /// Only where the policy asks for input.
    echo: Option<EchoGate>,
    text: String,
}

impl CastEncoder {
    pub(crate) fn new(header: &Header) -> Self {
        let echo = header.record_input.then(|| EchoGate::new(header.size().0));
        let timeline = Timeline::default();
        Self { timeline, out: Decoder::default(), err: Decoder::default(), echo, text: String::new() }
    }

    pub(crate) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn start(&mut self, out: &mut Vec<u8>) {
        self.event("o", "", Duration::ZERO, out);
    }

    pub(crate) fn data(&mut self, stream: Stream, bytes: &[u8], at: Duration, out: &mut Vec<u8>) {
        for piece in bytes.chunks(PIECE) {
            match stream {
                Stream::In => {
                    let typed = self.echo.as_mut().map(|echo| echo.input(piece, at));
                    self.typed(typed.unwrap_or_default(), at, out);
                }
                Stream::Out | Stream::Err => {
                    let mut text = std::mem::take(&mut self.text);
                    let decoder = if stream == Stream::Err { &mut self.err } else { &mut self.out };
                    decoder.push(piece, &mut text);
                    self.output(&text, at, out);
                    text.clear();
                    self.text = text;
                }
            }
        }
    }

    pub(crate) fn resize(&mut self, columns: u32, rows: u32, at: Duration, out: &mut Vec<u8>) {
        // A window-change carries 32 bits, and zeros as well as more than 65,535 columns crash players.
        let clamp = |size: u32| u16::try_from(size).unwrap_or(u16::MAX).max(1);
        let (columns, rows) = (clamp(columns), clamp(rows));
        self.event("r", &format!("{columns}x{rows}"), at, out);
        if let Some(echo) = &mut self.echo {
            echo.resize(columns);
        }
    }

    pub(crate) fn marker(&mut self, label: &str, at: Duration, out: &mut Vec<u8>) {
        self.event("m", label, at, out);
    }

    pub(crate) fn finish(&mut self, exit: Option<&ExitReport>, at: Duration, out: &mut Vec<u8>) {
        let mut text = String::new();
        self.out.finish(&mut text);
        self.err.finish(&mut text);
        if !text.is_empty() {
            self.output(&text, at, out);
        }
        let typed = self.echo.as_mut().map(EchoGate::finish);
        self.typed(typed.unwrap_or_default(), at, out);
        match exit {
            Some(ExitReport::Status(status)) => self.marker(&format!("exit status {status}"), at, out),
            Some(ExitReport::Signal(signal)) => self.marker(&format!("exit signal {signal}"), at, out),
            None => {}
        }
    }

    fn output(&mut self, text: &str, at: Duration, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.event("o", text, at, out);
        let typed = self.echo.as_mut().map(|echo| echo.output(text, at));
        self.typed(typed.unwrap_or_default(), at, out);
    }

    fn typed(&mut self, typed: Vec<Typed>, at: Duration, out: &mut Vec<u8>) {
        for line in typed {
            match line {
                Typed::Echoed(line) => self.event("i", &line, at, out),
                Typed::Hidden => self.event("m", ECHO_MARKER, at, out),
            }
        }
    }

    fn event(&mut self, code: &str, data: &str, at: Duration, out: &mut Vec<u8>) {
        self.timeline.begin("[", at, ", \"", out);
        out.extend_from_slice(code.as_bytes());
        out.extend_from_slice(b"\", ");
        json_string(data, out);
        out.extend_from_slice(b"]\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::tests::header;
    use model::ChannelKind;

    fn encoder(record_input: bool) -> CastEncoder {
        let mut header = header(ChannelKind::Shell, true);
        header.record_input = record_input;
        CastEncoder::new(&header)
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn events_are_written_as_players_read_them() {
        let (mut cast, mut out) = (encoder(false), Vec::new());
        cast.start(&mut out);
        cast.data(Stream::Out, b"caf\xc3", at(5), &mut out);
        cast.data(Stream::Err, b"\x1b[1m\"\xff", at(6), &mut out);
        cast.data(Stream::Out, b"\xa9\r\n", at(12_000), &mut out);
        cast.resize(0, 4_000_000_000, at(13_000), &mut out);
        cast.data(Stream::In, b"secret", at(13_500), &mut out);
        cast.data(Stream::Out, b"\xe2\x82", at(13_600), &mut out);
        cast.finish(Some(&ExitReport::Status(3)), at(14_000), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "[0.000000, \"o\", \"\"]\n\
             [0.005000, \"o\", \"caf\"]\n\
             [0.006000, \"o\", \"\\u001b[1m\\\"\u{fffd}\"]\n\
             [12.000000, \"o\", \"é\\r\\n\"]\n\
             [13.000000, \"r\", \"1x65535\"]\n\
             [14.000000, \"o\", \"\u{fffd}\"]\n\
             [14.000000, \"m\", \"exit status 3\"]\n"
        );
        assert_eq!((cast.timeline().events, cast.timeline().last), (7, 14_000_000));
    }

    #[test]
    fn time_never_runs_backwards() {
        let (mut cast, mut out) = (encoder(false), Vec::new());
        cast.data(Stream::Out, b"a", at(20), &mut out);
        cast.data(Stream::Out, b"b", at(10), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "[0.020000, \"o\", \"a\"]\n[0.020000, \"o\", \"b\"]\n");
    }

    #[test]
    fn a_large_packet_becomes_lines_of_bounded_length() {
        let (mut cast, mut out) = (encoder(false), Vec::new());
        cast.data(Stream::Out, &vec![0u8; 1 << 20], at(1), &mut out);
        assert!(out.split(|&byte| byte == b'\n').all(|line| line.len() <= PIECE * 6 + 64));
    }

    #[test]
    fn input_is_written_only_where_asked() {
        for asked in [false, true] {
            let (mut cast, mut out) = (encoder(asked), Vec::new());
            cast.data(Stream::In, b"id\r", at(1), &mut out);
            cast.data(Stream::Out, b"id\r\n", at(2), &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.contains("[0.002000, \"i\", \"id\\r\"]\n"), asked, "{text}");
        }
    }
}
