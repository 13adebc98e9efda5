//! The reading side of a vault: it finds recordings, and writes nothing.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use model::{RecordingClosed, RecordingId, SessionId};

use crate::place::{OPEN, Place, Stage, is_date};
use crate::recover::read_closed;
use crate::{Format, Reader, Tail, VaultError};

/// A directory of recordings, to be read. Any number of processes may read while one writes.
#[derive(Clone, Debug)]
pub struct Archive {
    root: PathBuf,
}

/// One recording in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub recording: RecordingId,
    /// Its session.
    pub session: SessionId,
    /// The day on which it began, in UTC ("2026-11-20").
    pub date: String,
    /// Its form.
    pub format: Format,
    /// How far it is.
    pub stage: Stage,
    /// Its file. It moves when the stage changes.
    pub path: PathBuf,
}

impl Archive {
    /// The recordings below a directory, which a [`Vault`](crate::Vault) made.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Finds a recording of a session.
    ///
    /// # Errors
    /// [`VaultError::Unknown`] when there is none, and when the directory cannot be read.
    pub fn find(&self, session: &SessionId, recording: &RecordingId) -> Result<Stored, VaultError> {
        // A recording moves on from `open` to its day: having looked at the days, it can only be missed once.
        for _ in 0..2 {
            let open = self.open_files()?.into_iter().find(|stored| stored.recording == *recording);
            if let Some(stored) = open {
                return Ok(stored);
            }
            for date in self.dates()? {
                for format in Format::ALL {
                    let (session, recording) = (session.clone(), recording.clone());
                    let place = Place { date: date.clone(), session, recording, format };
                    let stored = self.stored(place, Stage::Filed);
                    if stored.path.is_file() {
                        return Ok(stored);
                    }
                }
            }
        }
        Err(self.unknown(recording))
    }

    /// Finds a recording without knowing its session. It looks through all of them, so prefer [`find`](Self::find).
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_anywhere(&self, recording: &RecordingId) -> Result<Stored, VaultError> {
        self.list()?.into_iter().find(|stored| stored.recording == *recording).ok_or_else(|| self.unknown(recording))
    }

    /// All recordings, those of the latest day first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, VaultError> {
        let mut all = self.open_files()?;
        for date in self.dates()? {
            let day = self.root.join(&date);
            for name in names(&day)? {
                let Some(session) = name.to_str().and_then(|name| name.parse::<SessionId>().ok()) else { continue };
                for file in names(&day.join(&name))? {
                    let place = file.to_str().and_then(|file| Place::of_filed(&date, &session, file));
                    all.extend(place.map(|place| self.stored(place, Stage::Filed)));
                }
            }
        }
        all.sort_by(|a, b| {
            (&b.date, &a.session, &a.recording, b.stage).cmp(&(&a.date, &b.session, &b.recording, a.stage))
        });
        // One that moved while the folders were listed was seen twice.
        all.dedup_by(|a, b| a.recording == b.recording && a.session == b.session);
        Ok(all)
    }

    /// Opens a recording to read its events. One that is being written ends at the last flush.
    ///
    /// # Errors
    /// When it is not there, or does not read.
    pub fn reader(&self, session: &SessionId, recording: &RecordingId) -> Result<Reader, VaultError> {
        let (file, stored) = self.open(session, recording)?;
        Reader::new(BufReader::new(file)).map_err(|source| VaultError::Parse { path: stored.path, source })
    }

    /// Opens a recording to stream its file, following it while it is being written.
    ///
    /// # Errors
    /// When it is not there.
    pub fn tail(&self, session: &SessionId, recording: &RecordingId) -> Result<Tail, VaultError> {
        let (file, stored) = self.open(session, recording)?;
        Tail::new(file, stored)
    }

    /// Reads a closed recording to its end, and says what it is, for the ledger or to be compared with what the
    /// ledger says.
    ///
    /// # Errors
    /// When it is not there or not closed, or a line of it does not read.
    pub fn examine(&self, session: &SessionId, recording: &RecordingId) -> Result<RecordingClosed, VaultError> {
        read_closed(&self.find(session, recording)?.path)
    }

    fn open(&self, session: &SessionId, recording: &RecordingId) -> Result<(File, Stored), VaultError> {
        let mut tries = 0;
        loop {
            let stored = self.find(session, recording)?;
            match File::open(&stored.path) {
                Ok(file) => return Ok((file, stored)),
                // It moved on between the two.
                Err(error) if error.kind() == ErrorKind::NotFound && tries < 3 => tries += 1,
                Err(error) => return Err(VaultError::io("open", stored.path)(error)),
            }
        }
    }

    fn open_files(&self) -> Result<Vec<Stored>, VaultError> {
        let names = names(&self.root.join(OPEN))?;
        let places = names.iter().filter_map(|name| name.to_str().and_then(Place::of_open));
        Ok(places.map(|(place, stage)| self.stored(place, stage)).collect())
    }

    fn dates(&self) -> Result<Vec<String>, VaultError> {
        let names = names(&self.root)?;
        let mut dates: Vec<String> =
            names.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_date(name)).collect();
        dates.sort_unstable_by(|a, b| b.cmp(a));
        Ok(dates)
    }

    fn stored(&self, place: Place, stage: Stage) -> Stored {
        let path = place.path(&self.root, stage);
        let Place { date, session, recording, format } = place;
        Stored { recording, session, date, format, stage, path }
    }

    fn unknown(&self, recording: &RecordingId) -> VaultError {
        VaultError::Unknown { recording: recording.clone(), path: self.root.clone() }
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>, VaultError> {
    let entries = std::fs::read_dir(folder).map_err(VaultError::io("list", folder))?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(VaultError::io("list", folder))).collect()
}
