//! The keys of targets whose servers know no certificates: one for each, made here, sealed as the CA keys are, and
//! destroyed here. None of them is ever one of the CA's own.
//!
//! The ledger says which there are. A file that it does not know is what a crash left behind, or newer than a ledger that
//! was put back: it is put aside at the next start, unless the ledger says that its key was destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use identity::files::{self, FileError};
use model::{TargetName, Timestamp};
use sha2::{Digest as _, Sha256};
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use store::Entropy;

use crate::aside;

use super::file::{self, Kind};
use super::{CaSigner as _, FOLDER, KeysError, Passphrase, SealedKey};

/// The folder of these keys, below that of the CA's own.
const TARGETS: &str = "targets";

/// How many bytes of a key's hash are the name of its file.
const NAME: usize = 16;

/// The keys of one data directory's targets. Unlocking one takes a tenth of a second, so each is unlocked when it is
/// first needed, and stays so.
#[derive(Debug)]
pub struct TargetKeys {
    folder: PathBuf,
    passphrase: Passphrase,
    open: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// One key, once it is unlocked. Others are unlocked meanwhile.
type Slot = Mutex<Option<Arc<SealedKey>>>;

impl TargetKeys {
    /// Those below `data`, under the passphrase of the CA's own keys.
    #[must_use]
    pub fn new(data: &Path, passphrase: Passphrase) -> Self {
        Self { folder: data.join(FOLDER).join(TARGETS), passphrase, open: Mutex::default() }
    }

    /// Makes a key and seals it. It signs nothing until the ledger knows it. Blocking.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn create(&self, target: &TargetName, entropy: &dyn Entropy) -> Result<PublicKey, KeysError> {
        file::make_private_folder(&self.folder)?;
        let key = SealedKey::make(&format!("portcullis {target}"), Kind::Ed25519, entropy)?;
        let name = name_of(key.public_key())?;
        key.write(&self.folder.join(&name), &self.passphrase, entropy)?;
        let public = key.public().clone();
        *self.slot(name).lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(public)
    }

    /// The key whose public half this is. Blocking: it may have to be unlocked.
    ///
    /// # Errors
    /// It is not there, does not open with the passphrase, or is another than its name says.
    pub fn open(&self, public: &KeyData) -> Result<Arc<SealedKey>, KeysError> {
        let name = name_of(public)?;
        let slot = self.slot(name.clone());
        let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = open.as_ref() {
            return Ok(Arc::clone(key));
        }
        let path = self.folder.join(name);
        let key = Arc::new(SealedKey::open(&path, &self.passphrase)?);
        if key.public_key() != public {
            return Err(KeysError::Other(path));
        }
        *open = Some(Arc::clone(&key));
        Ok(key)
    }

    /// Destroys a key: nothing of it is left but what the ledger says. One that is not there is destroyed already.
    /// Blocking.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn destroy(&self, public: &KeyData) -> Result<(), KeysError> {
        let name = name_of(public)?;
        // Held over all of it, so that nobody who opens the key meanwhile keeps it.
        let slot = self.slot(name.clone());
        let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        let path = self.folder.join(&name);
        remove(&path)?;
        remove(&path.with_extension("pub"))?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        drop(open);
        self.sync(&path)
    }

    /// Takes back what is of `known` and was put aside, and names what is none of it, by the fingerprints that such keys
    /// have. Blocking.
    ///
    /// # Errors
    /// The folder cannot be read, or a file not be taken back.
    pub fn strangers<'a>(&self, known: impl IntoIterator<Item = &'a KeyData>) -> Result<Strangers, KeysError> {
        let known: BTreeSet<String> = known.into_iter().map(name_of).collect::<Result<_, _>>()?;
        for path in known.iter().map(|name| self.folder.join(name)) {
            aside::take_back(&path.with_extension("pub"))?;
            if aside::take_back(&path)? {
                tracing::warn!(path = %path.display(), "the ledger knows a target key again: its file is back");
            }
        }
        let unreadable = |error| FileError::Io { what: "read", path: self.folder.clone(), error };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Strangers::default()),
            Err(error) => return Err(unreadable(error).into()),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if !known.contains(&stem) && stem != aside::SWEPT {
                paths.push((stem, path));
            }
        }
        Ok(Strangers(paths))
    }

    /// Destroys what is of `destroyed`, which are fingerprints, and halves of files; puts everything else of the strangers
    /// aside, and says how many files that were. Blocking.
    ///
    /// # Errors
    /// A file cannot be moved or removed.
    pub fn sweep<'a>(
        &self,
        strangers: Strangers,
        destroyed: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<usize, KeysError> {
        let destroyed: BTreeSet<String> = destroyed.into_iter().filter_map(name_by).collect();
        let mut kept = 0;
        for (stem, path) in strangers.0 {
            if stem.starts_with('.') || destroyed.contains(&stem) {
                files::destroy(&path)?;
            } else {
                let to = aside::put(&path, now)?;
                tracing::warn!(path = %to.display(), "no fact explains this file among the target keys: it is put aside");
                kept += 1;
            }
        }
        aside::tidy(&self.folder, now)?;
        Ok(kept)
    }

    fn slot(&self, name: String) -> Arc<Slot> {
        Arc::clone(self.open.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default())
    }

    fn sync(&self, path: &Path) -> Result<(), KeysError> {
        let failed = |error| FileError::Io { what: "remove", path: path.to_owned(), error };
        let folder = match fs::File::open(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error).into()),
        };
        Ok(folder.sync_all().map_err(failed)?)
    }
}

