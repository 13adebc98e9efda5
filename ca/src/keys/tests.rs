use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use model::Timestamp;
use store::SeededEntropy;
use tempfile::TempDir;

use super::*;
use crate::aside;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple\n").unwrap()
}

/// A data directory with keys; the folder and the keys.
fn house() -> (TempDir, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::create(dir.path(), &passphrase(), &SeededEntropy::new(1)).unwrap();
    (dir, keys)
}

fn keygen(arguments: &[&str], path: &Path) -> String {
    let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(path).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Puts another key in a file's place, made by ssh-keygen under our passphrase.
fn replace(path: &Path, arguments: &[&str]) {
    std::fs::remove_file(path).unwrap();
    let _ = std::fs::remove_file(path.with_extension("pub"));
    let mut all = vec!["-q", "-N", "correct horse battery staple", "-a", "4"];
    all.extend(arguments);
    keygen(&all, path);
}

fn open(dir: &TempDir) -> Result<Keys, KeysError> {
    Keys::open(dir.path(), &passphrase())
}

#[test]
fn keys_come_back_as_they_were_made_and_ssh_keygen_reads_them() {
    let (dir, made) = house();
    let opened = open(&dir).unwrap();
    assert_eq!(made.all_public(), opened.all_public());
    assert_eq!(
        made.ledger_signer("ca.example.org/log").unwrap().sign("x\n").unwrap().to_string(),
        opened.ledger_signer("ca.example.org/log").unwrap().sign("x\n").unwrap().to_string()
    );
    for name in [USER_CA, HOST_CA, FRONT_CA, LEDGER, TLS_ROOT] {
        let path = dir.path().join(FOLDER).join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
        let read = keygen(&["-y", "-P", "correct horse battery staple"], &path);
        let told = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        assert_eq!(read.trim(), told.trim(), "{name}");
        assert!(told.contains(&format!("portcullis {name}")));
    }
    let folder = std::fs::metadata(dir.path().join(FOLDER)).unwrap().permissions().mode() & 0o777;
    assert_eq!(folder, 0o700);
}

#[test]
fn every_key_is_another_and_no_two_houses_share_one() {
    let (_first, keys) = house();
    let dir = tempfile::tempdir().unwrap();
    let others = Keys::create(dir.path(), &passphrase(), &SeededEntropy::new(2)).unwrap();
    let mut all = keys.all_public();
    all.extend(others.all_public());
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), 10);
}

#[test]
fn a_ca_key_signs_what_its_public_half_verifies() {
    let (_dir, keys) = house();
    for key in [&*keys.user_ca(), &*keys.host_ca(), &*keys.front_ca(), keys.tls_root()] {
        let signature = key.sign(b"bytes").unwrap();
        assert!(verify(key.public_key(), b"bytes", &signature));
        assert!(!verify(key.public_key(), b"other", &signature));
    }
}

