//! Files that must be whole or absent: written beside, synced, renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone (0600).
    Private,
    /// Its owner, and the group for reading (0640).
    Group,
    /// Everybody, for reading (0644).
    Public,
}

/// A file that cannot be read or written, with its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// "read", "write", "create".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file is there already and must not be overwritten.
    #[error("{} is there already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner can read a secret.
    #[error("{} can be read by others than its owner (mode {mode:04o}): chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than anything that belongs here.
    #[error("{} is larger than {limit} bytes", path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Replaces `path` by `bytes`, or leaves it as it was: written beside it, synced, renamed over it, and the directory
/// synced. A symbolic link is followed, so that the file behind it is replaced.
///
/// # Errors
/// What the system refused; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = write_beside(&path, bytes, access)?;
    let done = std::fs::rename(&beside, &path).and_then(|()| sync_directory(&path));
    finish(&path, &beside, done)
}

/// Writes a file that must not exist yet: whole or not at all.
///
/// # Errors
/// [`FileError::Exists`] when there is one; otherwise what the system refused.
pub fn create_new(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let beside = write_beside(path, bytes, access)?;
    // A rename would overwrite; a link refuses to.
    let done = std::fs::hard_link(&beside, path).and_then(|()| std::fs::remove_file(&beside));
    match done.and_then(|()| sync_directory(path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove_quietly(&beside);
            Err(FileError::Exists { path: path.to_owned() })
        }
        done => finish(path, &beside, done),
    }
}

/// Removes a secret: overwritten, synced, and then unlinked. A file system that copies on write, a journal and a flash disk
/// may keep older blocks all the same. That there is none is as good.
///
/// # Errors
/// What the system refused; the file may be there, overwritten or not.
pub fn destroy(path: &Path) -> Result<(), FileError> {
    let fail = |error| FileError::Io { what: "destroy", path: path.to_owned(), error };
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    let length = file.metadata().map_err(fail)?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file).and_then(|_| file.sync_all()).map_err(fail)?;
    std::fs::remove_file(path).and_then(|()| sync_directory(path)).map_err(fail)
}

/// Gives a file another name in the same folder, in the place of what may be there, and syncs the folder.
///
/// # Errors
/// What the system refused.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let done = std::fs::rename(from, to).and_then(|()| sync_directory(to));
    done.map_err(|error| FileError::Io { what: "rename", path: from.to_owned(), error })
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is too large, or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let fail = |error| FileError::Io { what: "read", path: path.to_owned(), error };
    let file = File::open(path).map_err(fail)?;
    let mut text = String::new();
    file.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(fail)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(FileError::Large { path: path.to_owned(), limit });
    }
    Ok(text)
}

/// Reads a secret of at most 64 KiB and refuses it when others than its owner can read it.
///
/// # Errors
/// [`FileError::Open`] for permissions; otherwise as [`read_text`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let fail = |error| FileError::Io { what: "read", path: path.to_owned(), error };
    let file = File::open(path).map_err(fail)?;
    // Asked of the open file and not of the path, so that what is checked is what is read.
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_LIMIT));
    let limit = u64::try_from(SECRET_LIMIT).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(fail)?;
    if text.len() >= SECRET_LIMIT {
        return Err(FileError::Large { path: path.to_owned(), limit });
    }
    Ok(text)
}

const SECRET_LIMIT: usize = 64 * 1024;

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Group => 0o640,
            Self::Public => 0o644,
        }
    }
}

fn write_beside(path: &Path, bytes: &[u8], access: Access) -> Result<PathBuf, FileError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_file_name(format!(".{name}.{}.{count}.new", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&beside)?;
        // The mode at creation went through the umask.
        file.set_permissions(std::fs::Permissions::from_mode(access.mode()))?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    finish(path, &beside, written).map(|()| beside)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()
}

fn finish(path: &Path, beside: &Path, done: io::Result<()>) -> Result<(), FileError> {
    done.map_err(|error| {
        remove_quietly(beside);
        FileError::Io { what: "write", path: path.to_owned(), error }
    })
}

/// What is removed here is a half-written neighbour; the error that led here is the one to report.
fn remove_quietly(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one", Access::Group).unwrap();
        write_atomic(&path, b"two", Access::Private).unwrap();
        assert_eq!(read_text(&path, 3).unwrap(), "two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_atomic(&link, b"two", Access::Public).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read_text(&real, 9).unwrap(), "two");
    }

    #[test]
    fn an_existing_file_is_never_overwritten_by_create() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_new(&path, b"one", Access::Private).unwrap();
        assert!(matches!(create_new(&path, b"two", Access::Private), Err(FileError::Exists { .. })));
        assert_eq!(read_secret(&path).unwrap().as_str(), "one");
        assert_eq!(names(dir.path()), ["key"]);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_new(&path, b"x", Access::Group).unwrap();
        let error = read_secret(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_over_its_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, &[b'a'; 11], Access::Private).unwrap();
        assert!(matches!(read_text(&path, 10), Err(FileError::Large { limit: 10, .. })));
        assert_eq!(read_text(&path, 11).unwrap().len(), 11);
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomic(&dir.path().join("no/f"), b"", Access::Private).unwrap_err();
        assert!(error.to_string().contains("no/f"), "{error}");
    }
}
