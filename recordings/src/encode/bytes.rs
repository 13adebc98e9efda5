//! The byte log of a channel without a terminal.
//!
//! Its lines are JSON objects. The first is the header, with `"portcullis-bytes": 1`. Then
//! `{"t": seconds, "s": "out" | "err", "b64": data}` for output within the limit, `{"t": seconds, "note": text}` for
//! remarks, and at last `{"t": seconds, "end": {"in", "out", "err", "kept", "truncated", "exit"?}}` with the whole
//! counts of bytes. What the person sends is counted and never kept.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{ChannelKind, ExitReport};

use super::{PIECE, Timeline, json_string};
use crate::{Counts, Header, Stream};

/// Writes the events of one channel without a terminal.
#[derive(Debug)]
pub(crate) struct BytesEncoder {
    timeline: Timeline,
    counts: Counts,
    limit: u64,
    /// A subsystem's payload is none of a log's business, and its absence is no truncation.
    payload: bool,
}

impl BytesEncoder {
    pub(crate) fn new(header: &Header) -> Self {
        let payload = match header.kind {
            ChannelKind::Shell | ChannelKind::Exec { .. } => true,
            ChannelKind::Subsystem { .. } => false,
        };
        let limit = if payload { header.output_limit } else { 0 };
        Self { timeline: Timeline::default(), counts: Counts::default(), limit, payload }
    }

    pub(crate) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) const fn truncated(&self) -> bool {
        self.counts.truncated
    }

    pub(crate) fn data(&mut self, stream: Stream, bytes: &[u8], at: Duration, out: &mut Vec<u8>) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let (name, count) = match stream {
            Stream::In => ("in", &mut self.counts.bytes_in),
            Stream::Out => ("out", &mut self.counts.out),
            Stream::Err => ("err", &mut self.counts.err),
        };
        *count = count.saturating_add(length);
        if stream == Stream::In || !self.payload {
            return;
        }
        let room = usize::try_from(self.limit.saturating_sub(self.counts.kept)).unwrap_or(usize::MAX);
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.counts.kept = self.counts.kept.saturating_add(u64::try_from(kept.len()).unwrap_or(u64::MAX));
        for piece in kept.chunks(PIECE) {
            self.timeline.begin("{\"t\":", at, ",\"s\":\"", out);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\",\"b64\":\"");
            out.extend_from_slice(STANDARD.encode(piece).as_bytes());
            out.extend_from_slice(b"\"}\n");
        }
        if kept.len() < bytes.len() && !self.counts.truncated {
            self.counts.truncated = true;
            self.note(&format!("output beyond {} bytes is left out", self.limit), at, out);
        }
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
    fn a_subsystem_is_counted_only() {
        let (mut log, mut out) = (encoder(ChannelKind::Subsystem { name: "sftp".into() }, 1 << 20), Vec::new());
        log.data(Stream::Out, b"secret file", Duration::ZERO, &mut out);
        log.data(Stream::In, b"put", Duration::ZERO, &mut out);
        assert!(out.is_empty() && !log.truncated());
        log.finish(None, Duration::ZERO, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "{\"t\":0.000000,\"end\":{\"in\":3,\"out\":11,\"err\":0,\"kept\":0,\"truncated\":false}}\n");
    }
}
