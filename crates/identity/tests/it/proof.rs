use portcullis_identity::{Demand, FileKey, KeyError, Proof, ProofError, SignError, Statement, fingerprint};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, Signature, SshSig};
use zeroize::Zeroizing;

use crate::support::{Keys, need_security_key, private, public, statement};

const TOUCH: Demand = Demand { touch: true, verification: false };
const VERIFICATION: Demand = Demand { touch: false, verification: true };

#[test]
fn signatures_of_ssh_keygen_verify() {
    let keys = Keys::new();
    let statement = statement();
    for (name, arguments) in [
        ("ed25519", ["-t", "ed25519", "-b", "256"]),
        ("ecdsa256", ["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", ["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521", ["-t", "ecdsa", "-b", "521"]),
        ("rsa", ["-t", "rsa", "-b", "2048"]),
    ] {
        let path = keys.make(name, &arguments);
        let signature = keys.sign(&path, statement.namespace(), statement.text());
        let proof = Proof::verify(&signature, &statement).unwrap_or_else(|error| panic!("{name}: {error}"));
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let key = portcullis_identity::parse_public_key(&line).unwrap();
        assert_eq!(proof.key(), key.key_data(), "{name}");
        assert!(!proof.touched() && !proof.verified_person() && proof.counter().is_none(), "{name}");
        assert_eq!(proof.meets(Demand::default()), Ok(()));
        assert_eq!(proof.meets(TOUCH), Err(ProofError::Touch { security_key: false }), "{name}");
    }
}

#[test]
fn a_key_that_is_too_short_proves_nothing() {
    let keys = Keys::new();
    let statement = statement();
    let path = keys.make("rsa1024", &["-t", "rsa", "-b", "1024"]);
    let signature = keys.sign(&path, statement.namespace(), statement.text());
    let refused = Proof::verify(&signature, &statement);
    assert_eq!(refused, Err(ProofError::Key(KeyError::Short { bits: 1024 })));
}

#[test]
fn a_signature_for_something_else_proves_nothing() {
    let keys = Keys::new();
    let statement = statement();
    let path = keys.make("k", &["-t", "ed25519"]);
    let file = keys.sign(&path, "file", statement.text());
    let found = "file".to_owned();
    assert_eq!(Proof::verify(&file, &statement), Err(ProofError::Namespace { wanted: Statement::LOGIN, found }));
    let other = keys.sign(&path, statement.namespace(), &statement.text().replace("alice", "bob"));
    assert_eq!(Proof::verify(&other, &statement), Err(ProofError::Wrong));
    let certificate = keys.sign(&path, Statement::CERTIFICATE, statement.text());
    assert!(matches!(Proof::verify(&certificate, &statement), Err(ProofError::Namespace { .. })));
}

#[test]
fn our_own_signatures_verify_and_so_does_ssh_keygen() {
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519"]);
    let statement = statement();
    let key = FileKey::load(&path, || None).unwrap();
    let signature = key.sign(&statement).unwrap();
    assert_eq!(Proof::verify(&signature, &statement).unwrap().key(), key.public_key());
    // ssh-keygen -Y check-novalidate verifies what we signed.
    let file = keys.dir.path().join("ours.sig");
    std::fs::write(&file, signature).unwrap();
    let text = keys.dir.path().join("text");
    std::fs::write(&text, statement.text()).unwrap();
    let status = std::process::Command::new("ssh-keygen")
        .args(["-Y", "check-novalidate", "-n", statement.namespace(), "-s"])
        .arg(&file)
        .stdin(std::fs::File::open(text).unwrap())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_sealed_key_file_asks_for_its_passphrase() {
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519"]);
    crate::support::run(
        std::process::Command::new("ssh-keygen").args(["-q", "-p", "-N", "hunter2 hunter2", "-f"]).arg(&path),
    );
    assert!(matches!(FileKey::load(&path, || None), Err(SignError::NoPassphrase(_))));
    let wrong = FileKey::load(&path, || Some(Zeroizing::new("hunter3".to_owned())));
    assert!(matches!(wrong, Err(SignError::WrongPassphrase(_))));
    let key = FileKey::load(&path, || Some(Zeroizing::new("hunter2 hunter2".to_owned()))).unwrap();
    assert!(Proof::verify(&key.sign(&statement()).unwrap(), &statement()).is_ok());
}

#[test]
fn a_made_key_file_loads_and_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy.key");
    let made = FileKey::create(&path, "proxy1", &Zeroizing::new([8; 32])).unwrap();
    let loaded = FileKey::load(&path, || None).unwrap();
    assert_eq!(loaded.public_key(), made.public_key());
    assert!(Proof::verify(&loaded.sign(&statement()).unwrap(), &statement()).is_ok());
    let line = std::fs::read_to_string(dir.path().join("proxy.key.pub")).unwrap();
    let read = portcullis_identity::parse_public_key(&line).unwrap();
    assert_eq!((read.key_data(), read.comment().as_str_lossy()), (made.public_key(), "proxy1"));
    assert!(matches!(FileKey::create(&path, "proxy1", &Zeroizing::new([9; 32])), Err(SignError::File(_))));
    assert_eq!(FileKey::load(&path, || None).unwrap().public_key(), made.public_key());
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519"]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(FileKey::load(&path, || None), Err(SignError::File(_))));
    let public = path.with_extension("pub");
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(FileKey::load(&public, || None), Err(SignError::Malformed(_))));
}

#[test]
fn security_keys_of_openssh_show_their_touch() {
    need_security_key();
    let keys = Keys::new();
    let statement = statement();
    let provider = ["-w", crate::support::SK_DUMMY];
    for (name, kind, option, touched) in [
        ("ed", "ed25519-sk", None, true),
        ("ec", "ecdsa-sk", None, true),
        ("ed-lax", "ed25519-sk", Some("no-touch-required"), false),
        ("ec-lax", "ecdsa-sk", Some("no-touch-required"), false),
    ] {
        let mut arguments = vec!["-t", kind];
        arguments.extend(provider);
        if let Some(option) = option {
            arguments.extend(["-O", option]);
        }
        let path = keys.make(name, &arguments);
        let proof = Proof::verify(&keys.sign(&path, statement.namespace(), statement.text()), &statement).unwrap();
        assert_eq!(proof.touched(), touched, "{name}");
        assert_eq!(proof.counter(), Some(0x1234_5678), "{name}");
        let asked = proof.meets(TOUCH);
        assert_eq!(asked, if touched { Ok(()) } else { Err(ProofError::Touch { security_key: true }) }, "{name}");
        assert_eq!(proof.meets(VERIFICATION), Err(ProofError::Verification), "{name}");
        assert!(matches!(FileKey::load(&path, || None), Err(SignError::SecurityKey(_))), "{name}");
    }
}

/// A signature as a security key of seed 5 makes it, with flags of our choice.
fn security_key_signature(statement: &Statement, signed_flags: u8, shown_flags: u8) -> (KeyData, String) {
    let private = private(5);
    let ed25519 = private.public_key().key_data().ed25519().copied().unwrap();
    let key = KeyData::SkEd25519(SkEd25519::new(ed25519, "ssh:"));
    let message = SshSig::signed_data(statement.namespace(), HashAlg::Sha512, statement.text().as_bytes()).unwrap();
    let mut signed = Sha256::digest(b"ssh:").to_vec();
    signed.extend([signed_flags, 0, 0, 0, 42]);
    signed.extend(Sha256::digest(&message));
    let mut bytes = sign(&private, &signed).as_bytes().to_vec();
    bytes.extend([shown_flags, 0, 0, 0, 42]);
    let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
    let whole = SshSig::new(key.clone(), statement.namespace(), HashAlg::Sha512, signature).unwrap();
    (key, whole.to_pem(LineEnding::LF).unwrap())
}

fn sign<K: ssh_key::SigningKey>(key: &K, bytes: &[u8]) -> Signature {
    key.try_sign(bytes).unwrap()
}

#[test]
fn flags_count_only_as_they_were_signed() {
    let statement = statement();
    for (flags, touched, verified) in [(0, false, false), (1, true, false), (4, false, true), (5, true, true)] {
        let (key, signature) = security_key_signature(&statement, flags, flags);
        let proof = Proof::verify(&signature, &statement).unwrap();
        assert_eq!(proof.key(), &key);
        assert_eq!(proof.fingerprint(), fingerprint(&key));
        assert_eq!((proof.touched(), proof.verified_person()), (touched, verified));
        assert_eq!(proof.counter(), Some(42));
        assert_eq!(proof.meets(TOUCH).is_ok(), touched);
        assert_eq!(proof.meets(VERIFICATION).is_ok(), verified);
    }
    let (_, forged) = security_key_signature(&statement, 0, 1);
    assert_eq!(Proof::verify(&forged, &statement), Err(ProofError::Wrong));
}

#[test]
fn a_foreign_algorithm_proves_nothing() {
    let statement = statement();
    let message = SshSig::signed_data(statement.namespace(), HashAlg::Sha512, statement.text().as_bytes()).unwrap();
    let good = sign(&private(1), &message);
    let key = public(1).key_data().clone();
    for algorithm in [Algorithm::Rsa { hash: None }, Algorithm::new("ssh-hacked@example.org").unwrap()] {
        let signature = Signature::new(algorithm, good.as_bytes()).unwrap();
        let whole = SshSig::new(key.clone(), statement.namespace(), HashAlg::Sha512, signature).unwrap();
        let refused = Proof::verify(&whole.to_pem(LineEnding::LF).unwrap(), &statement);
        assert!(matches!(refused, Err(ProofError::Algorithm { .. })), "{refused:?}");
    }
}

/// "ssh-rsa" as the name of a signature means SHA-1 (RFC 8332); it is refused before anything is computed.
#[test]
fn rsa_with_sha1_proves_nothing() {
    let keys = Keys::new();
    let statement = statement();
    let path = keys.make("rsa", &["-t", "rsa", "-b", "2048"]);
    let armored = keys.sign(&path, statement.namespace(), statement.text());
    let parsed = SshSig::from_pem(&armored).unwrap();
    let signature = Signature::new(Algorithm::Rsa { hash: None }, parsed.signature_bytes()).unwrap();
    let sha1 = SshSig::new(parsed.public_key().clone(), statement.namespace(), HashAlg::Sha512, signature).unwrap();
    let refused = Proof::verify(&sha1.to_pem(LineEnding::LF).unwrap(), &statement);
    assert_eq!(refused, Err(ProofError::Algorithm { algorithm: "ssh-rsa".to_owned() }));
}

#[test]
fn what_is_no_signature_is_refused() {
    let good = FileKey::from_private(private(1), "k".into()).sign(&statement()).unwrap();
    assert!(Proof::verify(&good, &statement()).is_ok());
    for text in [
        String::new(),
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----".to_owned(),
        good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        good.replacen("U1NIU0lH", "AAAA", 1),
        good.replace("-----END SSH SIGNATURE-----", "AAAA\n-----END SSH SIGNATURE-----"),
        format!("{good}{good}"),
        format!("{good}{}", " ".repeat(20_000)),
    ] {
        assert!(matches!(Proof::verify(&text, &statement()), Err(ProofError::Malformed)), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_changed_byte_survives(at in 0usize..200, bit in 0u8..8) {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let good = FileKey::from_private(private(1), "k".into()).sign(&statement()).unwrap();
        let body: String = good.lines().filter(|line| !line.starts_with('-')).collect();
        let mut blob = engine.decode(body).unwrap();
        let at = at % blob.len();
        blob[at] ^= 1 << bit;
        let changed =
            format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", engine.encode(blob));
        prop_assert!(Proof::verify(&changed, &statement()).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(body in "[A-Za-z0-9+/=\n]{0,400}") {
        let text = format!("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ{body}-----END SSH SIGNATURE-----");
        let _ = Proof::verify(&text, &statement());
    }
}
