//! The keys of the house: user CA, host CA, front CA, ledger, and the root of the API's TLS. Each is a file in OpenSSH's own
//! sealed form (bcrypt-pbkdf and aes256-ctr), so that `ssh-keygen` reads what we wrote.

mod file;
mod passphrase;
mod ring;
mod target;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use ledger::Signer as NoteSigner;
use model::Authority;
use sha2::{Digest as _, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, PublicKey, Signature};
use store::Entropy;
use zeroize::Zeroizing;

use file::Kind;
pub use file::SealedKey;
pub(crate) use file::make_private_folder;
pub use passphrase::{Passphrase, PassphraseError};
use ring::Ring;
pub use target::{Strangers, TargetKeys};

use identity::files::FileError;

/// Something that signs with a CA key: a file's key in memory today; a token or a service tomorrow.
///
/// It is synchronous. A remote one waits for its answer inside; its caller runs it where waiting is allowed.
pub trait CaSigner: Send + Sync {
    /// The CA's public key.
    fn public_key(&self) -> &KeyData;

    /// Signs the bytes of a certificate that is to be.
    ///
    /// # Errors
    /// The key is out of reach, or refused.
    fn sign(&self, tbs: &[u8]) -> Result<Signature, SignerError>;
}

/// A CA key that did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CA key did not sign: {0}")]
pub struct SignerError(pub String);

/// Every key of one data directory, unlocked. The secrets are wiped when it is dropped.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
    /// Kept as long as the keys that it opens: it seals the next one of a CA, while nobody is there to type it.
    passphrase: Passphrase,
    /// Those of the CAs, which may be replaced.
    ring: RwLock<Ring>,
    ledger: SealedKey,
    tls_root: SealedKey,
}

/// Why keys cannot be made or unlocked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("a key file cannot be used")]
    File(#[from] FileError),
    /// The directory cannot be made.
    #[error("cannot make the key directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// Not a private key in OpenSSH's own form. A public key, a certificate or a PEM of another kind is none.
    #[error("{} is no OpenSSH private key", .0.display())]
    Malformed(PathBuf),
    /// The key lies open.
    #[error("{} is not sealed under a passphrase: seal it with ssh-keygen -p -f", .0.display())]
    Unsealed(PathBuf),
    /// Its key derivation would take minutes.
    #[error("{} asks for {rounds} rounds of bcrypt; {} are the most: seal it again with ssh-keygen -p", path.display(), file::MOST_ROUNDS)]
    Rounds {
        /// The file.
        path: PathBuf,
        /// How many it asks for.
        rounds: u32,
    },
    /// Not its passphrase.
    #[error("this is not the passphrase of {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// The key is not good enough.
    #[error("the key {} is not accepted", path.display())]
    Weak {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: identity::KeyError,
    },
    /// A key of a type that cannot do this file's work.
    #[error("{} holds a key of type {found}; {wanted} is needed here", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// Not the key that the ledger knows under this name.
    #[error("{} holds another key than its name says", .0.display())]
    Other(PathBuf),
    /// One key in two roles.
    #[error("{} and {} hold the same key: each role needs its own", first.display(), second.display())]
    Same {
        /// A file.
        first: PathBuf,
        /// Another with the same key.
        second: PathBuf,
    },
    /// A key that was there: a new one in its place would go unnoticed until nobody's ssh knew the proxies any more.
    #[error(
        "{} is gone, and its public half is there: put the key back from your copy; or move {} away too, and the next \
         start makes a new key, for which everybody runs portcullis ssh-config --write again",
        path.display(), path.with_extension("pub").display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The ledger knows another key than the files hold.
    #[error(
        "the ledger says that {wanted} signs for the {ca} CA, and {} holds {found}: put the key back from your copy",
        path.display()
    )]
    Lost {
        /// Which CA.
        ca: Authority,
        /// Its file.
        path: PathBuf,
        /// Fingerprint of the key that is missing.
        wanted: String,
        /// Fingerprint of the key that is there.
        found: String,
    },
    /// A thread that unlocks a key died.
    #[error("a key could not be unlocked: its thread ended early")]
    Thread,
    /// The key cannot be made.
    #[error("a key cannot be made")]
    Making(#[source] ssh_key::Error),
}

