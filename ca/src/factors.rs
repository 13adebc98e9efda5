//! What people share with their authenticators, sealed on disk: one file each, which the fact `factor.added` explains. A
//! file without its fact is put aside; a fact without its file is an authenticator whose codes are worth nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use identity::TotpSecret;
use identity::files::{self, Access, FileError};
use model::{FactorId, IdentityName, Timestamp};
use store::Entropy;
use zeroize::Zeroizing;

use crate::aside;
use crate::keys::{KeysError, make_private_folder};

/// The folder in the data directory.
pub(crate) const FOLDER: &str = "factors";
/// How many bytes of a file are the nonce (NIST SP 800-38D).
const NONCE: usize = 12;

/// The folder with the sealed secrets, and the key to them.
pub(crate) struct SealedFactors {
    folder: PathBuf,
    /// `None`: the ledger key is of a type that none is derived from.
    key: Option<Zeroizing<[u8; 32]>>,
}

/// Why a secret cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FactorsError {
    /// The folder cannot be made.
    #[error("the folder of the authenticators cannot be made")]
    Folder(#[from] KeysError),
    /// The file cannot be read or written.
    #[error("what an authenticator shares cannot be kept or read")]
    File(#[from] FileError),
    /// There is no key to seal it under.
    #[error("the ledger's key is of a type that seals nothing")]
    NoKey,
    /// It was changed, or is another's, or was sealed under another ledger key.
    #[error("what {0} shares cannot be unsealed: it was changed, or the ledger's key is another one")]
    Seal(FactorId),
}

impl SealedFactors {
    /// Below the data directory, with the key that is derived from the ledger's.
    pub(crate) fn new(data: &Path, key: Option<Zeroizing<[u8; 32]>>) -> Self {
        Self { folder: data.join(FOLDER), key }
    }

    /// Seals a secret into a new file. Blocking.
    pub(crate) fn put(
        &self,
        identity: &IdentityName,
        factor: &FactorId,
        secret: &TotpSecret,
        entropy: &dyn Entropy,
    ) -> Result<(), FactorsError> {
        make_private_folder(&self.folder)?;
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        let bound = bound(identity, factor);
        let payload = Payload { msg: secret.bytes(), aad: bound.as_bytes() };
        let sealed = self.cipher()?.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| FactorsError::Seal(factor.clone()))?;
        let text = format!("{}{}\n", hex::encode(nonce), hex::encode(sealed));
        Ok(files::create_new(&self.path(factor), text.as_bytes(), Access::Private)?)
    }

    /// Unseals one. Blocking.
    pub(crate) fn get(&self, identity: &IdentityName, factor: &FactorId) -> Result<TotpSecret, FactorsError> {
        let wrong = || FactorsError::Seal(factor.clone());
        let text = files::read_secret(&self.path(factor))?;
        let bytes = hex::decode(text.trim_end()).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(wrong)?;
        let bound = bound(identity, factor);
        let payload = Payload { msg: sealed, aad: bound.as_bytes() };
        let open = self.cipher()?.decrypt(&Nonce::from(*nonce), payload).map_err(|_| wrong())?;
        TotpSecret::from_bytes(&Zeroizing::new(open)).ok_or_else(wrong)
    }

    /// Removes one; one that is not there is gone already. Blocking.
    pub(crate) fn remove(&self, factor: &FactorId) {
        let path = self.path(factor);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "a sealed secret that nobody needs any more is still there");
        }
    }

    /// Takes back those of `known` that were put aside, and names those that no fact explains. Blocking.
    pub(crate) fn strangers(&self, known: &BTreeSet<FactorId>) -> Vec<FactorId> {
        for path in known.iter().map(|factor| self.path(factor)) {
            match aside::take_back(&path) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::warn!(path = %path.display(), "the ledger knows an authenticator again: its file is back")
                }
                Err(error) => tracing::error!(%error, "an authenticator's file cannot be taken back"),
            }
        }
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let factors = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<FactorId>().ok());
        factors.filter(|factor| !known.contains(factor)).collect()
    }

    /// Removes those of the strangers that are known to be removed, and puts the others aside: what a crash left between a
    /// file and its fact, or what is newer than a ledger that was put back. Blocking.
    pub(crate) fn sweep(&self, strangers: &[FactorId], removed: &BTreeSet<FactorId>, now: Timestamp) {
        for factor in strangers {
            if removed.contains(factor) {
                self.remove(factor);
                continue;
            }
            match aside::put(&self.path(factor), now) {
                Ok(to) => {
                    tracing::warn!(path = %to.display(), "no fact explains this authenticator's file: it is put aside")
                }
                Err(error) => {
                    tracing::error!(%error, %factor, "an authenticator's file that no fact explains is there")
                }
            }
        }
        if let Err(error) = aside::tidy(&self.folder, now) {
            tracing::error!(%error, "authenticators' files that were put aside long ago are still there");
        }
    }

    fn cipher(&self) -> Result<Aes256Gcm, FactorsError> {
        let key = self.key.as_ref().ok_or(FactorsError::NoKey)?;
        Aes256Gcm::new_from_slice(key.as_slice()).map_err(|_| FactorsError::NoKey)
    }

    fn path(&self, factor: &FactorId) -> PathBuf {
        self.folder.join(factor.as_str())
    }
}