/// By rustls's cryptography, which is another library than the one that signed.
fn verify(key: &KeyData, bytes: &[u8], signature: &Signature) -> bool {
    let (scheme, public, signature) = match key.ed25519() {
        Some(key) => (rustls::SignatureScheme::ED25519, key.as_ref().to_vec(), signature.as_bytes().to_vec()),
        None => {
            let der = crate::tls::ecdsa_der(signature.as_bytes()).unwrap();
            (rustls::SignatureScheme::ECDSA_NISTP256_SHA256, key.ecdsa().unwrap().as_ref().to_vec(), der)
        }
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms.mapping;
    let (_, algorithms) = known.iter().find(|(known, _)| *known == scheme).unwrap();
    algorithms.iter().any(|algorithm| algorithm.verify_signature(&public, bytes, &signature).is_ok())
}

#[test]
fn nothing_is_overwritten() {
    let (dir, keys) = house();
    let again = Keys::create(dir.path(), &passphrase(), &SeededEntropy::new(9));
    assert!(matches!(again, Err(KeysError::File(FileError::Exists { .. }))), "{again:?}");
    assert_eq!(open(&dir).unwrap().all_public(), keys.all_public());
}

#[test]
fn a_folder_from_before_the_front_ca_gets_one_and_a_lost_one_is_not_replaced() {
    let (dir, keys) = house();
    let path = dir.path().join(FOLDER).join(FRONT_CA);
    let add = |passphrase: &str, seed| {
        Keys::add_missing(dir.path(), &Passphrase::new(passphrase).unwrap(), &SeededEntropy::new(seed))
    };
    let right = "correct horse battery staple";
    assert!(!add(right, 7).unwrap());

    std::fs::remove_file(&path).unwrap();
    let error = add(right, 7).unwrap_err();
    assert!(matches!(error, KeysError::Gone { .. }) && error.to_string().contains("front-ca.pub"), "{error}");
    assert!(!path.exists());

    std::fs::remove_file(path.with_extension("pub")).unwrap();
    assert!(matches!(add("another passphrase", 7), Err(KeysError::WrongPassphrase(_))));
    assert!(!path.exists(), "a key that nothing opens is not left behind");
    assert!(matches!(open(&dir), Err(KeysError::File(_))));
    assert!(add(right, 7).unwrap());
    let opened = open(&dir).unwrap();
    assert_eq!(opened.host_ca().fingerprint(), keys.host_ca().fingerprint());
    assert_ne!(opened.front_ca().fingerprint(), keys.front_ca().fingerprint());
}

#[test]
fn another_passphrase_opens_nothing() {
    let (dir, _) = house();
    let error = Keys::open(dir.path(), &Passphrase::new("correct horse battery stapler").unwrap()).unwrap_err();
    assert!(matches!(error, KeysError::WrongPassphrase(_)), "{error:?}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (dir, _) = house();
    let path = dir.path().join(FOLDER).join(HOST_CA);
    for mode in [0o640, 0o604] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(open(&dir), Err(KeysError::File(FileError::Open { .. }))), "{mode:o}");
    }
}

#[test]
fn a_key_that_lies_open_is_refused() {
    let (dir, _) = house();
    let path = dir.path().join(FOLDER).join(USER_CA);
    keygen(&["-q", "-p", "-P", "correct horse battery staple", "-N", ""], &path);
    assert!(matches!(open(&dir), Err(KeysError::Unsealed(_))));
}

#[test]
fn keys_of_ssh_keygen_serve_as_well() {
    let (dir, _) = house();
    let folder = dir.path().join(FOLDER);
    replace(&folder.join(USER_CA), &["-t", "ed25519"]);
    replace(&folder.join(HOST_CA), &["-t", "rsa", "-b", "2048"]);
    let keys = open(&dir).unwrap();
    assert!(keys.host_ca().public_key().is_rsa());
    assert_eq!(keys.host_ca().sign(b"x").unwrap().algorithm().as_str(), "rsa-sha2-512");
}

