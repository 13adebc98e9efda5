//! The key with which a person speaks to the proxy in the middle of a session.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A control character that begins an escape at the beginning of a line; or none, and nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EscapeKey(Option<u8>);

/// What an escape key is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscapeKeyError {
    /// Not of the form.
    #[error("{0:?} is no control character: write it as ^], from ^A to ^_, or \"none\"")]
    Form(String),
    /// A key that terminals and shells need themselves.
    #[error("{0} cannot be taken: a terminal needs it; ^] is a good one")]
    Needed(String),
}

/// Keys that terminals need: ^C, ^D, ^H (erase), ^I (tab), ^J and ^M (line ends), ^Q and ^S (flow control), ^Z, and ^[
/// (with which all other keys begin).
const NEEDED: &[u8] = b"CDHIJMQSZ[";

impl EscapeKey {
    /// No key: what is typed is the target's.
    pub const NONE: Self = Self(None);

    /// The character that it sends.
    #[must_use]
    pub const fn byte(self) -> Option<u8> {
        self.0
    }

    /// How it is called: "ctrl-]".
    #[must_use]
    pub fn name(self) -> Option<String> {
        self.0.map(|byte| format!("ctrl-{}", char::from(byte | 0x40).to_ascii_lowercase()))
    }
}

impl Default for EscapeKey {
    /// `^]`, telnet's own. Not `~`: OpenSSH's client takes that for itself.
    fn default() -> Self {
        Self(Some(0x1d))
    }
}

impl FromStr for EscapeKey {
    type Err = EscapeKeyError;

    fn from_str(text: &str) -> Result<Self, EscapeKeyError> {
        match text.as_bytes() {
            b"none" => Ok(Self::NONE),
            [b'^', letter @ b'A'..=b'_'] if NEEDED.contains(letter) => Err(EscapeKeyError::Needed(text.to_owned())),
            [b'^', letter @ b'A'..=b'_'] => Ok(Self(Some(letter & 0x1f))),
            _ => Err(EscapeKeyError::Form(text.to_owned())),
        }
    }
}

impl TryFrom<String> for EscapeKey {
    type Error = EscapeKeyError;

    fn try_from(text: String) -> Result<Self, EscapeKeyError> {
        text.parse()
    }
}

impl fmt::Display for EscapeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(byte) => write!(f, "^{}", char::from(byte | 0x40)),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_terminals_show_it() {
        for (text, byte, name) in [
            ("^]", Some(0x1d), Some("ctrl-]")),
            ("^A", Some(1), Some("ctrl-a")),
            ("^_", Some(0x1f), Some("ctrl-_")),
            ("^\\", Some(0x1c), Some("ctrl-\\")),
            ("none", None, None),
        ] {
            let key: EscapeKey = text.parse().unwrap();
            assert_eq!((key.byte(), key.name().as_deref()), (byte, name));
            assert_eq!(key.to_string(), text);
        }
        assert_eq!(EscapeKey::default().to_string(), "^]");
    }

    #[test]
    fn keys_that_terminals_need_and_what_is_none_are_refused() {
        for text in ["^C", "^D", "^H", "^I", "^J", "^M", "^Q", "^S", "^[", "^Z"] {
            assert_eq!(text.parse::<EscapeKey>(), Err(EscapeKeyError::Needed(text.to_owned())));
        }
        for text in ["", "^", "]", "^a", "^@", "^?", "^]]", "~", "None", "ctrl-]", "^\u{e9}"] {
            assert_eq!(text.parse::<EscapeKey>(), Err(EscapeKeyError::Form(text.to_owned())));
        }
    }
}
