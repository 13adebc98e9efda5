//! Session tokens: what a proof of identity buys for minutes to hours.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{FactorId, Presence, ProxyName, Timestamp};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::Subject;

/// A bearer token of 256 random bits: "pct_" and 43 characters of base64url. The server keeps only its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// What the server knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whose it is.
    pub subject: Subject,
    /// SHA-256 fingerprint of the key that bought it ("SHA256:…").
    pub key: String,
    /// Whether a security key was touched for it.
    pub touch: bool,
    /// Whether a security key had verified its person for it.
    pub verification: bool,
    /// From where it was bought.
    pub address: IpAddr,
    /// When it was bought.
    pub issued: Timestamp,
    /// From this moment on it is worth nothing.
    pub expires: Timestamp,
    /// Set once a one-time code was given with it.
    pub raised: Option<Raised>,
    /// Set for a pass: what was bought at a proxy, and serves only there.
    pub through: Option<Through>,
}

/// What a one-time code makes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The authenticator that made the code: when it goes, this goes.
    pub factor: FactorId,
    /// From this moment on it takes another code.
    pub until: Timestamp,
}

/// How a pass came about: its person logged in to a connection of a proxy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    /// The proxy, which alone can use it.
    pub proxy: ProxyName,
    /// As which user they logged in: it was signed, and says where they want to go.
    pub user: String,
    /// The log-in.
    pub presence: Presence,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the form of a token.
    #[error("this is no session token: log in with portcullis login")]
    Malformed,
    /// Never issued, revoked, or of a server process that has ended.
    #[error("the session token is not known here, or was revoked: log in again with portcullis login")]
    Unknown,
    /// Its time is up.
    #[error("the session token has expired: log in again with portcullis login")]
    Expired,
}

/// What stands in front of every token, so that a scanner for leaked secrets finds them.
const PREFIX: &str = "pct_";

/// The SHA-256 of a token's text.
pub(crate) type TokenHash = [u8; 32];

impl Token {
    /// From 256 random bits, which are wiped.
    #[must_use]
    pub fn from_random(mut random: [u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut text);
        random.zeroize();
        Self(text)
    }

    /// As it came over the wire.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if body.len() != 43 || !body.bytes().all(alphabet) {
            return Err(TokenError::Malformed);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The text itself, for the one place that sends it. It is never logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_token_reads_back_and_hides(random: [u8; 32]) {
            let token = Token::from_random(random);
            prop_assert_eq!(format!("{token:?}"), "Token(…)");
            prop_assert_eq!(Token::from_text(token.expose()).unwrap(), token);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(pct_)?\\PC{0,50}") {
            let _ = Token::from_text(&text);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = Token::from_random([9; 32]);
        for text in ["", "pct_", &good.expose()[4..], &format!("{}=", good.expose()), &good.expose()[..46]] {
            assert_eq!(Token::from_text(text), Err(TokenError::Malformed), "{text}");
        }
    }
}
