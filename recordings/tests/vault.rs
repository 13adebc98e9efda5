//! The vault on a real disk: arming, flushing, closing, filing, following, and what happens when the disk refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop the test"
)]

mod common;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{exec, header, output_of, sftp, shell};
use model::{ExitReport, RecordingStatus};
use portcullis_recordings::{
    Archive, Operation, ParseError, PlayOptions, Player, RecordError, Stage, Stream, Vault, VaultError, What,
};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_recording_is_armed_closed_and_filed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("recordings");
    let vault = Vault::open(&root).unwrap();
    let header = shell(1);
    let (session, recording) = (header.session.clone(), header.recording.clone());
    let recorder = vault.create(header.clone()).await.unwrap();

    // Armed: the header and a first event are in the file already.
    let armed = std::fs::read_to_string(recorder.path()).unwrap();
    assert_eq!(armed.lines().count(), 2, "{armed}");
    assert!(armed.ends_with("[0.000000, \"o\", \"\"]\n"), "{armed}");
    assert_eq!(mode(recorder.path()), 0o600);
    assert_eq!(mode(recorder.path().parent().unwrap()), 0o700);
    assert_eq!(mode(&root), 0o700);
    assert_eq!(vault.archive().find(&session, &recording).unwrap().stage, Stage::Part);

    recorder.output(b"h\xc3").await.unwrap();
    recorder.output(b"\xa9\r\n").await.unwrap();
    recorder.resize(0, 100_000).await.unwrap();
    let closed = recorder.finish(Some(&ExitReport::Status(0))).await.unwrap();
    assert_eq!(recorder.finish(None).await.unwrap(), closed, "a second finish answers as the first");
    assert!(matches!(recorder.output(b"x").await, Err(RecordError::Closed { .. })));
    assert_eq!((closed.events, closed.status), (5, RecordingStatus::Complete));

    let done = vault.archive().find(&session, &recording).unwrap();
    assert_eq!(done.stage, Stage::Done);
    let bytes = std::fs::read(&done.path).unwrap();
    assert_eq!(closed.bytes, bytes.len() as u64);
    assert_eq!(closed.sha256, common::sha256(&bytes));
    assert_eq!(vault.archive().examine(&session, &recording).unwrap(), closed);

    // Until the ledger has it, a start tells it again; then it lies where it stays.
    let told = vault.recover().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome.as_ref().unwrap(), &closed);
    vault.entered(&session, &recording).unwrap();
    vault.entered(&session, &recording).unwrap();
    assert!(vault.recover().unwrap().is_empty());
    let filed = vault.archive().find(&session, &recording).unwrap();
    assert_eq!(filed.stage, Stage::Filed);
    assert_eq!(filed.path, root.join(format!("2026-11-20/{session}/{recording}.cast")));
    assert_eq!(mode(filed.path.parent().unwrap()), 0o700);
    assert_eq!(vault.archive().find_anywhere(&recording).unwrap(), filed);
    assert_eq!(vault.archive().list().unwrap(), [filed]);

    // No id is used twice.
    assert!(matches!(vault.create(header).await, Err(VaultError::Exists { .. })));
}

#[tokio::test]
async fn operations_on_files_read_back_and_can_be_played() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = sftp(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    let lines = [
        r#"{"op":"open","path":"/a","write":true,"create":true,"truncate":true,"result":"done"}"#,
        r#"{"op":"close","path":"/a","written":{"bytes":5,"from":0,"to":5,"sha256":"ab"},"result":"done"}"#,
        r#"{"op":"remove","path":"/b","result":{"refused":{"reason":"no"}}}"#,
    ];
    let operations = lines.map(|line| serde_json::from_str::<Operation>(line).unwrap());
    for operation in &operations {
        recorder.file(operation).await.unwrap();
    }
    recorder.count(Stream::In, 500).await.unwrap();
    recorder.count(Stream::Out, 70).await.unwrap();
    let closed = recorder.finish(None).await.unwrap();
    assert_eq!((closed.events, closed.status), (4, RecordingStatus::Complete));

    let archive = vault.archive();
    let events = archive.reader(&header.session, &header.recording).unwrap();
    let whats: Vec<What> = events.map(|event| event.unwrap().what).collect();
    let (last, files) = whats.split_last().unwrap();
    assert_eq!(files, operations.map(|operation| What::File(Box::new(operation))));
    assert!(matches!(last, What::End(counts) if counts.bytes_in == 500 && counts.out == 70), "{last:?}");
    assert_eq!(archive.examine(&header.session, &header.recording).unwrap(), closed);

    let mut played = Vec::new();
    let mut tail = archive.tail(&header.session, &header.recording).unwrap();
    Player::default().play(&mut tail, &mut played).await.unwrap();
    assert_eq!(
        String::from_utf8(played).unwrap(),
        "open /a to write, create, truncate\r\nclose /a: wrote 5 bytes, sha256 ab\r\nremove /b: REFUSED: no\r\n"
    );
}

