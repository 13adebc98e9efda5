//! The algorithms that the proxy offers to people and to targets.
//!
//! Hybrid and elliptic-curve key exchange, AEAD ciphers and encrypt-then-MAC only; no SHA-1 anywhere, no compression.

use std::borrow::Cow;

use russh::{Preferred, cipher, compression, kex, mac};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg};

/// What people's clients may exchange keys with. A person needs a client that knows certificates of Ed25519 keys, and each
/// of those has had Curve25519 since the same day (OpenSSH 6.5). One in FIPS mode has not, and has group 16. NIST's
/// curves are left out as `ssh-audit` asks; group 18 since anybody, without a name, makes the proxy work for
/// eight times as long with it as with group 16, and every client that has the one has the other.
const PEOPLES_KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// What targets may exchange keys with: the proxy goes to them of its own will, and some appliances have nothing else.
const TARGETS_KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// AES with hardware support comes first: the proxy pays for every byte twice.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

const PLAIN_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

const PEOPLES_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What people's clients may choose from.
pub(crate) fn for_people() -> Preferred {
    preferred(PEOPLES_KEX, Cow::Borrowed(PEOPLES_KEYS), Cow::Borrowed(&[]))
}

/// What targets may choose from. `pinned` are the algorithms of the target's pinned keys: where there are any, it may
/// show a key or a certificate of those only, or it could choose a certificate of another key, which would be refused.
/// A certificate is always preferred.
pub(crate) fn for_target(pinned: &[Algorithm]) -> Preferred {
    let matches = |known: &&Algorithm| {
        pinned.iter().any(|pinned| match (known, pinned) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (known, pinned) => *known == pinned,
        })
    };
    let wanted: Vec<Algorithm> = PLAIN_KEYS.iter().filter(matches).cloned().collect();
    // The list must not be empty; a plain key that is not pinned is refused when it is shown.
    let keys = if wanted.is_empty() { Cow::Borrowed(PLAIN_KEYS) } else { Cow::Owned(wanted) };
    preferred(TARGETS_KEX, keys.clone(), keys)
}

fn preferred(
    kex: &'static [kex::Name],
    key: Cow<'static, [Algorithm]>,
    host_key_certificates: Cow<'static, [Algorithm]>,
) -> Preferred {
    Preferred {
        kex: Cow::Borrowed(kex),
        key,
        host_key_certificates,
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Whether a CA may have signed with this algorithm: never with SHA-1, never with DSA.
pub(crate) fn is_sound_for_a_ca(algorithm: &Algorithm) -> bool {
    match algorithm {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEcdsaSha2NistP256 => true,
        Algorithm::Rsa { hash } => hash.is_some(),
        Algorithm::Dsa | Algorithm::Other(_) | _ => false,
    }
}