/// The folder of the keys in the data directory.
pub const FOLDER: &str = "keys";
const USER_CA: &str = "user-ca";
const HOST_CA: &str = "host-ca";
const FRONT_CA: &str = "front-ca";
const LEDGER: &str = "ledger";
const TLS_ROOT: &str = "tls-root";

impl Keys {
    /// Makes every key below `data` and seals it under `passphrase`. Nothing that exists is overwritten.
    ///
    /// # Errors
    /// A file is there already or cannot be written.
    pub fn create(data: &Path, passphrase: &Passphrase, entropy: &dyn Entropy) -> Result<Self, KeysError> {
        let folder = data.join(FOLDER);
        file::make_private_folder(&folder)?;
        let make = |name: &str, kind: Kind| make(&folder, name, kind, passphrase, entropy);
        let ring =
            Ring::new(make(USER_CA, Kind::Ed25519)?, make(HOST_CA, Kind::Ed25519)?, make(FRONT_CA, Kind::Ed25519)?);
        let ledger = make(LEDGER, Kind::Ed25519)?;
        // Browsers know no Ed25519.
        let tls_root = make(TLS_ROOT, Kind::P256)?;
        let keys = Self { ring: RwLock::new(ring), ledger, tls_root, passphrase: passphrase.clone(), folder };
        keys.check()?;
        Ok(keys)
    }

    /// Makes the key that a data directory of an earlier version lacks, the front CA's, and seals it under the
    /// passphrase of the others. Returns whether it did; when nothing is missing, it costs a look at the folder.
    ///
    /// # Errors
    /// The passphrase is not that of the other keys, the key was there and is gone, or it cannot be written.
    pub fn add_missing(data: &Path, passphrase: &Passphrase, entropy: &dyn Entropy) -> Result<bool, KeysError> {
        let folder = data.join(FOLDER);
        ring::finish(&folder)?;
        let path = folder.join(FRONT_CA);
        if path.exists() {
            return Ok(false);
        }
        if path.with_extension("pub").exists() {
            return Err(KeysError::Gone { path });
        }
        // Otherwise a mistyped passphrase would seal a key that nothing opens again.
        SealedKey::open(&folder.join(USER_CA), passphrase)?;
        make(&folder, FRONT_CA, Kind::Ed25519, passphrase, entropy)?;
        Ok(true)
    }

