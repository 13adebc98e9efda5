//! What a recording says about itself in its first line.

use std::collections::BTreeMap;

use model::{ChannelKind, IdentityName, Login, Pty, RecordingId, RequestId, SessionId, TargetName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// The longest `TERM` that is written; no terminal's name comes near it.
const TERM: usize = 128;

/// What is known of a channel before the target sees its request.
#[derive(Clone, Debug)]
pub struct Header {
    /// The recording's own id, made from fresh random bits.
    pub recording: RecordingId,
    /// The session that the channel belongs to.
    pub session: SessionId,
    /// The channel's number within its session.
    pub channel: u32,
    /// The request, and so the grant, under which the session runs.
    pub request: RequestId,
    /// Who.
    pub identity: IdentityName,
    /// As which account.
    pub login: Login,
    /// On which server.
    pub target: TargetName,
    /// When the channel was opened.
    pub started: Timestamp,
    /// What the channel carries.
    pub kind: ChannelKind,
    /// Its terminal, if it asked for one.
    pub pty: Option<Pty>,
    /// Whether the policy wants what is typed: on a terminal as far as the target echoes it, without one whatever is
    /// sent to a command. What is sent to a shell without a terminal is kept in any case.
    pub record_input: bool,
    /// How many bytes of output a channel without a terminal keeps.
    pub output_limit: u64,
}

/// The two forms of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// asciicast v2, for channels with a terminal.
    Cast,
    /// A byte log, for channels that may carry anything.
    Bytes,
}

impl Format {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Cast, Self::Bytes];

    /// The end of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Cast => "cast",
            Self::Bytes => "jsonl",
        }
    }
}

impl Header {
    /// The form in which this channel is recorded: as a terminal if it has one, and is no subsystem.
    #[must_use]
    pub const fn format(&self) -> Format {
        match (&self.kind, &self.pty) {
            (ChannelKind::Shell | ChannelKind::Exec { .. }, Some(_)) => Format::Cast,
            (ChannelKind::Shell | ChannelKind::Exec { .. }, None)
            | (ChannelKind::Subsystem { .. } | ChannelKind::Forward(_), _) => Format::Bytes,
        }
    }

    /// The terminal's columns and rows, each at least 1: `pty-req` may carry zeros (RFC 4254, section 6.2), which
    /// crash players.
    pub(crate) fn size(&self) -> (u16, u16) {
        self.pty.as_ref().map_or((80, 24), |pty| (pty.columns.max(1), pty.rows.max(1)))
    }

    /// The first line, with its line feed.
    pub(crate) fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let title = Some(format!("{}@{} by {} ({})", self.login, self.target, self.identity, self.request));
        let timestamp = Some(self.started.seconds());
        let (command, subsystem) = match &self.kind {
            ChannelKind::Shell | ChannelKind::Forward(_) => (None, None),
            ChannelKind::Exec { command } => (Some(command.clone()), None),
            ChannelKind::Subsystem { name } => (None, Some(name.clone())),
        };
        let env = self.env();
        let mut line = match self.format() {
            Format::Cast => {
                let (width, height) = self.size();
                serde_json::to_vec(&CastLine { version: 2, width, height, timestamp, command, title, env })?
            }
            Format::Bytes => {
                let output_limit = if subsystem.is_some() { 0 } else { self.output_limit };
                let version = 1;
                serde_json::to_vec(&BytesLine { version, timestamp, command, subsystem, title, output_limit, env })?
            }
        };
        line.push(b'\n');
        Ok(line)
    }

    fn env(&self) -> BTreeMap<String, String> {
        let kind = match &self.kind {
            ChannelKind::Shell => "shell",
            ChannelKind::Exec { .. } => "exec",
            ChannelKind::Subsystem { .. } => "subsystem",
            ChannelKind::Forward(_) => "forward",
        };
        let mut env: BTreeMap<String, String> = [
            ("PORTCULLIS_RECORDING", self.recording.to_string()),
            ("PORTCULLIS_SESSION", self.session.to_string()),
            ("PORTCULLIS_CHANNEL", self.channel.to_string()),
            ("PORTCULLIS_REQUEST", self.request.to_string()),
            ("PORTCULLIS_IDENTITY", self.identity.to_string()),
            ("PORTCULLIS_LOGIN", self.login.to_string()),
            ("PORTCULLIS_TARGET", self.target.to_string()),
            ("PORTCULLIS_STARTED", self.started.to_string()),
            ("PORTCULLIS_KIND", kind.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(pty) = &self.pty {
            env.insert("TERM".to_owned(), pty.term.chars().take(TERM).collect());
        }
        env
    }
}

/// A header as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The form of the events that follow.
    pub format: Format,
    /// The terminal's columns; 80 where there is none.
    pub columns: u16,
    /// The terminal's rows; 24 where there is none.
    pub rows: u16,
    /// When it began, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// "root@web1 by alice (req-…)"
    pub title: Option<String>,
    /// The command of an exec.
    pub command: Option<String>,
    /// The name of a subsystem.
    pub subsystem: Option<String>,
    /// `TERM`, and the `PORTCULLIS_…` names: RECORDING, SESSION, CHANNEL, REQUEST, IDENTITY, LOGIN, TARGET, STARTED
    /// and KIND.
    pub env: BTreeMap<String, String>,
}