#[tokio::test]
async fn output_reads_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let truth = common::noise(300_000);
    for (number, header) in [(1, shell(1)), (2, exec(2, 1 << 20))] {
        let recorder = vault.create(header.clone()).await.unwrap();
        for piece in truth.chunks(4099 + number) {
            recorder.output(piece).await.unwrap();
        }
        recorder.finish(None).await.unwrap();
        let read = output_of(&vault.archive(), &header);
        // A terminal's recording is text; a byte log keeps every byte.
        let expected =
            if number == 1 { String::from_utf8_lossy(&truth).into_owned().into_bytes() } else { truth.clone() };
        assert!(read == expected, "recording {number} differs");
    }
}

#[tokio::test]
async fn an_exec_keeps_bytes_up_to_its_limit_and_a_subsystem_counts() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = exec(1, 1000);
    let recorder = vault.create(header.clone()).await.unwrap();
    recorder.input(&[0; 5000]).await.unwrap();
    recorder.output(&[0xff; 900]).await.unwrap();
    recorder.stderr(&[0xfe; 900]).await.unwrap();
    let closed = recorder.finish(Some(&ExitReport::Status(1))).await.unwrap();
    assert_eq!(closed.status, RecordingStatus::Truncated);
    assert_eq!(vault.archive().examine(&header.session, &header.recording).unwrap(), closed);
    let events: Vec<_> =
        vault.archive().reader(&header.session, &header.recording).unwrap().map(|event| event.unwrap().what).collect();
    assert_eq!(events[0], What::Bytes { stream: Stream::Out, data: vec![0xff; 900] });
    assert_eq!(events[1], What::Bytes { stream: Stream::Err, data: vec![0xfe; 100] });
    let What::End(counts) = events.last().unwrap() else { panic!("{events:?}") };
    assert_eq!((counts.bytes_in, counts.out, counts.err, counts.kept), (5000, 900, 900, 1000));

    let header = sftp(2);
    let recorder = vault.create(header.clone()).await.unwrap();
    for _ in 0..1000 {
        recorder.output(&[7; 32 * 1024]).await.unwrap();
        recorder.input(&[7; 32 * 1024]).await.unwrap();
    }
    let closed = recorder.finish(None).await.unwrap();
    assert!(closed.bytes < 1000, "{closed:?}");
    assert_eq!((closed.events, closed.status), (1, RecordingStatus::Complete));
}

