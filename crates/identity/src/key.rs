//! Which public keys are good enough, whatever they come in: a line of a file, a blob of an agent, a signature.

use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg, PublicKey};

/// The most bytes that a key line, a key blob or a certificate may have. An RSA key of 8,192 bits needs 1.5 KiB.
const LIMIT: usize = 16 * 1024;

/// What every certificate algorithm's name ends with (PROTOCOL.certkeys).
const CERTIFICATE_SUFFIX: &[u8] = b"-cert-v01@openssh.com";

/// Why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not one key in OpenSSH's one-line form.
    #[error("this is no public key: write it as in a .pub file, \"ssh-ed25519 AAAA… comment\"")]
    Malformed,
    /// Options in front of the key, as `authorized_keys` has them.
    #[error("a key here takes no options: begin with its type, \"ssh-ed25519 AAAA…\"")]
    Options,
    /// A certificate where a plain key belongs.
    #[error("this is a certificate: write the plain key that it certifies (the .pub file without -cert)")]
    Certificate,
    /// DSA: 1,024 bits and SHA-1.
    #[error("DSA keys are not accepted: make an Ed25519 key with ssh-keygen -t ed25519")]
    Dsa,
    /// RSA below 2,048 bits.
    #[error("this RSA key has {bits} bits; 2048 are the least: make an Ed25519 key with ssh-keygen -t ed25519")]
    Short {
        /// Bits of its modulus.
        bits: usize,
    },
    /// RSA above what a server should have to compute for a stranger.
    #[error("this RSA key has {bits} bits; 8192 are the most")]
    Large {
        /// Bits of its modulus.
        bits: usize,
    },
    /// A key type that we do not know.
    #[error("keys of type {0} are not known here: use ssh-ed25519, ecdsa, rsa, or a security key (sk-)")]
    Unknown(String),
}

/// Reads one public key line ("ssh-ed25519 AAAA… comment") that is good enough by [`check_key`].
///
/// # Errors
/// Why it is refused.
pub fn parse_public_key(line: &str) -> Result<PublicKey, KeyError> {
    let line = line.trim();
    if line.len() > LIMIT || line.contains(['\n', '\r']) {
        return Err(KeyError::Malformed);
    }
    let mut words = line.split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if first.as_bytes().ends_with(CERTIFICATE_SUFFIX) {
        return Err(KeyError::Certificate);
    }
    let known_prefix = ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| first.starts_with(prefix));
    if !known_prefix {
        let behind = line.contains(" ssh-") || line.contains(" ecdsa-") || line.contains(" sk-");
        return Err(if behind { KeyError::Options } else { KeyError::Malformed });
    }
    let blob = decode_base64(second).ok_or(KeyError::Malformed)?;
    let key = public_key_from_blob(&blob)?;
    if key.algorithm().as_str() != first {
        return Err(KeyError::Malformed);
    }
    let comment = words.collect::<Vec<_>>().join(" ");
    Ok(PublicKey::new(key, comment))
}

/// Reads a public key in its wire form (RFC 4253, section 6.6) that is good enough by [`check_key`].
///
/// The type is looked at before the key is: ssh-key reads a certificate inside of a certificate by recursion, and
/// enough of them end the process.
///
/// # Errors
/// Why it is refused.
pub fn public_key_from_blob(blob: &[u8]) -> Result<KeyData, KeyError> {
    if blob.len() > LIMIT {
        return Err(KeyError::Malformed);
    }
    let name = leading_name(blob).ok_or(KeyError::Malformed)?;
    if name.ends_with(CERTIFICATE_SUFFIX) {
        return Err(KeyError::Certificate);
    }
    let mut rest = blob;
    let key = KeyData::decode(&mut rest).map_err(|_| KeyError::Malformed)?;
    // ssh-key passes over what stands in a field behind the key: one key would have many forms.
    let again = PublicKey::from(key.clone()).to_bytes().map_err(|_| KeyError::Malformed)?;
    if !rest.is_empty() || again != blob {
        return Err(KeyError::Malformed);
    }
    check_key(&key)?;
    Ok(key)
}

