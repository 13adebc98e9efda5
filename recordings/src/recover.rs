//! What a crash left, closed at the next start.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use model::{RecordingClosed, RecordingId, SessionId};

use crate::encode::recovery_line;
use crate::examine::examine;
use crate::place::{OPEN, Place, Stage};
use crate::{ParseError, VaultError};

/// A recording that was not yet known to be in the ledger.
#[derive(Debug)]
pub struct Recovered {
    /// The recording.
    pub recording: RecordingId,
    /// Its session.
    pub session: SessionId,
    /// What to enter as closed; or why there is nothing left to close, to enter as failed.
    pub outcome: Result<RecordingClosed, VaultError>,
}

/// Closes every recording in the folder `open` that nobody writes.
pub(crate) fn recover(root: &Path) -> Result<Vec<Recovered>, VaultError> {
    let folder = root.join(OPEN);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(VaultError::io("list", &folder))? {
        let entry = entry.map_err(VaultError::io("list", &folder))?;
        names.extend(entry.file_name().to_str().and_then(Place::of_open));
    }
    names.sort_by(|(a, _), (b, _)| (&a.date, &a.session, &a.recording).cmp(&(&b.date, &b.session, &b.recording)));
    let mut recovered = Vec::new();
    for (place, stage) in names {
        let outcome = match stage {
            Stage::Part => close(root, &place).transpose(),
            Stage::Done | Stage::Filed => Some(read_closed(&place.path(root, stage))),
        };
        if let Some(outcome) = outcome {
            recovered.push(Recovered { recording: place.recording, session: place.session, outcome });
        }
    }
    Ok(recovered)
}

/// What a closed file holds, for the ledger or to be compared with it.
pub(crate) fn read_closed(path: &Path) -> Result<RecordingClosed, VaultError> {
    let file = File::open(path).map_err(VaultError::io("open", path))?;
    let mut found = examine(&file, path)?;
    match found.problem.take() {
        None => Ok(found.closed()),
        Some(source) => Err(VaultError::Parse { path: path.to_owned(), source }),
    }
}

/// Closes one recording; `None` when it is being written.
fn close(root: &Path, place: &Place) -> Result<Option<RecordingClosed>, VaultError> {
    let path = place.path(root, Stage::Part);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        // It was closed in order since the folder was listed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::io("open", &path)(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(VaultError::io("lock", &path)(error)),
    }
    let mut found = examine(&file, &path)?;
    if !found.has_header() {
        // Nothing can be played. The file is kept, under a name that is not looked at again.
        let lost = path.with_extension("lost");
        std::fs::rename(&path, &lost).map_err(VaultError::io("rename", &path))?;
        return Err(VaultError::Parse { path: lost, source: found.problem.take().unwrap_or(ParseError::Empty) });
    }
    if let Some(problem) = &found.problem {
        tracing::warn!(path = %path.display(), %problem, "a recording is cut back to its last whole line");
    }
    file.set_len(found.bytes).map_err(VaultError::io("cut", &path))?;
    file.seek(SeekFrom::End(0)).map_err(VaultError::io("read", &path))?;
    let line = recovery_line(place.format, found.last);
    file.write_all(&line).map_err(VaultError::io("write", &path))?;
    found.append(&line);
    file.sync_all().map_err(VaultError::io("sync", &path))?;
    let done = place.path(root, Stage::Done);
    std::fs::rename(&path, &done).map_err(VaultError::io("rename", &path))?;
    let folder = root.join(OPEN);
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(VaultError::io("sync", &folder))?;
    Ok(Some(found.closed()))
}