impl FileHeader {
    /// Reads the first line of a recording, without its line feed.
    ///
    /// # Errors
    /// When it is the header neither of an asciicast v2 file nor of a byte log.
    pub fn parse(line: &[u8]) -> Result<Self, ParseError> {
        let json = |source| ParseError::Json { line: 1, expected: "the header of a recording", source };
        let which: Which = serde_json::from_slice(line).map_err(json)?;
        let shape = |problem| Err(ParseError::Shape { line: 1, problem });
        match (which.cast, which.bytes) {
            (Some(2), None) => {
                let read: CastLine = serde_json::from_slice(line).map_err(json)?;
                if read.width == 0 || read.height == 0 {
                    return shape("the terminal has no columns or no rows");
                }
                Ok(Self {
                    format: Format::Cast,
                    columns: read.width,
                    rows: read.height,
                    timestamp: read.timestamp,
                    title: read.title,
                    command: read.command,
                    subsystem: None,
                    env: read.env,
                })
            }
            (None, Some(1)) => {
                let read: BytesLine = serde_json::from_slice(line).map_err(json)?;
                Ok(Self {
                    format: Format::Bytes,
                    columns: 80,
                    rows: 24,
                    timestamp: read.timestamp,
                    title: read.title,
                    command: read.command,
                    subsystem: read.subsystem,
                    env: read.env,
                })
            }
            _ => shape("neither an asciicast of version 2 nor a Portcullis byte log of version 1"),
        }
    }
}

#[derive(Deserialize)]
struct Which {
    #[serde(rename = "version")]
    cast: Option<u64>,
    #[serde(rename = "portcullis-bytes")]
    bytes: Option<u64>,
}

/// The header of an asciicast v2 file. Players ignore keys of `env` that they do not know, but only there is every
/// string welcome.
#[derive(Serialize, Deserialize)]
struct CastLine {
    version: u8,
    width: u16,
    height: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct BytesLine {
    #[serde(rename = "portcullis-bytes")]
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(rename = "output-limit", default)]
    output_limit: u64,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn header(kind: ChannelKind, pty: bool) -> Header {
        Header {
            recording: RecordingId::from_random(1),
            session: SessionId::from_random(2),
            channel: 0,
            request: RequestId::from_random(3),
            identity: "alice".parse().unwrap(),
            login: "root".parse().unwrap(),
            target: "web1".parse().unwrap(),
            started: Timestamp::from_micros(1_700_000_000_123_456),
            kind,
            pty: pty.then(|| Pty { term: "xterm".into(), columns: 80, rows: 24 }),
            record_input: false,
            output_limit: 1 << 20,
        }
    }

    #[test]
    fn a_terminal_is_a_cast_and_anything_else_a_byte_log() {
        let exec = || ChannelKind::Exec { command: "id".into() };
        let sftp = || ChannelKind::Subsystem { name: "sftp".into() };
        for (kind, pty, format) in [
            (ChannelKind::Shell, true, Format::Cast),
            (exec(), true, Format::Cast),
            (ChannelKind::Shell, false, Format::Bytes),
            (exec(), false, Format::Bytes),
            (sftp(), false, Format::Bytes),
            (sftp(), true, Format::Bytes),
        ] {
            let header = header(kind, pty);
            assert_eq!(header.format(), format);
            let line = header.line().unwrap();
            let read = FileHeader::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!(read.format, format);
            assert_eq!(read.timestamp, Some(1_700_000_000));
            assert_eq!(read.title.as_deref(), Some("root@web1 by alice (req-000000000003)"));
            assert_eq!(read.env["PORTCULLIS_SESSION"], "ses-000000000002");
            assert_eq!(read.env["PORTCULLIS_STARTED"], "2023-11-14T22:13:20.123456Z");
        }
    }

    #[test]
    fn a_terminal_without_size_gets_one() {
        let mut header = header(ChannelKind::Shell, true);
        header.pty = Some(Pty { term: "dumb".into(), columns: 0, rows: 0 });
        let line = header.line().unwrap();
        let read = FileHeader::parse(&line).unwrap();
        assert_eq!((read.columns, read.rows), (1, 1));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "",
            "[]",
            "{}",
            "null",
            "{\"version\":3}",
            "{\"version\":2}",
            "{\"version\":2,\"width\":0,\"height\":5}",
            "{\"version\":2,\"width\":70000,\"height\":5}",
            "{\"portcullis-bytes\":9}",
        ] {
            let error = FileHeader::parse(line.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("line 1: "), "{line}: {error}");
        }
    }
}