/// Reads one certificate line ("ssh-ed25519-cert-v01@openssh.com AAAA…"). Only its form is judged: whether it is
/// trusted is another question.
///
/// # Errors
/// [`KeyError::Malformed`], also for a certificate whose CA key is itself a certificate.
pub fn parse_certificate(line: &str) -> Result<Certificate, KeyError> {
    let line = line.trim();
    if line.len() > 2 * LIMIT {
        return Err(KeyError::Malformed);
    }
    let blob = line.split_ascii_whitespace().nth(1).and_then(decode_base64).ok_or(KeyError::Malformed)?;
    certificate_from_blob(&blob)?;
    Certificate::from_openssh(line).map_err(|_| KeyError::Malformed)
}

/// Reads a certificate in its wire form.
pub(crate) fn certificate_from_blob(blob: &[u8]) -> Result<Certificate, KeyError> {
    // The suffix stands in the type. Anywhere else it announces a certificate as CA key, see public_key_from_blob.
    let marks = blob.windows(CERTIFICATE_SUFFIX.len()).filter(|window| *window == CERTIFICATE_SUFFIX).count();
    if blob.len() > LIMIT || marks != 1 {
        return Err(KeyError::Malformed);
    }
    let certificate = Certificate::from_bytes(blob).map_err(|_| KeyError::Malformed)?;
    // One form only, like the key in it.
    let again = certificate.to_bytes().map_err(|_| KeyError::Malformed)?;
    if again == blob { Ok(certificate) } else { Err(KeyError::Malformed) }
}

/// Whether a key may be used at all: Ed25519, ECDSA on a NIST curve, RSA of 2,048 to 8,192 bits, FIDO keys.
///
/// # Errors
/// Why it is refused.
pub fn check_key(key: &KeyData) -> Result<(), KeyError> {
    if key.is_ed25519() || key.is_ecdsa() || key.is_sk_ed25519() || key.is_sk_ecdsa_p256() {
        return Ok(());
    }
    if let Some(rsa) = key.rsa() {
        // Counted here because ssh-key rounds up to whole bytes, and 2,041 bits are not 2,048.
        let modulus = rsa.n().as_positive_bytes().unwrap_or_default();
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
        let bits = (modulus.len() * 8).saturating_sub(usize::try_from(zeros).unwrap_or(0));
        return match bits {
            0..2048 => Err(KeyError::Short { bits }),
            2048..=8192 => Ok(()),
            _ => Err(KeyError::Large { bits }),
        };
    }
    if key.is_dsa() {
        return Err(KeyError::Dsa);
    }
    if key.is_certificate() {
        return Err(KeyError::Certificate);
    }
    let name: String = key.algorithm().as_str().chars().filter(char::is_ascii_graphic).take(64).collect();
    Err(KeyError::Unknown(name))
}