#[test]
fn one_key_in_two_roles_is_refused() {
    let (dir, _) = house();
    let folder = dir.path().join(FOLDER);
    for (first, second) in [(HOST_CA, FRONT_CA), (USER_CA, HOST_CA)] {
        std::fs::copy(folder.join(first), folder.join(second)).unwrap();
        let error = open(&dir).unwrap_err();
        assert!(matches!(&error, KeysError::Same { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{first} and")), "{error}");
    }
}

#[test]
fn what_cannot_do_its_work_is_refused() {
    let (dir, _) = house();
    let folder = dir.path().join(FOLDER);
    let kept = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (user, ledger, tls) = (kept(USER_CA), kept(LEDGER), kept(TLS_ROOT));
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();

    replace(&folder.join(USER_CA), &["-t", "rsa", "-b", "1024"]);
    assert!(matches!(open(&dir), Err(KeysError::Weak { .. })));
    put(USER_CA, &user);
    replace(&folder.join(LEDGER), &["-t", "rsa", "-b", "2048"]);
    assert!(matches!(open(&dir), Err(KeysError::Type { wanted: "ssh-ed25519", .. })));
    put(LEDGER, &ledger);
    replace(&folder.join(TLS_ROOT), &["-t", "ed25519"]);
    assert!(matches!(open(&dir), Err(KeysError::Type { wanted: "ecdsa-sha2-nistp256", .. })));
    put(TLS_ROOT, &tls);
    assert!(open(&dir).is_ok());

    // A public key, a certificate, rubbish, nothing.
    let public = std::fs::read(folder.join("host-ca.pub")).unwrap();
    put("subject.pub", &public);
    Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(folder.join("other"))
        .status()
        .unwrap();
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-I", "x", "-n", "x", "-s"]).arg(folder.join("other")).arg(folder.join("subject.pub"));
    assert!(sign.status().unwrap().success());
    let certificate = std::fs::read(folder.join("subject-cert.pub")).unwrap();
    for bytes in [public.as_slice(), certificate.as_slice(), b"rubbish", b""] {
        put(USER_CA, bytes);
        assert!(matches!(open(&dir), Err(KeysError::Malformed(_))));
    }
    std::fs::remove_file(folder.join(USER_CA)).unwrap();
    assert!(matches!(open(&dir), Err(KeysError::File(FileError::Io { .. }))));
}

#[test]
fn a_file_cannot_ask_for_minutes_of_work() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let (dir, _) = house();
    let path = dir.path().join(FOLDER).join(USER_CA);
    let text = std::fs::read_to_string(&path).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut blob = engine.decode(body).unwrap();
    // Behind "bcrypt": the options' length, the salt's length, sixteen bytes of salt, the rounds.
    let at = blob.windows(6).position(|window| window == b"bcrypt").unwrap() + 6 + 4 + 4 + 16;
    blob[at..at + 4].copy_from_slice(&1_000_000_u32.to_be_bytes());
    let wrapped: Vec<String> =
        engine.encode(blob).as_bytes().chunks(70).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
    let text =
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", wrapped.join("\n"));
    std::fs::write(&path, text).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, KeysError::Rounds { rounds: 1_000_000, .. }), "{error:?}");
}

#[test]
fn no_secret_is_in_what_is_shown() {
    let (_dir, keys) = house();
    let seed = keys.user_ca().ed25519_seed().unwrap();
    let shown = format!("{keys:?} {:?}", passphrase());
    assert!(!shown.contains("horse"));
    assert!(!shown.contains(&hex::encode(*seed)) && !shown.contains(&format!("{:?}", *seed)), "{shown}");
}

#[test]
fn a_passphrase_comes_from_three_places_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key-file");
    std::fs::write(&file, "from the file\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(dir.path().join(Passphrase::CREDENTIAL), "from systemd").unwrap();
    let find = |names: &[&str]| {
        Passphrase::find(|name| {
            let value: OsString = match name {
                Passphrase::VARIABLE => "from the variable".into(),
                Passphrase::FILE_VARIABLE => file.clone().into(),
                _ => dir.path().into(),
            };
            names.contains(&name).then_some(value)
        })
    };
    let is = |text: &str| Passphrase::new(text).unwrap();
    let all = [Passphrase::VARIABLE, Passphrase::FILE_VARIABLE, "CREDENTIALS_DIRECTORY"];
    assert_eq!(find(&all).unwrap(), Some(is("from the variable")));
    assert_eq!(find(&all[1..]).unwrap(), Some(is("from the file")));
    assert_eq!(find(&all[2..]).unwrap(), Some(is("from systemd")));
    assert_eq!(find(&[]).unwrap(), None);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(find(&all[1..]), Err(PassphraseError::File(FileError::Open { .. }))));
}

#[test]
fn a_short_passphrase_seals_nothing() {
    assert!(matches!(Passphrase::new("1234567\n"), Err(PassphraseError::Short { length: 7 })));
    assert_eq!(Passphrase::new("12345678\r\n").unwrap(), Passphrase::new("12345678").unwrap());
}