#[tokio::test]
async fn what_is_recorded_is_in_the_file_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let recorder = vault.create(shell(1)).await.unwrap();
    for word in ["first", "second"] {
        recorder.output(word.as_bytes()).await.unwrap();
        let begin = Instant::now();
        while !std::fs::read_to_string(recorder.path()).unwrap().contains(word) {
            // The promise is a second; a loaded machine gets more before this test fails.
            assert!(begin.elapsed() < Duration::from_secs(10), "never flushed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_live_recording_is_followed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    recorder.output(b"before ").await.unwrap();
    let mut tail = Archive::new(dir.path()).tail(&header.session, &header.recording).unwrap();
    let follower = tokio::spawn(async move {
        let mut shown = Vec::new();
        let options = PlayOptions { follow: true, ..PlayOptions::default() };
        Player::new(options).unwrap().play(&mut tail, &mut shown).await.unwrap();
        String::from_utf8(shown).unwrap()
    });
    // The follower sees the first part as a picture, and the rest as it comes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    recorder.output(b"after").await.unwrap();
    let closed = recorder.finish(None).await.unwrap();
    vault.entered(&header.session, &header.recording).unwrap();
    let shown = tokio::time::timeout(Duration::from_secs(20), follower).await.unwrap().unwrap();
    assert!(shown.contains("before") && shown.contains("after"), "{shown:?}");

    let mut bytes = Vec::new();
    let mut tail = Archive::new(dir.path()).tail(&header.session, &header.recording).unwrap();
    while let Some(chunk) = tail.chunk().await.unwrap() {
        bytes.extend(chunk);
    }
    assert_eq!(common::sha256(&bytes), closed.sha256);
}

#[tokio::test]
async fn a_follower_of_a_recording_whose_writer_died_comes_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    recorder.output(b"abc").await.unwrap();
    let mut tail = vault.archive().tail(&header.session, &header.recording).unwrap();
    drop(recorder);
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = tail.chunk().await.unwrap() {
            bytes.extend(chunk);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    assert!(String::from_utf8(bytes).unwrap().contains("abc"));
}

#[tokio::test]
async fn a_recorder_that_is_dropped_is_closed_by_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let (dropped, live) = (shell(1), shell(2));
    let recorder = vault.create(dropped.clone()).await.unwrap();
    recorder.output(b"abc").await.unwrap();
    let path = recorder.path().to_owned();
    drop(recorder);
    let live_recorder = vault.create(live.clone()).await.unwrap();
    let begin = Instant::now();
    let recovered = loop {
        let recovered = vault.recover().unwrap();
        if !recovered.is_empty() {
            break recovered;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "never let go");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(recovered.len(), 1, "one that is being written is left alone");
    assert_eq!(recovered[0].recording, dropped.recording);
    assert_eq!(recovered[0].session, dropped.session);
    let closed = recovered[0].outcome.as_ref().unwrap();
    assert_eq!(closed.status, RecordingStatus::Recovered);
    assert!(!path.exists());
    assert_eq!(output_of(&vault.archive(), &dropped), b"abc");
    live_recorder.output(b"still").await.unwrap();
    live_recorder.finish(None).await.unwrap();
}

#[tokio::test]
async fn a_torn_or_damaged_file_is_cut_back_to_its_good_lines() {
    for (damage, kept) in [
        (&b"[1.000000, \"o\", \"half a li"[..], "abc"),
        (b"\xff\xfe\n[1.0, \"o\", \"behind\"]\n", "abc"),
        (&[0; 8192], "abc"),
        (b"[2.000000, \"o\", \"d\"]\n[", "abcd"),
        (b"", "abc"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let header = shell(1);
        let recorder = vault.create(header.clone()).await.unwrap();
        recorder.output(b"abc").await.unwrap();
        let path = recorder.path().to_owned();
        let closed = recorder.finish(None).await.unwrap();
        // As a power cut leaves it: under its first name, with anything behind the last sync.
        let mut bytes = std::fs::read(path.with_extension("done")).unwrap();
        bytes.extend_from_slice(damage);
        std::fs::remove_file(path.with_extension("done")).unwrap();
        std::fs::write(&path, &bytes).unwrap();

        let recovered = vault.recover().unwrap();
        let again = recovered[0].outcome.as_ref().unwrap();
        assert_eq!(again.status, RecordingStatus::Recovered);
        assert!(again.events > closed.events && again.sha256 != closed.sha256);
        assert_eq!(output_of(&vault.archive(), &header), kept.as_bytes(), "{damage:?}");
        assert_eq!(&vault.archive().examine(&header.session, &header.recording).unwrap(), again);
        // Told again until it is entered, and the same each time.
        assert_eq!(vault.recover().unwrap()[0].outcome.as_ref().unwrap(), again);
    }
}

#[tokio::test]
async fn a_file_without_header_is_told_as_lost_once() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let path = vault.create(header.clone()).await.unwrap().path().to_owned();
    while path.exists() && vault.recover().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::remove_file(path.with_extension("done")).unwrap();
    std::fs::write(&path, [0; 4096]).unwrap();
    let recovered = vault.recover().unwrap();
    assert!(
        matches!(&recovered[0].outcome, Err(VaultError::Parse { source: ParseError::Torn { line: 1 }, .. })),
        "{recovered:?}"
    );
    assert_eq!((&recovered[0].recording, &recovered[0].session), (&header.recording, &header.session));
    assert!(vault.recover().unwrap().is_empty());
}

#[tokio::test]
async fn one_process_writes_a_vault_and_any_number_read() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    assert!(matches!(Vault::open(dir.path()), Err(VaultError::InUse { .. })));
    assert!(Archive::new(dir.path()).list().unwrap().is_empty());
    drop(vault);
    Vault::open(dir.path()).unwrap();
}

#[tokio::test]
async fn unknown_recordings_are_told_apart_from_unreadable_directories() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let find = |archive: &Archive| archive.find(&header.session, &header.recording);
    assert!(matches!(find(&vault.archive()), Err(VaultError::Unknown { .. })));
    assert!(matches!(find(&Archive::new(dir.path().join("absent"))), Err(VaultError::Io { .. })));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_refuses_the_session() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(Vault::open(dir.path().join("file")), Err(VaultError::Io { .. })));

    let vault = Vault::open(dir.path().join("vault")).unwrap();
    std::fs::remove_dir_all(dir.path().join("vault/open")).unwrap();
    let error = vault.create(shell(1)).await.unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