/// The SHA-256 fingerprint, as OpenSSH prints it ("SHA256:…").
#[must_use]
pub fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// The first length-prefixed string of a blob.
fn leading_name(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssh_key::Mpint;
    use ssh_key::public::RsaPublicKey;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn rsa(bits: usize) -> KeyData {
        let mut modulus = vec![0xff_u8; bits.div_ceil(8)];
        modulus[0] >>= bits.div_ceil(8) * 8 - bits;
        let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes);
        KeyData::Rsa(RsaPublicKey::new(number(&[1, 0, 1]), number(&modulus)).unwrap())
    }

    #[test]
    fn a_key_line_reads_with_and_without_comment() {
        assert_eq!(parse_public_key(ED25519).unwrap().comment().as_str_lossy(), "");
        let key = parse_public_key(&format!("  {ED25519} alice on her laptop \n")).unwrap();
        assert_eq!(key.comment().as_str_lossy(), "alice on her laptop");
        assert_eq!(fingerprint(key.key_data()), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
    }

    #[test]
    fn rsa_counts_bits_and_not_bytes() {
        assert_eq!(check_key(&rsa(2047)), Err(KeyError::Short { bits: 2047 }));
        assert_eq!(check_key(&rsa(1024)), Err(KeyError::Short { bits: 1024 }));
        assert_eq!(check_key(&rsa(2048)), Ok(()));
        assert_eq!(check_key(&rsa(8192)), Ok(()));
        assert_eq!(check_key(&rsa(8193)), Err(KeyError::Large { bits: 8193 }));
    }

    #[test]
    fn what_is_no_plain_key_is_refused_by_name() {
        let blob = ED25519.split(' ').nth(1).unwrap();
        for (line, error) in [
            (String::new(), KeyError::Malformed),
            ("ssh-ed25519".to_owned(), KeyError::Malformed),
            ("ssh-ed25519 !!!!".to_owned(), KeyError::Malformed),
            (format!("ssh-rsa {blob}"), KeyError::Malformed),
            (format!("ssh-ed25519 {blob}AAAA"), KeyError::Malformed),
            (format!("{ED25519}\n{ED25519}"), KeyError::Malformed),
            (format!("no-pty {ED25519}"), KeyError::Options),
            (format!("ssh-ed25519-cert-v01@openssh.com {blob}"), KeyError::Certificate),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), KeyError::Malformed),
        ] {
            assert_eq!(parse_public_key(&line).unwrap_err(), error, "{line}");
        }
        let named = |name: &str| {
            let mut blob = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
            blob.extend(name.as_bytes());
            blob.extend([0, 0, 0, 1, 7]);
            public_key_from_blob(&blob).unwrap_err()
        };
        assert_eq!(named("ssh-ed25519-cert-v01@openssh.com"), KeyError::Certificate);
        assert_eq!(named("ssh-xmss@openssh.com"), KeyError::Unknown("ssh-xmss@openssh.com".to_owned()));
    }

    #[test]
    fn a_key_has_one_form() {
        let blob = |length: u8| [b"\0\0\0\x0bssh-ed25519\0\0\0", &[length][..], &vec![0; usize::from(length)]].concat();
        assert!(public_key_from_blob(&blob(32)).is_ok());
        for length in [0, 31, 33, 64] {
            assert_eq!(public_key_from_blob(&blob(length)), Err(KeyError::Malformed), "{length}");
        }
    }

    #[test]
    fn dsa_is_refused_as_dsa() {
        let mut blob = b"\0\0\0\x07ssh-dss".to_vec();
        for _ in 0..4 {
            blob.extend([0, 0, 0, 2, 0x4d, 0x0d]);
        }
        assert_eq!(public_key_from_blob(&blob), Err(KeyError::Dsa));
    }

    #[test]
    fn a_certificate_of_a_certificate_does_not_recurse() {
        let name = b"\0\0\0\x20ssh-ed25519-cert-v01@openssh.com";
        let nested: Vec<u8> = name.iter().copied().cycle().take(LIMIT).collect();
        assert_eq!(certificate_from_blob(&nested), Err(KeyError::Malformed));
        assert_eq!(public_key_from_blob(&nested), Err(KeyError::Certificate));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "(ssh-|ecdsa-|sk-)?\\PC{0,80}") {
            let _ = parse_public_key(&line);
            let _ = parse_certificate(&line);
        }

        #[test]
        fn no_blob_makes_it_panic(blob in prop::collection::vec(any::<u8>(), 0..200), name in 0usize..5) {
            let names = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "x"];
            let name = names[name];
            let mut whole = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
            whole.extend(name.as_bytes());
            whole.extend(&blob);
            let _ = public_key_from_blob(&whole);
            let _ = public_key_from_blob(&blob);
            let _ = certificate_from_blob(&blob);
        }
    }
}
