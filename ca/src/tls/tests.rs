use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rustls::{ClientConfig, ClientConnection, ServerConnection, Stream};
use store::{Clock, SeededEntropy, SystemClock};
use tempfile::TempDir;

use super::*;
use crate::keys::Passphrase;

fn house(seed: u64) -> (TempDir, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::new("correct horse").unwrap();
    let keys = Keys::create(dir.path(), &passphrase, &SeededEntropy::new(seed)).unwrap();
    Tls::create_root(dir.path(), &keys, SystemClock.now()).unwrap();
    (dir, keys)
}

fn names() -> Vec<String> {
    ["ca.example.org", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

/// One greeting from a client that has pinned `root`.
fn greet(tls: &Tls, root: &str, name: &str) -> Result<(), String> {
    let (near, far) = UnixStream::pair().unwrap();
    let server = Arc::new(tls.server_config().unwrap());
    let serving = std::thread::spawn(move || {
        let mut far = far;
        let mut connection = ServerConnection::new(server).unwrap();
        let mut stream = Stream::new(&mut connection, &mut far);
        let mut byte = [0];
        // What goes wrong here is the client's to tell.
        let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte));
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::clone(&tls.provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut near = near;
    let mut stream = Stream::new(&mut connection, &mut near);
    let mut echo = [0];
    let done = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut echo)).map_err(|error| error.to_string());
    drop(near);
    serving.join().unwrap();
    done.map(|()| assert_eq!(echo, *b"x"))
}

#[test]
fn a_client_that_pinned_the_root_is_served_and_no_other() {
    let (dir, keys) = house(1);
    let tls = Tls::open(dir.path(), &keys, &names(), SystemClock.now()).unwrap();
    for name in names() {
        assert_eq!(greet(&tls, tls.root_pem(), &name), Ok(()), "{name}");
    }
    let wrong_name = greet(&tls, tls.root_pem(), "evil.example.org").unwrap_err();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    let (other, _) = house(2);
    let root = std::fs::read_to_string(other.path().join(ROOT_FILE)).unwrap();
    assert!(greet(&tls, &root, "ca.example.org").is_err());
}

#[test]
fn a_new_start_makes_a_new_leaf_under_the_same_root() {
    let (dir, keys) = house(1);
    let first = Tls::open(dir.path(), &keys, &names(), SystemClock.now()).unwrap();
    let second = Tls::open(dir.path(), &keys, &names(), SystemClock.now()).unwrap();
    let leaf = |tls: &Tls| tls.leaf.0.read().unwrap().cert[0].clone();
    assert_ne!(leaf(&first), leaf(&second));
    assert_eq!(greet(&second, first.root_pem(), "ca.example.org"), Ok(()));
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "no leaf on the disk: {files:?}");
}

#[test]
fn a_leaf_is_renewed_in_time_and_the_root_stays() {
    let (dir, keys) = house(1);
    let now = SystemClock.now();
    // Opened twenty days ago, so that it is due now.
    let then = now.minus(Span::from_hours(20 * 24));
    let tls = Tls::open(dir.path(), &keys, &names(), then).unwrap();
    let end = tls.expires();
    assert!(!tls.renew(&keys, then).unwrap());
    assert!(!tls.renew(&keys, now.minus(Span::from_seconds(1))).unwrap());
    assert_eq!(tls.expires(), end);
    assert!(tls.renew(&keys, now).unwrap());
    assert_eq!(tls.expires(), now.plus(LEAF_LIFE));
    assert_eq!(greet(&tls, tls.root_pem(), "ca.example.org"), Ok(()));
}

#[test]
fn a_root_of_other_keys_is_refused() {
    let (dir, keys) = house(1);
    let (other, _) = house(2);
    std::fs::copy(other.path().join(ROOT_FILE), dir.path().join(ROOT_FILE)).unwrap();
    let error = Tls::open(dir.path(), &keys, &names(), SystemClock.now()).unwrap_err();
    assert!(matches!(error, TlsError::Root { .. }), "{error:?}");
}

#[test]
fn what_is_no_name_and_no_root_is_refused() {
    let (dir, keys) = house(1);
    let open = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Tls::open(dir.path(), &keys, &names, SystemClock.now()).unwrap_err()
    };
    assert!(matches!(open(&[]), TlsError::NoName));
    for name in ["", "a b", "*", "https://ca"] {
        assert!(matches!(open(&["ca", name]), TlsError::Name { .. }), "{name:?}");
    }
    assert!(matches!(Tls::create_root(dir.path(), &keys, SystemClock.now()), Err(TlsError::File(_))));
    std::fs::write(dir.path().join(ROOT_FILE), "rubbish").unwrap();
    assert!(matches!(open(&["ca"]), TlsError::Malformed(_)));
    std::fs::remove_file(dir.path().join(ROOT_FILE)).unwrap();
    assert!(matches!(open(&["ca"]), TlsError::File(_)));
}
