//! A stored recording, checked line by line and hashed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

use model::{RecordingClosed, RecordingStatus};
use sha2::{Digest as _, Sha256};

use crate::{Item, ParseError, Parser, RECOVERY_MARKER, VaultError, What};

/// The longest piece that is taken as one line. The parser's own limit is lower.
const LINE: u64 = 8 << 20;

/// What is in a file, up to its first bad line.
pub(crate) struct Findings {
    sha: Sha256,
    /// The length of the good lines.
    pub(crate) bytes: u64,
    events: u64,
    /// The time of the last good event.
    pub(crate) last: Duration,
    status: RecordingStatus,
    header: bool,
    /// What is wrong with the first bad line.
    pub(crate) problem: Option<ParseError>,
}

impl Findings {
    /// Adds a line that is written behind the good ones.
    pub(crate) fn append(&mut self, line: &[u8]) {
        self.sha.update(line);
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.events = self.events.saturating_add(1);
        self.status = RecordingStatus::Recovered;
    }

    /// Whether there is a header, so that it is a recording at all.
    pub(crate) const fn has_header(&self) -> bool {
        self.header
    }

    /// As the ledger keeps it.
    pub(crate) fn closed(self) -> RecordingClosed {
        RecordingClosed {
            sha256: hex::encode(self.sha.finalize()),
            bytes: self.bytes,
            events: self.events,
            milliseconds: u64::try_from(self.last.as_millis()).unwrap_or(u64::MAX),
            status: self.status,
        }
    }
}

/// Reads a whole file.
pub(crate) fn examine(file: &File, path: &Path) -> Result<Findings, VaultError> {
    let mut found = Findings {
        sha: Sha256::new(),
        bytes: 0,
        events: 0,
        last: Duration::ZERO,
        status: RecordingStatus::Complete,
        header: false,
        problem: None,
    };
    let mut input = BufReader::with_capacity(64 * 1024, file);
    let mut parser = Parser::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut input).take(LINE).read_until(b'\n', &mut line).map_err(VaultError::io("read", path))?;
        if count == 0 {
            found.problem = parser.finish().err();
            return Ok(found);
        }
        parser.push(&line);
        match parser.next_item() {
            Ok(Some(Item::Header(_))) => found.header = true,
            Ok(Some(Item::Event(event))) => {
                found.events = found.events.saturating_add(1);
                found.last = found.last.max(event.time);
                found.status = match event.what {
                    What::Marker(label) if label == RECOVERY_MARKER => RecordingStatus::Recovered,
                    What::End(counts) if counts.truncated => RecordingStatus::Truncated,
                    What::Output(_)
                    | What::Input(_)
                    | What::Resize { .. }
                    | What::Marker(_)
                    | What::Bytes { .. }
                    | What::File(_)
                    | What::End(_)
                    | What::Other => RecordingStatus::Complete,
                };
            }
            // An empty line, or the last one is cut off.
            Ok(None) if line.ends_with(b"\n") => {}
            Ok(None) => {
                found.problem = parser.finish().err();
                return Ok(found);
            }
            Err(problem) => {
                found.problem = Some(problem);
                return Ok(found);
            }
        }
        found.sha.update(&line);
        found.bytes = found.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
    }
}
