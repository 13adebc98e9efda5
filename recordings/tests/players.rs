//! Recordings in stock players, byte by byte against the truth: asciinema 2, asciinema 3 and asciinema-player.
//!
//! `cargo xtask setup` installs them; a test whose player is missing fails and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop the test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{run, shell};
use model::ExitReport;
use portcullis_recordings::{Decoder, ECHO_MARKER, RECOVERY_MARKER, Text, Vault};
use serde_json::Value;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools")
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run cargo xtask setup", path.display());
    path
}

fn asciinema_3() -> PathBuf {
    let path = std::env::var_os("PORTCULLIS_ASCIINEMA_3").map(PathBuf::from);
    installed(path.unwrap_or_else(|| tools().join("bin/asciinema")))
}

fn asciinema_2() -> PathBuf {
    let path = std::env::var_os("PORTCULLIS_ASCIINEMA_2").map(PathBuf::from);
    installed(path.unwrap_or_else(|| PathBuf::from("/usr/bin/asciinema")))
}

fn player() -> PathBuf {
    installed(tools().join("npm/node_modules/asciinema-player"))
}

/// A recording, and what was drawn in it.
struct Recorded {
    dir: tempfile::TempDir,
    path: PathBuf,
    truth: String,
}

/// Bytes of every kind in pieces of every length, both streams, sizes that crash players, input, markers.
async fn record() -> Recorded {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let mut header = shell(1);
    header.record_input = true;
    let recorder = vault.create(header.clone()).await.unwrap();
    let noise = common::noise(200_000);
    let mut rest = noise.as_slice();
    for length in (1..).map(|n| n * 7919 % 613 + 1) {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        recorder.output(piece).await.unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let mut truth = String::from_utf8_lossy(&noise).into_owned();
    recorder.resize(0, 0).await.unwrap();
    recorder.resize(132, 50).await.unwrap();
    for (input, output) in [(&b"secret\r"[..], &b"\r\n"[..]), (b"id\r", b"\r\n$ id\r\nuid=0\r\n")] {
        recorder.input(input).await.unwrap();
        recorder.output(output).await.unwrap();
        truth.push_str(std::str::from_utf8(output).unwrap());
    }
    recorder.stderr("e€r\0\u{2028}\x7f".as_bytes()).await.unwrap();
    truth.push_str("e€r\0\u{2028}\x7f");
    recorder.finish(Some(&ExitReport::Status(7))).await.unwrap();
    vault.entered(&header.session, &header.recording).unwrap();
    let path = vault.archive().find(&header.session, &header.recording).unwrap().path;
    Recorded { dir, path, truth }
}

fn same(name: &str, seen: &[u8], truth: &[u8]) {
    let differs = seen.iter().zip(truth).position(|(a, b)| a != b).unwrap_or(seen.len().min(truth.len()));
    let around = |bytes: &[u8]| {
        let end = bytes.len().min(differs + 40);
        String::from_utf8_lossy(&bytes[differs.saturating_sub(40).min(end)..end]).into_owned()
    };
    assert!(
        seen == truth,
        "{name}: {} bytes, not {}; they differ at {differs}: {:?} instead of {:?}",
        seen.len(),
        truth.len(),
        around(seen),
        around(truth)
    );
}

fn raw(recording: &Path) -> Vec<u8> {
    let output = run(Command::new(asciinema_3()).args(["convert", "-q", "-f", "raw"]).arg(recording).arg("-"));
    // It begins with the terminal's size, which no target drew.
    output.stdout.strip_prefix(b"\x1b[8;24;80t").expect("a size").to_vec()
}

fn cat(recording: &Path, dir: &Path) -> Vec<u8> {
    // It wants a terminal of its own, even to write into a file.
    let out = dir.join("out");
    let line = format!("{} cat '{}' > '{}'", asciinema_2().display(), recording.display(), out.display());
    run(Command::new("script").args(["-qec", &line, "/dev/null"]).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()));
    std::fs::read(out).unwrap()
}