    /// Unlocks every key below `data`.
    ///
    /// # Errors
    /// The passphrase is wrong, a file is missing, open to others, not sealed, not good enough, or two are the same.
    pub fn open(data: &Path, passphrase: &Passphrase) -> Result<Self, KeysError> {
        let folder = data.join(FOLDER);
        ring::finish(&folder)?;
        // The derivations are slow on purpose, so they run beside each other.
        let ([user_ca, host_ca, front_ca, ledger, tls_root], next) = std::thread::scope(|scope| {
            let open = |name: &'static str| {
                let path = folder.join(name);
                scope.spawn(move || SealedKey::open(&path, passphrase))
            };
            let named = [USER_CA, HOST_CA, FRONT_CA, LEDGER, TLS_ROOT].map(open);
            let next = Authority::ALL.map(|ca| (ca, ring::next_of(&folder, ca).map(open)));
            let join =
                |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().map_err(|_| KeysError::Thread).flatten();
            (named.map(join), next.map(|(ca, thread)| (ca, thread.map(join))))
        });
        let mut ring = Ring::new(user_ca?, host_ca?, front_ca?);
        for (ca, key) in next {
            if let Some(key) = key {
                ring.add(ca, Arc::new(key?));
            }
        }
        let (ledger, tls_root) = (ledger?, tls_root?);
        let keys = Self { ring: RwLock::new(ring), ledger, tls_root, passphrase: passphrase.clone(), folder };
        keys.check()?;
        Ok(keys)
    }

    /// Signs user certificates, people's and sessions', unless the ledger says that another does.
    #[must_use]
    pub fn user_ca(&self) -> Arc<SealedKey> {
        self.first(Authority::User)
    }

    /// Signs the certificates of targets, which proxies believe, unless the ledger says that another does. Never the user
    /// CA's key.
    #[must_use]
    pub fn host_ca(&self) -> Arc<SealedKey> {
        self.first(Authority::Host)
    }

    /// Signs what proxies show to people, unless the ledger says that another does. Never the host CA's key: what a proxy
    /// gets from it must mean nothing to another proxy.
    #[must_use]
    pub fn front_ca(&self) -> Arc<SealedKey> {
        self.first(Authority::Front)
    }

    /// The key that signs the ledger's checkpoints, under the origin line as its name.
    ///
    /// # Errors
    /// The origin is no name for a signed note.
    pub fn ledger_signer(&self, origin: &str) -> Result<NoteSigner, ledger::NoteError> {
        let seed = self.ledger.ed25519_seed().unwrap_or_else(|| Zeroizing::new([0; 32]));
        NoteSigner::new(origin, &seed)
    }

    /// The key under which snapshots of the state are sealed, derived from the ledger's: whoever can write a false
    /// snapshot with it could write a false history as well. `None` when the ledger key is of another type.
    #[must_use]
    pub fn snapshot_key(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.derived(b"portcullis snapshot key v1\0")
    }

    /// The key under which lies what people share with their authenticators, derived from the ledger's, which is itself
    /// sealed under the passphrase. `None` when the ledger key is of another type.
    #[must_use]
    pub fn factor_key(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.derived(b"portcullis factor key v1\0")
    }

    /// The ledger key's public half.
    #[must_use]
    pub fn ledger_public(&self) -> &PublicKey {
        self.ledger.public()
    }

    /// Signs the API's TLS certificates.
    #[must_use]
    pub const fn tls_root(&self) -> &SealedKey {
        &self.tls_root
    }

    /// The public halves of every key, none of which may ever be certified.
    #[must_use]
    pub fn all_public(&self) -> Vec<KeyData> {
        self.named().into_iter().map(|(_, key)| key).collect()
    }

    fn derived(&self, purpose: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let seed = self.ledger.ed25519_seed()?;
        let hash = Sha256::new().chain_update(purpose).chain_update(*seed);
        Some(Zeroizing::new(hash.finalize().into()))
    }

    fn named(&self) -> Vec<(&'static str, KeyData)> {
        let mut named = self.ring().named();
        named.push((LEDGER, self.ledger.public_key().clone()));
        named.push((TLS_ROOT, self.tls_root.public_key().clone()));
        named
    }

    /// No key in two roles, compared whole, and the right type where only one will do.
    fn check(&self) -> Result<(), KeysError> {
        let (folder, named) = (&self.folder, self.named());
        for (at, (first, key)) in named.iter().enumerate() {
            for (second, other) in named.iter().skip(at + 1) {
                if key == other {
                    return Err(KeysError::Same { first: folder.join(first), second: folder.join(second) });
                }
            }
        }
        let of_type = |name: &str, key: &SealedKey, good: bool, wanted| {
            if good {
                return Ok(());
            }
            let found = key.public_key().algorithm().as_str().to_owned();
            Err(KeysError::Type { path: folder.join(name), found, wanted })
        };
        of_type(LEDGER, &self.ledger, self.ledger.public_key().is_ed25519(), "ssh-ed25519")?;
        let p256 = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
        of_type(TLS_ROOT, &self.tls_root, self.tls_root.public_key().algorithm() == p256, "ecdsa-sha2-nistp256")
    }
}

fn make(
    folder: &Path,
    name: &str,
    kind: Kind,
    passphrase: &Passphrase,
    entropy: &dyn Entropy,
) -> Result<SealedKey, KeysError> {
    SealedKey::create(&folder.join(name), &format!("portcullis {name}"), kind, passphrase, entropy)
}

#[cfg(test)]
mod tests;
