//! Log-ins to a connection, of every type of key, and what is none.

use portcullis_identity::{Claim, Presence, PresenceError, Shown};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::certificate::Builder;
use ssh_key::private::KeypairData;
use ssh_key::public::{KeyData, SkEcdsaSha2NistP256, SkEd25519};
use ssh_key::{Algorithm, Certificate, HashAlg, PrivateKey, Signature};

use crate::short_scalar;
use crate::support::{Keys, private};

const SESSION: [u8; 32] = [3; 32];
const USER: &str = "root+web1";

/// A certificate of the CA with seed 200 for a key.
fn certificate(key: &KeyData) -> Certificate {
    let mut builder = Builder::new(vec![7; 32], key.clone(), 1_700_000_000, 1_900_000_000).unwrap();
    builder.serial(1).unwrap().key_id("req-000000000001").unwrap().valid_principal("identity:alice").unwrap();
    builder.sign(&private(200)).unwrap()
}

fn string(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    into.extend(bytes);
}

/// What RFC 4252, section 7, has a client sign.
fn request(session: &[u8], user: &str, algorithm: &str, certificate: &Certificate) -> Vec<u8> {
    let mut bytes = Vec::new();
    string(&mut bytes, session);
    bytes.push(50);
    for text in [user, "ssh-connection", "publickey"] {
        string(&mut bytes, text.as_bytes());
    }
    bytes.push(1);
    string(&mut bytes, algorithm.as_bytes());
    string(&mut bytes, &certificate.to_bytes().unwrap());
    bytes
}

fn wire(signature: &Signature) -> Vec<u8> {
    signature.clone().try_into().unwrap()
}

fn verify(session: &[u8], user: &str, signature: &[u8], certificate: &Certificate) -> Result<Presence, PresenceError> {
    Presence::verify(&Claim { user, session_id: session, signature }, Shown::Certificate(certificate))
}

/// The key of seed 1, its certificate, and a good signature.
fn good() -> (Certificate, Vec<u8>) {
    let key = private(1);
    let certificate = certificate(key.public_key().key_data());
    let signature = key.try_sign(&request(&SESSION, USER, "ssh-ed25519-cert-v01@openssh.com", &certificate)).unwrap();
    (certificate, wire(&signature))
}

/// A security key in software: what `key` signs, as PROTOCOL.u2f says, with these flags.
fn security_key(key: &PrivateKey, algorithm: Algorithm, message: &[u8], signed: u8, shown: u8) -> Vec<u8> {
    let mut bytes = Sha256::digest(b"ssh:").to_vec();
    bytes.extend([signed, 0, 0, 0, 9]);
    bytes.extend(Sha256::digest(message));
    let mut data = key.try_sign(&bytes).unwrap().as_bytes().to_vec();
    data.extend([shown, 0, 0, 0, 9]);
    wire(&Signature::new(algorithm, data).unwrap())
}

