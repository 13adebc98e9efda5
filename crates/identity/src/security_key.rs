//! What every signature of a key has, whatever it is over: an algorithm that must be the key's own, and, of a security
//! key, flags (PROTOCOL.u2f).

use ssh_key::Algorithm;
use ssh_key::public::KeyData;

/// What a security key says of the moment at which it signed. It is part of what it signs, so it is to be believed
/// once the signature is verified; and not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    flags: u8,
    counter: u32,
}

/// A security key's signature that is too short for its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// WebAuthn's "user present" and "user verified" bits.
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

impl Flags {
    /// Those at the end of a signature by `key`: one byte of flags and four of counter. `None` for a key that is no
    /// security key.
    pub(crate) fn of(key: &KeyData, signature: &[u8]) -> Result<Option<Self>, Cut> {
        if !key.is_sk_ed25519() && !key.is_sk_ecdsa_p256() {
            return Ok(None);
        }
        let (_, trailer) = signature.split_last_chunk::<5>().ok_or(Cut)?;
        let [flags, counter @ ..] = *trailer;
        Ok(Some(Self { flags, counter: u32::from_be_bytes(counter) }))
    }

    /// Whether it was touched.
    pub(crate) const fn touched(self) -> bool {
        self.flags & USER_PRESENT != 0
    }

    /// Whether it had verified its person, by PIN or finger.
    pub(crate) const fn verified_person(self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    /// Its signature counter; many keys always say 0.
    pub(crate) const fn counter(self) -> u32 {
        self.counter
    }
}

/// Whether a signature's algorithm is the key's own, with SHA-2 for RSA (RFC 8332).
pub(crate) fn fits(key: &KeyData, algorithm: &Algorithm) -> bool {
    match (key.algorithm(), algorithm) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { hash }) => hash.is_some(),
        (own, algorithm) => own == *algorithm,
    }
}
