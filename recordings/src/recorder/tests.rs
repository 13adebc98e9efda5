//! Recorders over a pipe in the place of a disk, which is as slow as the test that reads it.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;

use super::*;
use crate::header::tests::header;
use model::ChannelKind;

/// What a pipe holds on its own, and more.
const PIPE: usize = 1 << 20;

fn recorder(pool: &Arc<Pool>) -> (Arc<Recorder>, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let header = header(ChannelKind::Shell, true);
    let place = Place::new(header.started, &header.session, &header.recording, header.format());
    let (file, encoder) = (File::from(OwnedFd::from(writer)), Encoder::new(&header));
    let root = PathBuf::from("/nowhere");
    (Arc::new(Recorder::new(file, b"", encoder, u64::MAX, place, root, Arc::clone(pool))), reader)
}

/// Records until the disk is behind, and returns how much the recorder took.
async fn fill(recorder: &Recorder) -> usize {
    let mut taken = 0;
    while let Ok(result) = tokio::time::timeout(Duration::from_secs(1), recorder.output(&[b'x'; 4096])).await {
        result.unwrap();
        taken += 4096;
        assert!(taken < PENDING + BATCH + PIPE, "nothing holds it back");
    }
    taken
}

#[tokio::test]
async fn a_slow_disk_holds_back_its_own_session_and_no_other() {
    let pool = Arc::new(Pool::start().unwrap());
    let (slow, mut reader) = recorder(&pool);
    let taken = fill(&slow).await;
    assert!(taken >= PENDING);

    let (other, mut other_reader) = recorder(&pool);
    other.output(&[b'y'; BATCH]).await.unwrap();
    let mut piece = [0; 1000];
    tokio::task::spawn_blocking(move || other_reader.read_exact(&mut piece).unwrap()).await.unwrap();

    // Once the disk takes something, the session goes on where it was.
    let drain = tokio::task::spawn_blocking(move || io::copy(&mut reader, &mut io::sink()).unwrap());
    tokio::time::timeout(STALL, slow.output(b"more")).await.unwrap().unwrap();
    drop((slow, other));
    assert!(drain.await.unwrap() > taken as u64);
}

/// With a paused clock, the time-out passes as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_nothing_fails_the_recording() {
    let pool = Arc::new(Pool::start().unwrap());
    let (stuck, reader) = recorder(&pool);
    let failed = tokio::spawn(stuck.failed());
    let error = loop {
        if let Err(error) = stuck.output(&[b'x'; 4096]).await {
            break error;
        }
    };
    assert!(matches!(error, RecordError::Stalled { .. }), "{error:?}");
    assert!(matches!(failed.await.unwrap(), RecordError::Stalled { .. }));
    assert!(matches!(stuck.finish(None).await, Err(RecordError::Stalled { .. })));
    drop(reader);
}

#[tokio::test]
async fn a_disk_that_refuses_fails_the_recording() {
    let pool = Arc::new(Pool::start().unwrap());
    let (refused, reader) = recorder(&pool);
    drop(reader);
    refused.output(b"x").await.unwrap();
    let error = tokio::time::timeout(STALL, refused.failed()).await.unwrap();
    assert!(
        matches!(&error, RecordError::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe),
        "{error:?}"
    );
    assert!(matches!(refused.output(b"x").await, Err(RecordError::Write { .. })));
}

#[tokio::test]
async fn a_file_that_cannot_be_closed_fails_at_the_end() {
    let pool = Arc::new(Pool::start().unwrap());
    let (recorder, _reader) = recorder(&pool);
    assert!(matches!(recorder.finish(None).await, Err(RecordError::Write { .. })), "a pipe cannot be synced");
}