fn made_by_ssh_keygen(keys: &Keys, kind: &str, bits: &str) -> PrivateKey {
    let path = keys.make(&format!("{kind}{bits}"), &["-t", kind, "-b", bits]);
    PrivateKey::from_openssh(std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn keys_of_every_type_show_that_their_person_is_there() {
    let keys = Keys::new();
    let made = |kind, bits| made_by_ssh_keygen(&keys, kind, bits);
    for (key, name) in [
        (made("ed25519", "256"), "ssh-ed25519-cert-v01@openssh.com"),
        (made("ecdsa", "256"), "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        (made("ecdsa", "384"), "ecdsa-sha2-nistp384-cert-v01@openssh.com"),
        (made("ecdsa", "521"), "ecdsa-sha2-nistp521-cert-v01@openssh.com"),
        (PrivateKey::from_openssh(short_scalar::KEY).unwrap(), "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
    ] {
        let certificate = certificate(key.public_key().key_data());
        let signature = wire(&key.try_sign(&request(&SESSION, USER, name, &certificate)).unwrap());
        let presence = verify(&SESSION, USER, &signature, &certificate).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(presence.sha256(), hex::encode(Sha256::digest(SESSION)));
        assert!(!presence.touched() && !presence.verified_person(), "{name}");
    }
}

#[test]
fn rsa_signs_with_sha2_and_never_with_sha1() {
    let key = made_by_ssh_keygen(&Keys::new(), "rsa", "2048");
    let KeypairData::Rsa(pair) = key.key_data() else { panic!() };
    let certificate = certificate(key.public_key().key_data());
    for (hash, name) in
        [(HashAlg::Sha256, "rsa-sha2-256-cert-v01@openssh.com"), (HashAlg::Sha512, "rsa-sha2-512-cert-v01@openssh.com")]
    {
        let signature = (pair, Some(hash)).try_sign(&request(&SESSION, USER, name, &certificate)).unwrap();
        assert!(verify(&SESSION, USER, &wire(&signature), &certificate).is_ok(), "{name}");
        // The name of the algorithm is signed as well.
        let other = request(&SESSION, USER, "ssh-rsa-cert-v01@openssh.com", &certificate);
        let signature = wire(&(pair, Some(hash)).try_sign(&other).unwrap());
        assert_eq!(verify(&SESSION, USER, &signature, &certificate), Err(PresenceError::Wrong));
    }
    let sha1 = request(&SESSION, USER, "ssh-rsa-cert-v01@openssh.com", &certificate);
    let bytes = (pair, Some(HashAlg::Sha256)).try_sign(&sha1).unwrap().as_bytes().to_vec();
    let signature = wire(&Signature::new(Algorithm::Rsa { hash: None }, bytes).unwrap());
    assert_eq!(verify(&SESSION, USER, &signature, &certificate), Err(PresenceError::Algorithm("ssh-rsa".to_owned())));
}

#[test]
fn a_security_key_must_be_touched() {
    let ecdsa = made_by_ssh_keygen(&Keys::new(), "ecdsa", "256");
    let ssh_key::public::EcdsaPublicKey::NistP256(point) = ecdsa.public_key().key_data().ecdsa().unwrap() else {
        panic!()
    };
    let ed25519 = private(5);
    let keys = [
        (
            KeyData::SkEd25519(SkEd25519::new(*ed25519.public_key().key_data().ed25519().unwrap(), "ssh:")),
            Algorithm::SkEd25519,
            ed25519,
            "sk-ssh-ed25519-cert-v01@openssh.com",
        ),
        (
            KeyData::SkEcdsaSha2NistP256(SkEcdsaSha2NistP256::new(*point, "ssh:")),
            Algorithm::SkEcdsaSha2NistP256,
            ecdsa.clone(),
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        ),
    ];
    for (public, algorithm, key, name) in keys {
        let certificate = certificate(&public);
        let message = request(&SESSION, USER, name, &certificate);
        let sign = |signed, shown| security_key(&key, algorithm.clone(), &message, signed, shown);
        let touched = verify(&SESSION, USER, &sign(1, 1), &certificate).unwrap();
        assert!(touched.touched() && !touched.verified_person(), "{name}");
        assert!(verify(&SESSION, USER, &sign(5, 5), &certificate).unwrap().verified_person(), "{name}");
        for flags in [0, 4] {
            assert_eq!(verify(&SESSION, USER, &sign(flags, flags), &certificate), Err(PresenceError::Touch), "{name}");
        }
        // A flag counts only as it was signed.
        assert_eq!(verify(&SESSION, USER, &sign(0, 1), &certificate), Err(PresenceError::Wrong), "{name}");
    }
}

#[test]
fn a_log_in_is_to_one_connection_as_one_user_with_one_certificate() {
    let (ours, signature) = good();
    assert!(verify(&SESSION, USER, &signature, &ours).is_ok());
    for user in ["root+web2", "admin+web1", "root", "", "root+WEB1"] {
        assert_eq!(verify(&SESSION, user, &signature, &ours), Err(PresenceError::Wrong), "{user}");
    }
    assert_eq!(verify(&[4; 32], USER, &signature, &ours), Err(PresenceError::Wrong));
    // Another certificate for the very same key, and one for another key.
    let mut builder = Builder::new(vec![8; 32], ours.public_key().clone(), 1_700_000_000, 1_900_000_000).unwrap();
    builder.serial(2).unwrap().key_id("req-000000000002").unwrap().valid_principal("identity:alice").unwrap();
    let another = builder.sign(&private(200)).unwrap();
    assert_eq!(verify(&SESSION, USER, &signature, &another), Err(PresenceError::Wrong));
    let hers = certificate(private(2).public_key().key_data());
    assert_eq!(verify(&SESSION, USER, &signature, &hers), Err(PresenceError::Wrong));
}

#[test]
fn what_is_no_signature_shows_nothing() {
    let (certificate, signature) = good();
    let short = &signature[..signature.len() - 1];
    let long = [signature.as_slice(), &[0]].concat();
    for bytes in [&[][..], short, &long, &[0; 4096], b"-----BEGIN SSH SIGNATURE-----"] {
        assert_eq!(verify(&SESSION, USER, bytes, &certificate), Err(PresenceError::Malformed));
    }
    for length in [0, 20, 31, 65, 4096] {
        let refused = verify(&vec![3; length], USER, &signature, &certificate);
        assert_eq!(refused, Err(PresenceError::SessionId(length)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_changed_bit_survives(at in 0usize..83, bit in 0u8..8) {
        let (certificate, mut signature) = good();
        signature[at] ^= 1 << bit;
        prop_assert!(verify(&SESSION, USER, &signature, &certificate).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (certificate, _) = good();
        let _ = verify(&SESSION, USER, &bytes, &certificate);
    }
}