/// The names of a CA's files.
fn files(dir: &TempDir, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path().join(FOLDER)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

#[test]
fn a_crash_at_any_place_of_a_retirement_loses_no_key_that_signs() {
    let (dir, keys) = house();
    let folder = dir.path().join(FOLDER);
    let new = keys.stage(Authority::User, &SeededEntropy::new(7), NOW).unwrap();
    let old = keys.user_ca();
    // Before the first step: both are there, and the ledger says which signs.
    let again = open(&dir).unwrap();
    assert!(again.of_ca(Authority::User, &old.fingerprint()).is_some());
    assert!(again.of_ca(Authority::User, &new.fingerprint()).is_some());
    // Behind each of the others.
    for done in 1..=3 {
        let copy = tempfile::tempdir().unwrap();
        std::fs::create_dir(copy.path().join(FOLDER)).unwrap();
        for name in files(&dir, "") {
            std::fs::copy(folder.join(&name), copy.path().join(FOLDER).join(&name)).unwrap();
        }
        let folder = copy.path().join(FOLDER);
        std::fs::rename(folder.join("user-ca"), folder.join("user-ca-old")).unwrap();
        if done > 1 {
            std::fs::rename(folder.join("user-ca-next"), folder.join("user-ca")).unwrap();
        }
        if done > 2 {
            std::fs::rename(folder.join("user-ca-next.pub"), folder.join("user-ca.pub")).unwrap();
        }
        assert!(!Keys::add_missing(copy.path(), &passphrase(), &SeededEntropy::new(8)).unwrap());
        let opened = open(&copy).unwrap();
        assert_eq!(opened.user_ca().fingerprint(), new.fingerprint(), "{done}");
        opened.keep(Authority::User, (&new.fingerprint(), None), &BTreeSet::new(), NOW).unwrap();
        assert_eq!(files(&copy, "user-ca"), ["user-ca", "user-ca.pub"], "{done}");
        let told = std::fs::read_to_string(folder.join("user-ca.pub")).unwrap();
        assert!(told.starts_with(&new.public().to_openssh().unwrap()[..60]), "{done}: {told}");
    }
    keys.keep(Authority::User, (&new.fingerprint(), None), &BTreeSet::new(), NOW).unwrap();
    assert_eq!(files(&dir, "user-ca"), ["user-ca", "user-ca.pub"]);
    assert_eq!(open(&dir).unwrap().user_ca().fingerprint(), new.fingerprint());
    assert!(keys.of_ca(Authority::User, &old.fingerprint()).is_none(), "it is out of memory as well");
}

#[test]
fn nothing_is_destroyed_for_a_key_that_is_not_there() {
    let (dir, keys) = house();
    keys.stage(Authority::Host, &SeededEntropy::new(7), NOW).unwrap();
    let there = files(&dir, "host-ca");
    let error = keys.keep(Authority::Host, ("SHA256:another", None), &BTreeSet::new(), NOW).unwrap_err();
    assert!(matches!(&error, KeysError::Lost { .. }) && error.to_string().contains("from your copy"), "{error}");
    assert_eq!(files(&dir, "host-ca"), there);
}

#[test]
fn a_second_key_that_nothing_explains_is_put_aside_and_comes_back() {
    let (dir, keys) = house();
    let none = BTreeSet::new();
    let (old, new) =
        (keys.host_ca().fingerprint(), keys.stage(Authority::Host, &SeededEntropy::new(7), NOW).unwrap().fingerprint());
    let alone = ["host-ca", "host-ca.pub"];
    // An older ledger, at the next start, twice: and then a key of another attempt, which has the same place.
    for _ in 0..2 {
        open(&dir).unwrap().keep(Authority::Host, (&old, None), &none, NOW).unwrap();
        assert_eq!(files(&dir, "host-ca"), alone);
    }
    let keys = open(&dir).unwrap();
    keys.stage(Authority::Host, &SeededEntropy::new(8), NOW).unwrap();
    // The right one: its key is back, signs, and what lay in its place is aside.
    for _ in 0..2 {
        let keys = open(&dir).unwrap();
        keys.keep(Authority::Host, (&new, Some(&old)), &none, NOW).unwrap();
        assert_eq!(keys.of_ca(Authority::Host, &new).unwrap().fingerprint(), new);
    }
    assert_eq!(std::fs::read_dir(dir.path().join(FOLDER).join(aside::SWEPT)).unwrap().count(), 2);
    // What a fact says is gone does not stay anywhere.
    let gone = BTreeSet::from([new.clone()]);
    open(&dir).unwrap().keep(Authority::Host, (&old, None), &gone, NOW).unwrap();
    assert_eq!(files(&dir, "host-ca"), alone);
    let error = open(&dir).unwrap().keep(Authority::Host, (&new, None), &none, NOW).unwrap_err();
    assert!(matches!(error, KeysError::Lost { .. }), "{error}");
}