/// What a sealed secret is bound to: nobody gets another's by renaming files.
fn bound(identity: &IdentityName, factor: &FactorId) -> String {
    format!("portcullis factor v1\0{identity}\0{factor}")
}

#[cfg(test)]
mod tests {
    use store::SystemEntropy;

    use super::*;

    #[test]
    fn what_is_sealed_is_for_one_person_and_one_authenticator() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = SealedFactors::new(dir.path(), Some(Zeroizing::new([7; 32])));
        let (alice, bob): (IdentityName, IdentityName) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (one, two) = (FactorId::from_random(1), FactorId::from_random(2));
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        sealed.put(&alice, &one, &secret, &SystemEntropy).unwrap();
        assert_eq!(sealed.get(&alice, &one).unwrap(), secret);
        let path = |factor: &FactorId| dir.path().join(FOLDER).join(factor.as_str());
        let text = std::fs::read(path(&one)).unwrap();
        assert!(!text.windows(8).any(|part| part == hex::encode(b"1234").as_bytes()), "it lies open");
        assert!(matches!(sealed.put(&alice, &one, &secret, &SystemEntropy), Err(FactorsError::File(_))), "never over");
        assert!(matches!(sealed.get(&bob, &one), Err(FactorsError::Seal(_))));
        std::fs::copy(path(&one), path(&two)).unwrap();
        assert!(matches!(sealed.get(&alice, &two), Err(FactorsError::Seal(_))));
        let other = SealedFactors::new(dir.path(), Some(Zeroizing::new([8; 32])));
        assert!(matches!(other.get(&alice, &one), Err(FactorsError::Seal(_))));
        assert!(matches!(SealedFactors::new(dir.path(), None).get(&alice, &one), Err(FactorsError::NoKey)));
        for broken in [&b""[..], b"zz\n", b"00\n", &text[..text.len() - 3]] {
            std::fs::write(path(&two), broken).unwrap();
            assert!(sealed.get(&alice, &two).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn what_no_fact_explains_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = SealedFactors::new(dir.path(), Some(Zeroizing::new([7; 32])));
        let now = Timestamp::from_seconds(1_800_000_000);
        let sweep = |known: &[&FactorId], removed: &[&FactorId]| {
            let set = |of: &[&FactorId]| of.iter().copied().cloned().collect::<BTreeSet<_>>();
            let strangers = sealed.strangers(&set(known));
            sealed.sweep(&strangers, &set(removed), now);
        };
        sweep(&[], &[]);
        let alice: IdentityName = "alice".parse().unwrap();
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        let (kept, newer, gone) = (FactorId::from_random(1), FactorId::from_random(2), FactorId::from_random(3));
        for factor in [&kept, &newer, &gone] {
            sealed.put(&alice, factor, &secret, &SystemEntropy).unwrap();
        }
        let good = |factor: &FactorId| sealed.get(&alice, factor).is_ok();
        sweep(&[&kept], &[&gone]);
        assert!(good(&kept) && !good(&newer) && !good(&gone));
        // The newer ledger is back.
        sweep(&[&kept, &newer, &gone], &[]);
        assert!(good(&kept) && good(&newer) && !good(&gone));
        sealed.remove(&kept);
        sealed.remove(&kept);
    }
}