/// A file system of 64 KiB. Only root may mount one; elsewhere the test says so and passes over.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "portcullis-test"])
            .arg(dir.path())
            .output()
            .ok()?;
        mount.status.success().then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_the_recording_and_leaves_it_playable() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("passed over: mounting a tmpfs takes root");
        return;
    };
    let vault = Vault::open(disk.0.path()).unwrap();
    let header = shell(1);
    let recorder = Arc::new(vault.create(header.clone()).await.unwrap());
    let failed = tokio::spawn(recorder.failed());
    let error = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Err(error) = recorder.output(&[b'x'; 1000]).await {
                break error;
            }
        }
    })
    .await
    .unwrap();
    let RecordError::Write { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(!error.to_string().contains("No space"), "the source is not in the text: {error}");

    // It is sticky, and told to whoever waits for it.
    let told = tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap().unwrap();
    assert_eq!(told.to_string(), error.to_string());
    assert!(recorder.input(b"x").await.is_err());
    assert_eq!(recorder.finish(None).await.unwrap_err().to_string(), error.to_string());

    // What fitted is in the file as whole lines: it plays to its end.
    let output = output_of(&vault.archive(), &header);
    assert!(output.len() > 32 * 1024 && output.len().is_multiple_of(1000), "{}", output.len());

    // While there is no room a new session is refused; once there is, it goes on.
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    assert!(matches!(vault.create(shell(2)).await, Err(VaultError::Io { .. })));
    std::fs::remove_file(filler).unwrap();
    std::fs::remove_file(recorder.path()).unwrap();
    vault.create(shell(2)).await.unwrap().finish(None).await.unwrap();
}

#[tokio::test]
async fn a_recording_that_never_fails_never_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let recorder = vault.create(shell(1)).await.unwrap();
    let failed = recorder.failed();
    recorder.finish(None).await.unwrap();
    drop(recorder);
    assert!(tokio::time::timeout(Duration::from_millis(50), failed).await.is_err());
}

#[tokio::test]
async fn a_finish_that_nobody_waits_for_still_closes() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let header = shell(1);
    let recorder = vault.create(header.clone()).await.unwrap();
    recorder.output(b"last words").await.unwrap();
    let aborted = tokio::time::timeout(Duration::ZERO, recorder.finish(None)).await;
    drop((aborted, recorder));
    let begin = Instant::now();
    while vault.archive().find(&header.session, &header.recording).unwrap().stage != Stage::Done {
        assert!(begin.elapsed() < Duration::from_secs(20), "never closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(output_of(&vault.archive(), &header), b"last words");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_of_many_channels_record_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let mut sessions = Vec::new();
    for number in 1..=50 {
        let vault = vault.clone();
        sessions.push(tokio::spawn(async move {
            let header = header(number, true);
            let recorder = Arc::new(vault.create(header.clone()).await.unwrap());
            let directions = [b'o', b'e'].map(|letter| {
                let recorder = Arc::clone(&recorder);
                tokio::spawn(async move {
                    for _ in 0..100 {
                        let piece = [letter; 1000];
                        if letter == b'o' { recorder.output(&piece).await } else { recorder.stderr(&piece).await }
                            .unwrap();
                    }
                })
            });
            for direction in directions {
                direction.await.unwrap();
            }
            (header, recorder.finish(None).await.unwrap())
        }));
    }
    for session in sessions {
        let (header, closed) = session.await.unwrap();
        assert_eq!(vault.archive().examine(&header.session, &header.recording).unwrap(), closed);
        let output = output_of(&vault.archive(), &header);
        assert_eq!(output.iter().filter(|&&byte| byte == b'o').count(), 100_000);
        assert_eq!(output.len(), 200_000);
    }
}
