//! The writing side of a directory of recordings.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::{RecordingId, SessionId};

use crate::encode::Encoder;
use crate::place::{OPEN, Place, Stage};
use crate::pool::Pool;
use crate::recover::{Recovered, recover};
use crate::{Archive, Format, Header, Recorder, Stored, VaultError};

/// How many bytes one recording may have, unless somebody says otherwise: days of a busy terminal.
const LIMIT: u64 = 1 << 30;

/// How many days are remembered. A session that is older costs a look through the open ones.
const DAYS: usize = 4;

/// A directory into which this process, and no other, writes recordings. Files are made for their owner alone (0600, in
/// directories of 0700), and none is ever overwritten. Clones share it.
#[derive(Clone, Debug)]
pub struct Vault {
    root: PathBuf,
    limit: u64,
    pool: Arc<Pool>,
    /// The days of what was written here since the start. Who knows the day finds a recording without a look through
    /// all that are open, of which there may be thousands, and as many of them may close at once.
    days: Arc<Mutex<BTreeSet<String>>>,
    _lock: Arc<File>,
}

impl Vault {
    /// Opens a vault, and makes its directory when there is none. Blocks on the disk.
    ///
    /// # Errors
    /// When the directory cannot be made or written, or another process writes there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, VaultError> {
        let root = root.into();
        let open = root.join(OPEN);
        make_folder(&open)?;
        let mode = std::fs::metadata(&root).map_err(VaultError::io("look at", &root))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %root.display(), "others than its owner may look into the directory of recordings: chmod 700 it");
        }
        let path = root.join(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(VaultError::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(VaultError::InUse { path: root }),
            Err(TryLockError::Error(error)) => return Err(VaultError::io("lock", path)(error)),
        }
        let pool = Pool::start().map_err(VaultError::io("start the writers of", &root))?;
        Ok(Self { root, limit: LIMIT, pool: Arc::new(pool), days: Arc::default(), _lock: Arc::new(lock) })
    }

    /// The same vault, in which each recording may have so many bytes (1 GiB by default): what comes once it has is
    /// refused with [`RecordError::Full`](crate::RecordError::Full). A file may be longer by what came at once.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Arms a recording: when this returns, its file is there with its header, and the target may see the request.
    ///
    /// # Errors
    /// When the file cannot be written, or there is a recording of this id.
    pub async fn create(&self, header: Header) -> Result<Recorder, VaultError> {
        let (root, limit, pool) = (self.root.clone(), self.limit, Arc::clone(&self.pool));
        let day = Place::new(header.started, &header.session, &header.recording, header.format()).date;
        self.begins(day);
        let made = tokio::task::spawn_blocking(move || create(root, limit, pool, &header));
        made.await.unwrap_or_else(|_| Err(VaultError::ShuttingDown { path: self.root.clone() }))
    }

    /// Closes what a crash left: cuts each recording at its last whole line, marks it and computes its digest.
    /// Recordings that were closed but not [`entered`](Self::entered) are told again. Those being written are left
    /// alone. Blocks on the disk: for the start, or for `spawn_blocking`.
    ///
    /// # Errors
    /// When the directory cannot be read. What is wrong with a single recording is told with it.
    pub fn recover(&self) -> Result<Vec<Recovered>, VaultError> {
        recover(&self.root)
    }

    /// Says that the ledger knows how this recording was closed, so that the next start need not tell it again. Does nothing
    /// for one that is filed already. Blocks on the disk for one rename.
    ///
    /// # Errors
    /// When there is no such recording, or it cannot be moved.
    pub fn entered(&self, session: &SessionId, recording: &RecordingId) -> Result<(), VaultError> {
        let place = match self.done(session, recording) {
            Some(place) => place,
            None => {
                let stored = self.archive().find(session, recording)?;
                if stored.stage != Stage::Done {
                    return Ok(());
                }
                let Stored { date, session, recording, format, .. } = stored;
                Place { date, session, recording, format }
            }
        };
        let (done, filed) = (place.path(&self.root, Stage::Done), place.path(&self.root, Stage::Filed));
        if let Some(folder) = filed.parent() {
            make_folder(folder)?;
        }
        std::fs::rename(&done, &filed).map_err(VaultError::io("file", &done))
    }

    fn begins(&self, day: String) {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if days.insert(day) && days.len() > DAYS {
            days.pop_first();
        }
    }

    /// A closed recording of the days that are known.
    fn done(&self, session: &SessionId, recording: &RecordingId) -> Option<Place> {
        let days = self.days.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = |(date, format)| Place { date, session: session.clone(), recording: recording.clone(), format };
        let places = days.into_iter().rev().flat_map(|day| Format::ALL.map(|format| (day.clone(), format))).map(place);
        places.into_iter().find(|place| place.path(&self.root, Stage::Done).is_file())
    }

    /// The reading side.
    #[must_use]
    pub fn archive(&self) -> Archive {
        Archive::new(&self.root)
    }
}

fn make_folder(folder: &Path) -> Result<(), VaultError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(VaultError::io("create", folder))
}

fn create(root: PathBuf, limit: u64, pool: Arc<Pool>, header: &Header) -> Result<Recorder, VaultError> {
    let place = Place::new(header.started, &header.session, &header.recording, header.format());
    let path = place.path(&root, Stage::Part);
    let exists = |path: PathBuf| VaultError::Exists { recording: header.recording.clone(), path };
    for stage in [Stage::Done, Stage::Filed] {
        let path = place.path(&root, stage);
        if path.exists() {
            return Err(exists(path));
        }
    }
    let mut start =
        header.line().map_err(|error| VaultError::io("encode the header of", &path)(io::Error::from(error)))?;
    let mut encoder = Encoder::new(header);
    encoder.start(&mut start);
    let mut file = match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(error) => return Err(VaultError::io("create", path)(error)),
    };
    // The lock tells a recording that is being written from one that a crash left.
    let armed = file.try_lock().map_err(io::Error::from).and_then(|()| file.write_all(&start));
    if let Err(error) = armed {
        // Nothing was recorded yet, so nothing is lost with it.
        let _ = std::fs::remove_file(&path);
        return Err(VaultError::io("write", path)(error));
    }
    Ok(Recorder::new(file, &start, encoder, limit, place, root, pool))
}
