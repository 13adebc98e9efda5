//! The one secret that unlocks the keys, and where it may come from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use identity::files::{self, FileError};
use zeroize::Zeroizing;

/// The secret text under which the keys are sealed. It is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Too short to seal anything with.
    #[error("the passphrase has {length} characters; {} are the least", Passphrase::LEAST)]
    Short {
        /// How many it has.
        length: usize,
    },
    /// The file that should hold it cannot be used.
    #[error("the passphrase cannot be read")]
    File(#[from] FileError),
    /// A variable that is not UTF-8.
    #[error("{0} is not UTF-8 text")]
    Text(&'static str),
}

impl Passphrase {
    /// The fewest characters.
    pub const LEAST: usize = 8;
    /// The environment variable that holds it.
    pub const VARIABLE: &'static str = "PORTCULLIS_PASSPHRASE";
    /// The environment variable that names a file (a key file) that holds it; the file must be its owner's alone.
    pub const FILE_VARIABLE: &'static str = "PORTCULLIS_PASSPHRASE_FILE";
    /// The name of the systemd credential that holds it (`LoadCredentialEncrypted=portcullis-passphrase`).
    pub const CREDENTIAL: &'static str = "portcullis-passphrase";

    /// From a text; a line end behind it is not part of it.
    ///
    /// # Errors
    /// [`PassphraseError::Short`].
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let length = text.chars().count();
        if length < Self::LEAST {
            return Err(PassphraseError::Short { length });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// From the environment of the process: the variable, the named file, or the systemd credential, in this order.
    /// `None` when none of them is there, and somebody must be asked.
    ///
    /// # Errors
    /// One of them is there and cannot be used.
    pub fn from_env() -> Result<Option<Self>, PassphraseError> {
        Self::find(std::env::var_os)
    }

    /// As [`Passphrase::from_env`], with the environment as an argument.
    ///
    /// # Errors
    /// One of the places is there and cannot be used.
    pub fn find(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Option<Self>, PassphraseError> {
        if let Some(text) = variable(Self::VARIABLE) {
            let text = text.into_string().map(Zeroizing::new).map_err(|_| PassphraseError::Text(Self::VARIABLE))?;
            return Self::new(&text).map(Some);
        }
        if let Some(path) = variable(Self::FILE_VARIABLE) {
            return Self::new(&files::read_secret(&PathBuf::from(path))?).map(Some);
        }
        if let Some(folder) = variable("CREDENTIALS_DIRECTORY") {
            let path = PathBuf::from(folder).join(Self::CREDENTIAL);
            if path.exists() {
                // systemd keeps the folder to this unit alone and chooses the modes itself.
                return Self::new(&Zeroizing::new(files::read_text(&path, 64 * 1024)?)).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
