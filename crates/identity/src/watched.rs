//! A file that is read again when it changes. What does not parse is refused whole and the old value stays.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// The parsed content of a file, followed through its changes.
///
/// A change is offered before it is in force: [`Watched::changed`] yields a [`Candidate`], its owner writes the fact,
/// and [`Watched::install`] puts it in force. So no state can change without its record.
pub struct Watched<T> {
    path: PathBuf,
    read: Read,
    parse: Parse<T>,
    current: watch::Sender<Arc<T>>,
    /// SHA-256 of the text in force.
    in_force: RwLock<String>,
    /// What was last seen, good or bad, so that the same mistake is reported once.
    seen: Mutex<String>,
    nudge: Notify,
}

type Read = fn(&Path) -> Result<Zeroizing<String>, FileError>;
type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// A new content that parses and is not yet in force.
pub struct Candidate<T> {
    value: Arc<T>,
    sha256: String,
}

/// What became of a file.
pub enum Change<T> {
    /// It changed, and parses.
    Loaded(Candidate<T>),
    /// It changed and does not parse, or can no longer be read; the old value stays.
    Refused {
        /// SHA-256 of its text in hexadecimal; empty when it cannot be read.
        sha256: String,
        /// What is wrong.
        error: String,
    },
}

/// Why a file cannot be taken up in the first place.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    File(#[from] FileError),
    /// It does not parse.
    #[error("{error}")]
    Parse {
        /// What is wrong, with its place.
        error: String,
    },
}

/// The largest file that is read.
const LIMIT: u64 = 16 << 20;

impl<T: Send + Sync + 'static> Watched<T> {
    /// How often [`Watched::changed`] looks.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// Reads the file a first time. The error of `parse` is shown as it displays.
    ///
    /// # Errors
    /// It cannot be read or does not parse: there is no old value to keep.
    pub fn open<E: fmt::Display>(
        path: impl Into<PathBuf>,
        parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        Self::begin(path.into(), |path| files::read_text(path, LIMIT).map(Zeroizing::new), parse)
    }

    /// As [`Watched::open`], for a file that holds a secret: one that others than its owner can read is refused, then and
    /// later. What is read is wiped.
    ///
    /// # Errors
    /// As [`Watched::open`], and it can be read by others.
    pub fn open_secret<E: fmt::Display>(
        path: impl Into<PathBuf>,
        parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        Self::begin(path.into(), files::read_secret, parse)
    }

    fn begin<E: fmt::Display>(
        path: PathBuf,
        read: Read,
        parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        let text = read(&path)?;
        let value = parse(&text).map_err(|error| WatchError::Parse { error: error.to_string() })?;
        let sha256 = sha256(&text);
        Ok(Self {
            path,
            read,
            parse: Box::new(move |text| parse(text).map_err(|error| error.to_string())),
            current: watch::Sender::new(Arc::new(value)),
            in_force: RwLock::new(sha256.clone()),
            seen: Mutex::new(sha256),
            nudge: Notify::new(),
        })
    }

    /// The value in force.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.borrow())
    }

    /// SHA-256 of the text in force, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Follows the value in force; it sees the latest, not every one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<T>> {
        self.current.subscribe()
    }

    /// Waits for the file to change: looks once a second, and at once after [`Watched::reload`].
    ///
    /// It may be dropped at any await and loses nothing: a change counts as seen only when it is returned.
    pub async fn changed(&self) -> Change<T> {
        loop {
            if let Some(change) = self.check().await {
                return change;
            }
            tokio::select! {
                () = tokio::time::sleep(Self::INTERVAL) => {}
                () = self.nudge.notified() => {}
            }
        }
    }

    /// Lets [`Watched::changed`] look at once.
    pub fn reload(&self) {
        self.nudge.notify_one();
    }

    /// Looks at the file now; `None` when it is as it was last seen.
    pub async fn check(&self) -> Option<Change<T>> {
        let (path, read) = (self.path.clone(), self.read);
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let (sha256, result) = match read {
            Ok(Ok(text)) => {
                let sha256 = sha256(&text);
                if self.saw(&sha256) {
                    return None;
                }
                let parsed = (self.parse)(&text);
                (sha256, parsed)
            }
            Ok(Err(error)) => (String::new(), Err(error.to_string())),
            // The blocking pool is gone: the process is ending.
            Err(_) => return None,
        };
        if !self.see(&sha256) {
            return None;
        }
        Some(match result {
            Ok(value) => Change::Loaded(Candidate { value: Arc::new(value), sha256 }),
            Err(error) => Change::Refused { sha256, error },
        })
    }

    /// Puts a candidate in force and returns its value.
    pub fn install(&self, candidate: Candidate<T>) -> Arc<T> {
        let Candidate { value, sha256 } = candidate;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = sha256;
        self.current.send_replace(Arc::clone(&value));
        value
    }

    fn saw(&self, sha256: &str) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == sha256
    }

    /// Marks a content as seen; false when it was the last one seen.
    fn see(&self, sha256: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *seen != sha256;
        if new {
            sha256.clone_into(&mut seen);
        }
        new
    }
}

