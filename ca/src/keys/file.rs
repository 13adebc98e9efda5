//! One key in one file.

use std::convert::Infallible;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use identity::files::{self, Access};
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::rand_core::{TryCryptoRng, TryRng};
use ssh_key::{Cipher, EcdsaCurve, Kdf, LineEnding, PrivateKey, PublicKey, Signature, SigningKey};
use store::Entropy;
use zeroize::Zeroizing;

use super::{CaSigner, KeysError, Passphrase, SignerError};

/// A private key in memory that is sealed on disk. It is wiped when it is dropped.
#[derive(Debug)]
pub struct SealedKey {
    private: PrivateKey,
}

/// Which key is made.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The default.
    Ed25519,
    /// For what does not know Ed25519.
    P256,
}

/// ssh-keygen's own choice until 2024. Unlocking one key takes about a tenth of a second.
const ROUNDS: u32 = 16;
/// More than this and a file could hold up a start for minutes.
pub(super) const MOST_ROUNDS: u32 = 256;

impl SealedKey {
    /// Makes a key and writes it sealed, with its public half beside it (`.pub`). Neither may exist.
    pub(super) fn create(
        path: &Path,
        comment: &str,
        kind: Kind,
        passphrase: &Passphrase,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeysError> {
        let key = Self::make(comment, kind, entropy)?;
        key.write(path, passphrase, entropy)?;
        Ok(key)
    }

    /// Makes a key in memory.
    pub(super) fn make(comment: &str, kind: Kind, entropy: &dyn Entropy) -> Result<Self, KeysError> {
        let pair = match kind {
            Kind::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                entropy.fill(&mut *seed);
                KeypairData::from(Ed25519Keypair::from_seed(&seed))
            }
            Kind::P256 => KeypairData::from(EcdsaKeypair::random(&mut Source(entropy), EcdsaCurve::NistP256)?),
        };
        Ok(Self { private: PrivateKey::new(pair, comment)? })
    }

    /// Writes it sealed, with its public half beside it (`.pub`). Neither may exist.
    pub(super) fn write(&self, path: &Path, passphrase: &Passphrase, entropy: &dyn Entropy) -> Result<(), KeysError> {
        let mut salt = vec![0; 16];
        entropy.fill(&mut salt);
        let kdf = Kdf::Bcrypt { salt, rounds: ROUNDS };
        let check = u32::try_from(entropy.u64() >> 32).unwrap_or_default();
        let sealed = self.private.encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase.bytes())?;
        let text = sealed.to_openssh(LineEnding::LF)?;
        files::create_new(path, text.as_bytes(), Access::Private)?;
        let public = format!("{}\n", self.private.public_key().to_openssh()?);
        Ok(files::create_new(&path.with_extension("pub"), public.as_bytes(), Access::Public)?)
    }

    /// Reads and unlocks a key.
    ///
    /// # Errors
    /// Others can read the file, it is no sealed OpenSSH private key, its key is not good enough, or the passphrase
    /// is wrong.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, KeysError> {
        let text = files::read_secret(path)?;
        let sealed = PrivateKey::from_openssh(text.as_str()).map_err(|_| KeysError::Malformed(path.to_owned()))?;
        let public = sealed.public_key().key_data();
        identity::check_key(public).map_err(|error| KeysError::Weak { path: path.to_owned(), error })?;
        if public.is_sk_ed25519() || public.is_sk_ecdsa_p256() {
            // Each signature would wait for a touch, and its flags would be in every certificate.
            let found = public.algorithm().as_str().to_owned();
            return Err(KeysError::Type { path: path.to_owned(), found, wanted: "a key that signs by itself" });
        }
        if !sealed.is_encrypted() {
            return Err(KeysError::Unsealed(path.to_owned()));
        }
        if let Kdf::Bcrypt { rounds, .. } = sealed.kdf()
            && *rounds > MOST_ROUNDS
        {
            return Err(KeysError::Rounds { path: path.to_owned(), rounds: *rounds });
        }
        // ssh-key compares the public half in the open with the one under the seal.
        let private = sealed.decrypt(passphrase.bytes()).map_err(|_| KeysError::WrongPassphrase(path.to_owned()))?;
        Ok(Self { private })
    }

    /// The public half, with its comment.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.private.public_key()
    }

    /// Its SHA-256 fingerprint ("SHA256:…").
    #[must_use]
    pub fn fingerprint(&self) -> String {
        identity::fingerprint(self.public_key())
    }

    /// The secret of an Ed25519 key, for signers of another form; `None` for another type.
    pub(super) fn ed25519_seed(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.private.key_data().ed25519().map(|pair| Zeroizing::new(pair.private.to_bytes()))
    }
}

impl CaSigner for SealedKey {
    fn public_key(&self) -> &KeyData {
        self.private.public_key().key_data()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Signature, SignerError> {
        // RSA signs with SHA-512 here; ssh-key knows no SHA-1 signature without a feature that we do not have.
        sign_with(&self.private, tbs)
    }
}

fn sign_with<K: SigningKey>(key: &K, bytes: &[u8]) -> Result<Signature, SignerError> {
    key.try_sign(bytes).map_err(|error| SignerError(error.to_string()))
}

/// A folder for its owner alone.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), KeysError> {
    let fail = |error| KeysError::Directory { path: path.to_owned(), error };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)
}

impl From<ssh_key::Error> for KeysError {
    fn from(error: ssh_key::Error) -> Self {
        Self::Making(error)
    }
}

/// The house's source of randomness in the form that ssh-key wants.
struct Source<'a>(&'a dyn Entropy);

impl TryRng for Source<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.0.u64() >> 32).unwrap_or_default())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Source<'_> {}
