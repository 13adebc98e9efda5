//! The byte log of a channel without a terminal.
//!
//! Its lines are JSON objects. The first is the header, with `"portcullis-bytes": 1`. Then
//! `{"t": seconds, "s": "out" | "err" | "in", "b64": data}` for what is kept, `{"t": seconds, "file": operation}` for
//! what was done to files, `{"t": seconds, "note": text}` for remarks, and at last `{"t": seconds, "end": {"in", "out", "err", "kept", "kept-in"?, "truncated", "exit"?}}` with the
//! whole counts of bytes. What the person sends to a shell is its commands and is kept; what they send to a command is
//! kept only where the policy asks for input.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{ChannelKind, ExitReport};
use sftp::Operation;

use super::{PIECE, Timeline, json_string};
use crate::{Counts, Header, Stream};

/// How many bytes of input are kept at least, where any are: a policy that keeps little output wants the commands.
const INPUT: u64 = 1 << 20;

/// Writes the events of one channel without a terminal.
#[derive(Debug)]
pub(crate) struct BytesEncoder {
    timeline: Timeline,
    counts: Counts,
    limit: u64,
    /// The limit of what the person sends; 0 where it is only counted.
    input_limit: u64,
    /// A subsystem's payload is none of a log's business, and its absence is no truncation.
    payload: bool,
    output_full: bool,
    input_full: bool,
}

impl BytesEncoder {
    pub(crate) fn new(header: &Header) -> Self {
        let payload = match header.kind {
            ChannelKind::Shell | ChannelKind::Exec { .. } => true,
            ChannelKind::Subsystem { .. } | ChannelKind::Forward(_) => false,
        };
        let limit = if payload { header.output_limit } else { 0 };
        let input = match header.kind {
            ChannelKind::Shell => true,
            ChannelKind::Exec { .. } => header.record_input,
            ChannelKind::Subsystem { .. } | ChannelKind::Forward(_) => false,
        };
        let input_limit = if input { header.output_limit.max(INPUT) } else { 0 };
        Self {
            timeline: Timeline::default(),
            counts: Counts::default(),
            limit,
            input_limit,
            payload,
            output_full: false,
            input_full: false,
        }
    }