fn play(recording: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/play.mjs");
    let output = run(Command::new("node").arg(script).arg(player()).arg(recording));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn asciinema_3_shows_every_byte() {
    let recorded = record().await;
    same("asciinema 3", &raw(&recorded.path), recorded.truth.as_bytes());

    // Its own newer form, made from ours, holds all events.
    let convert = ["convert", "-q", "-f", "asciicast-v3"];
    let output = run(Command::new(asciinema_3()).args(convert).arg(&recorded.path).arg("-"));
    let lines = String::from_utf8(output.stdout).unwrap();
    let header: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(header["title"], "demo@web1 by alice (req-000000000007)");
    assert_eq!(header["timestamp"], 1_795_197_600);
    assert_eq!(header["term"]["type"], "xterm-256color");
    assert_eq!(header["env"]["PORTCULLIS_REQUEST"], "req-000000000007");
    for event in ["\"r\", \"1x1\"", "\"r\", \"132x50\"", "\"i\", \"id\\r\"", ECHO_MARKER, "exit status 7"] {
        assert!(lines.contains(event), "{event} is missing");
    }
}

#[tokio::test]
async fn asciinema_3_reads_the_same_text() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    for line in 0..100 {
        recorder
            .output(format!("\x1b[3{}mline\x1b[0m {line} héx\x08\x08é\x1b[K\r\n", line % 8).as_bytes())
            .await
            .unwrap();
    }
    recorder.output("x".repeat(200).as_bytes()).await.unwrap();
    recorder.finish(None).await.unwrap();
    let archive = vault.archive();
    let path = archive.find(&header.session, &header.recording).unwrap().path;
    let theirs = run(Command::new(asciinema_3()).args(["convert", "-q", "-f", "txt"]).arg(path).arg("-"));
    let reader = archive.reader(&header.session, &header.recording).unwrap();
    let mut text = Text::new(reader.header());
    let mut ours = Vec::new();
    for event in reader {
        ours.extend(text.event(&event.unwrap()));
    }
    ours.extend(text.finish());
    assert_eq!(String::from_utf8(theirs.stdout).unwrap().lines().collect::<Vec<_>>(), ours);
}

#[tokio::test]
async fn asciinema_2_shows_every_byte() {
    let recorded = record().await;
    same("asciinema 2", &cat(&recorded.path, recorded.dir.path()), recorded.truth.as_bytes());
}

#[tokio::test]
async fn asciinema_player_shows_every_byte() {
    let recorded = record().await;
    let seen = play(&recorded.path);
    same("asciinema-player", seen["output"].as_str().unwrap().as_bytes(), recorded.truth.as_bytes());
    assert_eq!(seen["resizes"], serde_json::json!(["1x1", "132x50"]));
    assert_eq!(seen["input"], "id\r");
    assert_eq!(seen["markers"], serde_json::json!([ECHO_MARKER, "exit status 7"]));
}

#[tokio::test]
async fn players_take_a_recording_that_is_just_armed_and_one_that_was_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    same("asciinema 3", &raw(recorder.path()), b"");
    same("asciinema 2", &cat(recorder.path(), dir.path()), b"");
    assert_eq!(play(recorder.path())["output"], "");

    let part = recorder.path().to_owned();
    recorder.output("whole €".as_bytes()).await.unwrap();
    recorder.finish(None).await.unwrap();
    let mut bytes = std::fs::read(part.with_extension("done")).unwrap();
    bytes.extend_from_slice(b"[1.000000, \"o\", \"torn");
    std::fs::remove_file(part.with_extension("done")).unwrap();
    std::fs::write(&part, bytes).unwrap();
    vault.recover().unwrap().remove(0).outcome.unwrap();
    let path = vault.archive().find(&header.session, &header.recording).unwrap().path;
    same("asciinema 3", &raw(&path), "whole €".as_bytes());
    same("asciinema 2", &cat(&path, dir.path()), "whole €".as_bytes());
    let seen = play(&path);
    assert_eq!((&seen["output"], &seen["markers"]), (&"whole €".into(), &serde_json::json!([RECOVERY_MARKER])));
}

/// asciinema 2 decodes with Python's incremental decoder.
#[test]
fn invalid_bytes_are_replaced_as_python_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noise");
    // Every pair of bytes, and noise; in pieces of three.
    let mut bytes: Vec<u8> = (0..=u8::MAX).flat_map(|a| (0..=u8::MAX).flat_map(move |b| [a, b, b'.'])).collect();
    bytes.extend(common::noise(100_000));
    for lead in [0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5] {
        for second in 0x7f..=0xc0 {
            for tail in [&[][..], &[0x80], &[0x80, 0x80], &[0x80, b'a'], &[0xc0]] {
                bytes.extend([&[lead, second], tail, b"|"].concat());
            }
        }
    }
    bytes.extend(b"\xf0\x9f");
    std::fs::write(&path, &bytes).unwrap();
    let program = "import codecs, sys\n\
        d = codecs.getincrementaldecoder('UTF-8')('replace')\n\
        b = open(sys.argv[1], 'rb').read()\n\
        s = ''.join(d.decode(b[i:i+3]) for i in range(0, len(b), 3)) + d.decode(b'', True)\n\
        sys.stdout.buffer.write(s.encode())";
    let output = run(Command::new("python3").args(["-c", program]).arg(&path));
    let (mut decoder, mut text) = (Decoder::default(), String::new());
    for piece in bytes.chunks(5) {
        decoder.push(piece, &mut text);
    }
    decoder.finish(&mut text);
    same("Python", &output.stdout, text.as_bytes());
}
