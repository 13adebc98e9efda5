//! Nonces: 256 random bits that a signature is good for once.

use std::fmt;
use std::str::FromStr;

/// A server's single-use challenge. It is public; what counts is that nobody can know it beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 32]);

/// A text that is not a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce reads 64 hexadecimal digits in lower case")]
pub struct NonceError;

impl Nonce {
    /// From 256 random bits.
    #[must_use]
    pub const fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NonceError)?;
        // One nonce, one text: upper case would be a second one.
        let nonce = Self(bytes);
        if nonce.to_string() == text { Ok(nonce) } else { Err(NonceError) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_nonce_reads_back(random: [u8; 32]) {
            let nonce = Nonce::from_random(random);
            prop_assert_eq!(nonce.to_string().parse::<Nonce>().unwrap(), nonce);
        }
    }

    #[test]
    fn what_is_no_nonce_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"A".repeat(64)] {
            assert_eq!(text.parse::<Nonce>(), Err(NonceError), "{text}");
        }
    }
}