    pub(crate) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) const fn truncated(&self) -> bool {
        self.counts.truncated
    }

    pub(crate) fn data(&mut self, stream: Stream, bytes: &[u8], at: Duration, out: &mut Vec<u8>) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Counts { bytes_in, out: bytes_out, err, kept, kept_in, .. } = &mut self.counts;
        let (name, what, count, kept, limit) = match stream {
            Stream::In => ("in", "input", bytes_in, kept_in, self.input_limit),
            Stream::Out => ("out", "output", bytes_out, kept, self.limit),
            Stream::Err => ("err", "output", err, kept, self.limit),
        };
        *count = count.saturating_add(length);
        // What nobody asked for is not left out.
        if !self.payload || (stream == Stream::In && limit == 0) {
            return;
        }
        let room = usize::try_from(limit.saturating_sub(*kept)).unwrap_or(usize::MAX);
        let part = bytes.get(..room).unwrap_or(bytes);
        *kept = kept.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        for piece in part.chunks(PIECE) {
            self.timeline.begin("{\"t\":", at, ",\"s\":\"", out);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\",\"b64\":\"");
            out.extend_from_slice(STANDARD.encode(piece).as_bytes());
            out.extend_from_slice(b"\"}\n");
        }
        let full = if stream == Stream::In { &mut self.input_full } else { &mut self.output_full };
        if part.len() < bytes.len() && !std::mem::replace(full, true) {
            self.counts.truncated = true;
            self.note(&format!("{what} beyond {limit} bytes is left out"), at, out);
        }
    }

    pub(crate) const fn count(&mut self, stream: Stream, bytes: u64) {
        let Counts { bytes_in, out, err, .. } = &mut self.counts;
        let count = match stream {
            Stream::In => bytes_in,
            Stream::Out => out,
            Stream::Err => err,
        };
        *count = count.saturating_add(bytes);
    }

    pub(crate) fn file(&mut self, operation: &Operation, at: Duration, out: &mut Vec<u8>) {
        self.timeline.begin("{\"t\":", at, ",\"file\":", out);
        // Text, numbers and booleans always encode, and a Vec always takes them.
        let _ = serde_json::to_writer(&mut *out, operation);
        out.extend_from_slice(b"}\n");
    }

    pub(crate) fn note(&mut self, text: &str, at: Duration, out: &mut Vec<u8>) {
        self.timeline.begin("{\"t\":", at, ",\"note\":", out);
        json_string(text, out);
        out.extend_from_slice(b"}\n");
    }

    pub(crate) fn finish(&mut self, exit: Option<&ExitReport>, at: Duration, out: &mut Vec<u8>) {
        self.counts.exit = exit.cloned();
        self.timeline.begin("{\"t\":", at, ",\"end\":", out);
        // Counts are numbers, a boolean and a string: they always encode, and a Vec always takes them.
        let _ = serde_json::to_writer(&mut *out, &self.counts);
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::tests::header;

    fn encoder(kind: ChannelKind, limit: u64) -> BytesEncoder {
        let mut header = header(kind, false);
        header.output_limit = limit;
        BytesEncoder::new(&header)
    }

    #[test]
    fn output_is_kept_up_to_the_limit_and_counted_beyond() {
        let (mut log, mut out) = (encoder(ChannelKind::Exec { command: "x".into() }, 5), Vec::new());
        let at = Duration::from_millis(1500);
        log.data(Stream::Out, b"\xff\0a", at, &mut out);
        log.data(Stream::In, &[0; 1000], at, &mut out);
        log.data(Stream::Err, b"abcd", at, &mut out);
        log.data(Stream::Out, b"more", at, &mut out);
        log.finish(Some(&ExitReport::Signal("TERM".into())), at, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"t\":1.500000,\"s\":\"out\",\"b64\":\"/wBh\"}\n\
             {\"t\":1.500000,\"s\":\"err\",\"b64\":\"YWI=\"}\n\
             {\"t\":1.500000,\"note\":\"output beyond 5 bytes is left out\"}\n\
             {\"t\":1.500000,\"end\":{\"in\":1000,\"out\":7,\"err\":4,\"kept\":5,\"truncated\":true,\
             \"exit\":{\"signal\":\"TERM\"}}}\n"
        );
        assert!(log.truncated());
    }

    #[test]
    fn output_that_just_fits_is_whole() {
        let (mut log, mut out) = (encoder(ChannelKind::Shell, 4), Vec::new());
        log.data(Stream::Out, b"abcd", Duration::ZERO, &mut out);
        assert!(!log.truncated());
        log.data(Stream::Out, b"e", Duration::ZERO, &mut out);
        assert!(log.truncated());
    }

    #[test]
    fn what_is_typed_into_a_shell_is_kept_within_a_bound_of_its_own() {
        let (mut log, mut out) = (encoder(ChannelKind::Shell, 1), Vec::new());
        log.data(Stream::In, b"id\n", Duration::ZERO, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"t\":0.000000,\"s\":\"in\",\"b64\":\"aWQK\"}\n");
        let mut out = Vec::new();
        log.data(Stream::Out, b"a", Duration::ZERO, &mut out);
        log.data(Stream::In, &vec![0; (1 << 20) - 3], Duration::ZERO, &mut out);
        assert!(!log.truncated(), "each has its own room");
        log.data(Stream::In, b"e", Duration::ZERO, &mut out);
        assert!(log.truncated());
        log.finish(None, Duration::ZERO, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\"note\":\"input beyond 1048576 bytes is left out\""));
        assert!(text.ends_with(
            "\"end\":{\"in\":1048577,\"out\":1,\"err\":0,\"kept\":1,\"kept-in\":1048576,\"truncated\":true}}\n"
        ));
    }

    #[test]
    fn what_is_sent_to_a_command_is_kept_where_the_policy_asks_for_it() {
        for record_input in [false, true] {
            let mut header = header(ChannelKind::Exec { command: "bash".into() }, false);
            header.record_input = record_input;
            let (mut log, mut out) = (BytesEncoder::new(&header), Vec::new());
            log.data(Stream::In, b"id\n", Duration::ZERO, &mut out);
            assert_eq!(!out.is_empty(), record_input);
            assert!(!log.truncated());
        }
    }

    #[test]
    fn a_subsystem_is_counted_only() {
        let (mut log, mut out) = (encoder(ChannelKind::Subsystem { name: "sftp".into() }, 1 << 20), Vec::new());
        log.data(Stream::Out, b"secret file", Duration::ZERO, &mut out);
        log.data(Stream::In, b"put", Duration::ZERO, &mut out);
        assert!(out.is_empty() && !log.truncated());
        log.count(Stream::Out, 100);
        log.count(Stream::In, 10);
        assert!(out.is_empty() && !log.truncated());
        log.finish(None, Duration::ZERO, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "{\"t\":0.000000,\"end\":{\"in\":13,\"out\":111,\"err\":0,\"kept\":0,\"truncated\":false}}\n");
    }

    #[test]
    fn an_operation_is_one_line() {
        let (mut log, mut out) = (encoder(ChannelKind::Subsystem { name: "sftp".into() }, 0), Vec::new());
        let operation = r#"{"op":"remove","path":"/a\\xff\"b","result":"done"}"#;
        log.file(&serde_json::from_str(operation).unwrap(), Duration::from_millis(1500), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{{\"t\":1.500000,\"file\":{operation}}}\n"));
        assert_eq!(log.timeline().events, 1);
    }
}