/// Files among the keys that the ledger does not know, with the names of the keys that they would be.
#[derive(Debug, Default)]
pub struct Strangers(Vec<(String, PathBuf)>);

impl Strangers {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name of the file of the key with this fingerprint, which is the same hash.
fn name_by(fingerprint: &str) -> Option<String> {
    let hash: ssh_key::Fingerprint = fingerprint.parse().ok()?;
    hash.as_bytes().get(..NAME).map(hex::encode)
}

/// The name of a key's file: no name of a target, which has dots and would make one file of two.
fn name_of(public: &KeyData) -> Result<String, KeysError> {
    let blob = PublicKey::from(public.clone()).to_bytes()?;
    Ok(hex::encode(Sha256::digest(blob).iter().take(NAME).copied().collect::<Vec<_>>()))
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_remove(path, error)),
    }
}

fn cannot_remove(path: &Path, error: io::Error) -> FileError {
    FileError::Io { what: "remove", path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use store::SeededEntropy;
    use tempfile::TempDir;

    use super::*;

    fn keys(dir: &TempDir, passphrase: &str) -> TargetKeys {
        TargetKeys::new(dir.path(), Passphrase::new(passphrase).unwrap())
    }

    fn names(dir: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path().join(FOLDER).join(TARGETS)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_key_comes_back_signs_and_is_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let made = keys(&dir, "a good passphrase");
        let entropy = SeededEntropy::new(1);
        // Two names that one file could stand for.
        let one = made.create(&"db.eu".parse().unwrap(), &entropy).unwrap();
        let two = made.create(&"db.us".parse().unwrap(), &entropy).unwrap();
        assert_ne!(one.key_data(), two.key_data());
        assert!(one.to_openssh().unwrap().ends_with(" portcullis db.eu"), "{one:?}");
        for name in names(&dir).iter().filter(|name| !name.ends_with(".pub")) {
            let path = dir.path().join(FOLDER).join(TARGETS).join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(fs::read_to_string(&path).unwrap().contains("OPENSSH PRIVATE KEY"));
        }

        let again = keys(&dir, "a good passphrase");
        let key = again.open(one.key_data()).unwrap();
        let signature = key.sign(b"bytes").unwrap();
        assert!(signature::Verifier::verify(one.key_data(), b"bytes", &signature).is_ok());
        let wrong = keys(&dir, "another passphrase").open(one.key_data());
        assert!(matches!(wrong, Err(KeysError::WrongPassphrase(_))), "{wrong:?}");

        again.destroy(one.key_data()).unwrap();
        again.destroy(one.key_data()).unwrap();
        assert!(matches!(again.open(one.key_data()), Err(KeysError::File(_))));
        assert_eq!(names(&dir).len(), 2);
        assert!(again.open(two.key_data()).is_ok());
    }

    #[test]
    fn what_the_ledger_does_not_know_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let made = keys(&dir, "a good passphrase");
        let now = Timestamp::from_seconds(1_800_000_000);
        let sweep = |known: &[&KeyData], destroyed: &[&str]| {
            let strangers = made.strangers(known.iter().copied()).unwrap();
            made.sweep(strangers, destroyed.iter().copied(), now).unwrap()
        };
        assert_eq!(sweep(&[], &[]), 0);
        let kept = made.create(&"web9".parse().unwrap(), &SeededEntropy::new(1)).unwrap();
        let newer = made.create(&"web8".parse().unwrap(), &SeededEntropy::new(2)).unwrap();
        let dead = made.create(&"web7".parse().unwrap(), &SeededEntropy::new(3)).unwrap();
        fs::write(dir.path().join(FOLDER).join(TARGETS).join(".half.1.2.new"), "half a key").unwrap();
        let fingerprint = identity::fingerprint(dead.key_data());
        assert_eq!(sweep(&[kept.key_data()], &[&fingerprint]), 2);
        let folder = dir.path().join(FOLDER).join(TARGETS);
        assert_eq!(fs::read_dir(folder.join(aside::SWEPT)).unwrap().count(), 2, "one key and its public half");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        let opens = |key: &PublicKey| keys(&dir, "a good passphrase").open(key.key_data()).is_ok();
        assert!(opens(&kept) && !opens(&newer) && !opens(&dead));
        // The newer ledger is back.
        assert_eq!(sweep(&[kept.key_data(), newer.key_data(), dead.key_data()], &[]), 0);
        assert!(opens(&kept) && opens(&newer) && !opens(&dead));
    }

    /// Whatever lies there under a key's name: what signs is the key that the ledger knows, and never the CA's own.
    #[test]
    fn another_key_in_its_place_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("a good passphrase").unwrap();
        let house = super::super::Keys::create(dir.path(), &passphrase, &SeededEntropy::new(3)).unwrap();
        let public = keys(&dir, "a good passphrase").create(&"web9".parse().unwrap(), &SeededEntropy::new(1)).unwrap();
        let folder = dir.path().join(FOLDER);
        let path = folder.join(TARGETS).join(name_of(public.key_data()).unwrap());
        for own in ["user-ca", "host-ca", "front-ca", "ledger"] {
            fs::copy(folder.join(own), &path).unwrap();
            let opened = keys(&dir, "a good passphrase").open(public.key_data());
            assert!(matches!(opened, Err(KeysError::Other(_))), "{own}: {opened:?}");
        }
        // Nor can one be asked for by its own public half.
        for own in house.all_public() {
            assert!(keys(&dir, "a good passphrase").open(&own).is_err());
        }
    }
}
