//! Headers and helpers for all tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::process::{Command, Output};

use model::{ChannelKind, Pty, RecordingId, RequestId, SessionId};
use portcullis_recordings::{Archive, Header, What};

pub fn header(number: u64, pty: bool) -> Header {
    Header {
        recording: RecordingId::from_random(number),
        session: SessionId::from_random(number + 1000),
        channel: 0,
        request: RequestId::from_random(7),
        identity: "alice".parse().unwrap(),
        login: "demo".parse().unwrap(),
        target: "web1".parse().unwrap(),
        started: "2026-11-20T18:00:00.5Z".parse().unwrap(),
        kind: ChannelKind::Shell,
        pty: pty.then(|| Pty { term: "xterm-256color".into(), columns: 80, rows: 24 }),
        record_input: false,
        output_limit: 1 << 20,
    }
}

pub fn shell(number: u64) -> Header {
    header(number, true)
}

pub fn exec(number: u64, output_limit: u64) -> Header {
    Header { kind: ChannelKind::Exec { command: "cat /dev/urandom".into() }, output_limit, ..header(number, false) }
}

pub fn sftp(number: u64) -> Header {
    Header { kind: ChannelKind::Subsystem { name: "sftp".into() }, ..header(number, false) }
}

/// All output of a recording.
pub fn output_of(archive: &Archive, header: &Header) -> Vec<u8> {
    let mut output = Vec::new();
    for event in archive.reader(&header.session, &header.recording).unwrap() {
        match event.unwrap().what {
            What::Output(text) => output.extend(text.into_bytes()),
            What::Bytes { data, .. } => output.extend(data),
            What::Input(_) | What::Resize { .. } | What::Marker(_) | What::File(_) | What::End(_) | What::Other => {}
        }
    }
    output
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Bytes of every kind, the same each time: text, control sequences, whole and broken UTF-8.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 5 {
            0 => bytes.extend_from_slice(&state.to_le_bytes()),
            1 => bytes.extend_from_slice("naïve €uro 漢字 🦀".as_bytes()),
            2 => bytes.extend_from_slice(b"\x1b[1;31mred\x1b[0m\r\n\t\"\\"),
            3 => bytes.extend_from_slice(&"🦀".as_bytes()[..(state >> 8) as usize % 4]),
            _ => bytes.extend_from_slice(&[(state >> 16) as u8; 3]),
        }
    }
    bytes.truncate(length);
    bytes
}

/// Runs a tool to its end, and fails with what it said when it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
