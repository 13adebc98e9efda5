//! A key of P-256 whose scalar is shorter than the field: about one in 512 of those that ssh-keygen makes.
//!
//! In a key file the scalar is an `mpint`, and that has no leading zeros (RFC 4251, section 5). The key beside this file
//! came from ssh-keygen, and its scalar is 31 bytes long; it is kept because making another takes hundreds of tries.
//! It is nobody's.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use model::Span;
use portcullis_identity::agent::Agent;
use portcullis_identity::{FileKey, Proof, SignError, Signer};
use ssh_key::PrivateKey;
use zeroize::Zeroizing;

use crate::support::{AgentProcess, Keys, run, statement};

/// The key file's text.
pub(crate) const KEY: &str = include_str!("short_scalar");

/// As its owner has it.
fn file(keys: &Keys) -> PathBuf {
    let path = keys.dir.path().join("short");
    std::fs::write(&path, KEY).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn its_file_is_read_and_signs() {
    let keys = Keys::new();
    let key = FileKey::load(&file(&keys), || None).unwrap();
    let proof = Proof::verify(&key.sign(&statement()).unwrap(), &statement()).unwrap();
    assert_eq!(proof.key(), key.public_key());
}

#[test]
fn its_sealed_file_is_opened_with_its_passphrase_and_with_no_other() {
    let keys = Keys::new();
    let path = file(&keys);
    run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "correct horse", "-f"]).arg(&path));
    let load = |text: &str| FileKey::load(&path, || Some(Zeroizing::new(text.to_owned())));
    let key = load("correct horse").unwrap();
    assert!(Proof::verify(&key.sign(&statement()).unwrap(), &statement()).is_ok());
    assert!(matches!(load("wrong horse"), Err(SignError::WrongPassphrase(_))));
}

#[tokio::test]
async fn a_real_agent_takes_it_from_us() {
    let keys = Keys::new();
    let process = AgentProcess::start(keys.dir.path());
    let agent = Agent::at(&process.socket);
    let key = PrivateKey::from_openssh(KEY).unwrap();
    agent.connect().await.unwrap().add(&key, None, "short", Some(Span::from_minutes(5))).await.unwrap();
    let signer = Signer::Agent { agent, key: key.public_key().key_data().clone() };
    assert!(Proof::verify(&signer.sign(&statement()).await.unwrap(), &statement()).is_ok());
}