impl<T> Candidate<T> {
    /// What would be in force.
    #[must_use]
    pub fn value(&self) -> &Arc<T> {
        &self.value
    }

    /// SHA-256 of its text, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Candidate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded(candidate) => f.debug_tuple("Loaded").field(candidate).finish(),
            Self::Refused { sha256, error } => {
                f.debug_struct("Refused").field("sha256", sha256).field("error", error).finish()
            }
        }
    }
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, std::num::ParseIntError> {
        text.trim().parse()
    }

    fn setup(text: &str) -> (tempfile::TempDir, PathBuf, Watched<u32>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, text).unwrap();
        let watched = Watched::open(&path, number).unwrap();
        (dir, path, watched)
    }

    #[tokio::test]
    async fn a_change_is_in_force_only_when_it_is_installed() {
        let (_dir, path, watched) = setup("1");
        let follower = watched.subscribe();
        assert!(watched.check().await.is_none());
        let first = watched.sha256();
        std::fs::write(&path, "2").unwrap();
        let Some(Change::Loaded(candidate)) = watched.check().await else { panic!("no change") };
        assert_eq!((**candidate.value(), *watched.current()), (2, 1));
        assert_eq!(watched.sha256(), first);
        assert_eq!(*watched.install(candidate), 2);
        assert_eq!((*watched.current(), **follower.borrow()), (2, 2));
        assert_ne!(watched.sha256(), first);
        assert!(watched.check().await.is_none());
    }

    #[tokio::test]
    async fn a_mistake_is_reported_once_and_the_old_value_stays() {
        let (_dir, path, watched) = setup("1");
        std::fs::write(&path, "x").unwrap();
        let Some(Change::Refused { sha256, error }) = watched.check().await else { panic!("not refused") };
        assert_eq!(sha256, super::sha256("x"));
        assert!(error.contains("invalid digit"), "{error}");
        assert!(watched.check().await.is_none());
        assert_eq!(*watched.current(), 1);
        std::fs::write(&path, "1").unwrap();
        assert!(matches!(watched.check().await, Some(Change::Loaded(_))), "the way back is a change too");
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_reported_once_and_the_old_value_stays() {
        let (_dir, path, watched) = setup("1");
        std::fs::remove_file(&path).unwrap();
        let Some(Change::Refused { sha256, error }) = watched.check().await else { panic!("not refused") };
        assert!(sha256.is_empty() && error.contains("cannot read"), "{error}");
        assert!(watched.check().await.is_none());
        assert_eq!(*watched.current(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_reload() {
        let (_dir, path, watched) = setup("1");
        let watched = Arc::new(watched);
        let waiting = tokio::spawn({
            let watched = Arc::clone(&watched);
            async move { watched.changed().await }
        });
        files::write_atomic(&path, b"7", files::Access::Private).unwrap();
        watched.reload();
        let change = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
        assert!(matches!(change, Change::Loaded(candidate) if **candidate.value() == 7));
    }

    #[tokio::test]
    async fn a_secret_that_others_can_read_is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "1").unwrap();
        mode(&path, 0o640);
        assert!(matches!(Watched::open_secret(&path, number), Err(WatchError::File(FileError::Open { .. }))));
        mode(&path, 0o600);
        let watched = Watched::open_secret(&path, number).unwrap();
        std::fs::write(&path, "2").unwrap();
        mode(&path, 0o604);
        let Some(Change::Refused { error, .. }) = watched.check().await else { panic!("not refused") };
        assert!(error.contains("can be read by others"), "{error}");
        assert_eq!(*watched.current(), 1);
        mode(&path, 0o600);
        assert!(matches!(watched.check().await, Some(Change::Loaded(_))));
    }

    #[test]
    fn a_first_read_must_succeed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Watched::open(dir.path().join("none"), number), Err(WatchError::File(_))));
        let path = dir.path().join("bad");
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(Watched::open(path, number), Err(WatchError::Parse { .. })));
    }
}
