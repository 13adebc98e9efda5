//! Where secrets go that no fact explains: a folder beside them, named in the log, and not away.
//!
//! Most are what a crash left between a file and its fact. But a ledger that was put back from an older copy does not know
//! what is newer than the copy either, and there the file is the only one of its kind.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use identity::files::{self, FileError};
use model::Timestamp;

/// The folder, beside what it was swept from.
pub(crate) const SWEPT: &str = "swept";
/// So long they are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// So many files at most: the oldest go first.
const MOST: usize = 4096;

/// Puts a file aside, dated now, so that its time begins.
pub(crate) fn put(path: &Path, now: Timestamp) -> Result<PathBuf, FileError> {
    put_as(path, path.file_name().unwrap_or_default(), now)
}

/// The same under another name, for files whose own name is not always that of the same secret.
pub(crate) fn put_as(path: &Path, name: impl AsRef<Path>, now: Timestamp) -> Result<PathBuf, FileError> {
    let fail = |error| FileError::Io { what: "put aside", path: path.to_owned(), error };
    let folder = folder_of(path);
    let to = folder.join(name);
    crate::keys::make_private_folder(&folder).map_err(|error| fail(io::Error::other(error.to_string())))?;
    fs::File::options().append(true).open(path).and_then(|file| file.set_modified(system(now))).map_err(fail)?;
    moved(path, &to)?;
    Ok(to)
}

/// Takes a file back that was put aside. Whether there was one.
pub(crate) fn take_back(path: &Path) -> Result<bool, FileError> {
    take_back_from(path.file_name().unwrap_or_default(), path)
}

/// The same for what [`put_as`] put there under another name.
pub(crate) fn take_back_from(name: impl AsRef<Path>, path: &Path) -> Result<bool, FileError> {
    let from = folder_of(path).join(name);
    if path.exists() || !from.exists() {
        return Ok(false);
    }
    moved(&from, path)?;
    Ok(true)
}

/// Whether a file of this name was put aside in a folder.
pub(crate) fn has(folder: &Path, name: &str) -> bool {
    folder.join(SWEPT).join(name).exists()
}

/// Destroys what was kept for long enough beside these files, and what is too many. How many files that were.
pub(crate) fn tidy(folder: &Path, now: Timestamp) -> Result<usize, FileError> {
    let folder = folder.join(SWEPT);
    let fail = |error| FileError::Io { what: "read", path: folder.clone(), error };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(fail(error)),
    };
    let dated =
        |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.metadata()?.modified()?, entry.path())));
    let mut all = entries.map(dated).collect::<io::Result<Vec<_>>>().map_err(fail)?;
    all.sort_unstable();
    let many = all.len().saturating_sub(MOST);
    let old = |at: SystemTime| system(now).duration_since(at).is_ok_and(|age| age > KEPT);
    let gone: Vec<_> = all.iter().enumerate().filter(|(nth, (at, _))| *nth < many || old(*at)).collect();
    for (_, (_, path)) in &gone {
        files::destroy(path)?;
    }
    Ok(gone.len())
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).join(SWEPT)
}

fn moved(from: &Path, to: &Path) -> Result<(), FileError> {
    files::rename(from, to)?;
    // The other folder of the two.
    let parent = from.parent().unwrap_or(Path::new("."));
    let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(|error| FileError::Io { what: "sync", path: parent.to_owned(), error })
}

fn system(now: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(now.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_comes_back_or_goes_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (begin, day) = (Timestamp::from_seconds(1_800_000_000), 24 * 3600);
        let later = |days: u64| Timestamp::from_seconds(begin.seconds() + days * day);
        assert_eq!(tidy(dir.path(), begin).unwrap(), 0);
        for name in ["one", "two"] {
            fs::write(path(name), name).unwrap();
        }
        assert_eq!(put(&path("one"), begin).unwrap(), path(SWEPT).join("one"));
        put(&path("two"), later(60)).unwrap();
        assert!(!path("one").exists() && !path("two").exists());
        assert_eq!(tidy(dir.path(), later(90)).unwrap(), 0);
        assert_eq!(tidy(dir.path(), later(91)).unwrap(), 1);
        assert!(!take_back(&path("one")).unwrap() && take_back(&path("two")).unwrap());
        assert_eq!(fs::read_to_string(path("two")).unwrap(), "two");
        // What is there is never replaced by what was put aside.
        fs::write(path(SWEPT).join("two"), "another").unwrap();
        assert!(!take_back(&path("two")).unwrap());
        assert_eq!(fs::read_to_string(path("two")).unwrap(), "two");
    }

    #[test]
    fn there_are_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_800_000_000);
        fs::create_dir(dir.path().join(SWEPT)).unwrap();
        for nth in 0..MOST + 2 {
            fs::write(dir.path().join(SWEPT).join(nth.to_string()), "").unwrap();
        }
        assert_eq!(tidy(dir.path(), now).unwrap(), 2);
    }
}
