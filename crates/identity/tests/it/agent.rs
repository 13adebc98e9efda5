use std::process::Command;

use model::Span;
use portcullis_identity::agent::{Agent, AgentError, HeldKey};
use portcullis_identity::{Demand, Proof, Signer, parse_certificate, parse_public_key};
use ssh_key::PrivateKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::support::{AgentProcess, Keys, SK_DUMMY, need_security_key, private, run, statement};

fn read_public(path: &std::path::Path) -> ssh_key::public::KeyData {
    parse_public_key(&std::fs::read_to_string(path.with_extension("pub")).unwrap()).unwrap().key_data().clone()
}

#[tokio::test]
async fn a_real_agent_signs_statements() {
    let keys = Keys::new();
    let process = AgentProcess::start(keys.dir.path());
    let agent = Agent::at(&process.socket);
    assert!(agent.connect().await.unwrap().list().await.unwrap().is_empty());
    for (name, arguments) in [
        ("ed25519", ["-t", "ed25519", "-b", "256"]),
        ("ecdsa", ["-t", "ecdsa", "-b", "384"]),
        ("rsa", ["-t", "rsa", "-b", "2048"]),
    ] {
        let path = keys.make(name, &arguments);
        process.add(&path);
        let key = read_public(&path);
        let held = agent.connect().await.unwrap().list().await.unwrap();
        assert!(held.iter().any(|held| held.key == HeldKey::Plain(key.clone()) && held.comment == name), "{name}");
        let signer = Signer::Agent { agent: agent.clone(), key };
        let proof = Proof::verify(&signer.sign(&statement()).await.unwrap(), &statement()).unwrap();
        assert_eq!(proof.key(), signer.public_key(), "{name}");
    }
    let stranger = Signer::Agent { agent, key: crate::support::public(3).key_data().clone() };
    let refused = stranger.sign(&statement()).await.unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("refused to sign"), "{refused:?}");
}

#[tokio::test]
async fn a_security_key_signs_through_the_agent_and_its_touch_counts() {
    need_security_key();
    let keys = Keys::new();
    let process = AgentProcess::start(keys.dir.path());
    for kind in ["ed25519-sk", "ecdsa-sk"] {
        let path = keys.make(kind, &["-t", kind, "-w", SK_DUMMY]);
        process.add(&path);
        let signer = Signer::Agent { agent: Agent::at(&process.socket), key: read_public(&path) };
        let proof = Proof::verify(&signer.sign(&statement()).await.unwrap(), &statement()).unwrap();
        assert_eq!(proof.meets(Demand { touch: true, verification: false }), Ok(()), "{kind}");
    }
}

/// A certificate by ssh-keygen for a key file, and both.
fn certified(keys: &Keys, name: &str, arguments: &[&str]) -> (PrivateKey, ssh_key::Certificate) {
    let ca = keys.make(&format!("{name}-ca"), &["-t", "ed25519"]);
    let path = keys.make(name, arguments);
    let mut command = Command::new("ssh-keygen");
    run(command
        .args(["-q", "-s"])
        .arg(ca)
        .args(["-I", "id", "-n", "alice", "-V", "+1h"])
        .arg(path.with_extension("pub")));
    let certificate = keys.dir.path().join(format!("{name}-cert.pub"));
    let certificate = parse_certificate(&std::fs::read_to_string(certificate).unwrap()).unwrap();
    (PrivateKey::read_openssh_file(&path).unwrap(), certificate)
}

#[tokio::test]
async fn certificates_are_added_with_their_keys_and_taken_back() {
    let keys = Keys::new();
    let process = AgentProcess::start(keys.dir.path());
    let agent = Agent::at(&process.socket);
    for (name, arguments) in [
        ("ed", vec!["-t", "ed25519"]),
        ("ec", vec!["-t", "ecdsa", "-b", "521"]),
        ("rsa", vec!["-t", "rsa", "-b", "2048"]),
    ] {
        let (key, certificate) = certified(&keys, name, &arguments);
        let mut connection = agent.connect().await.unwrap();
        connection.add(&key, Some(&certificate), "portcullis alice", Some(Span::from_minutes(5))).await.unwrap();
        let held = connection.list().await.unwrap();
        let ours = held.iter().find(|held| held.comment == "portcullis alice").unwrap();
        assert_eq!(ours.key.key(), key.public_key().key_data(), "{name}");
        let HeldKey::Certificate(found) = &ours.key else { panic!("{name} is no certificate") };
        assert_eq!(found.to_bytes().unwrap(), certificate.to_bytes().unwrap());
        assert!(process.list().contains("-cert-v01@openssh.com"), "{name}");
        connection.remove(&ours.key).await.unwrap();
        assert!(connection.list().await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_key_leaves_the_agent_when_its_time_is_up() {
    let keys = Keys::new();
    let process = AgentProcess::start(keys.dir.path());
    let mut connection = Agent::at(&process.socket).connect().await.unwrap();
    connection.add(&private(1), None, "short", Some(Span::from_seconds(1))).await.unwrap();
    assert_eq!(connection.list().await.unwrap().len(), 1);
    let gone = async {
        while !connection.list().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("the lifetime was not kept");
}

#[tokio::test]
async fn a_missing_agent_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let error = Agent::at(dir.path().join("none")).connect().await.unwrap_err();
    assert!(matches!(&error, AgentError::Connect { path, .. } if path.ends_with("none")), "{error:?}");
}

/// An agent that gives one answer to everything.
async fn answering(answer: Vec<u8>) -> AgentError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u32().await.unwrap();
        let mut question = vec![0; length as usize];
        stream.read_exact(&mut question).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    let error = Agent::at(path).connect().await.unwrap().list().await.unwrap_err();
    server.await.unwrap();
    error
}

#[tokio::test]
async fn hostile_answers_are_bounded() {
    assert!(matches!(answering(vec![0xff; 4]).await, AgentError::Malformed));
    assert!(matches!(answering(vec![0, 0, 0, 0]).await, AgentError::Malformed));
    assert!(matches!(answering(vec![0, 0, 0, 1, 5]).await, AgentError::Refused(_)));
    assert!(matches!(answering(vec![0, 0, 0, 9, 12]).await, AgentError::Io(_)));
    // Four thousand million keys, and none behind the number.
    assert!(matches!(answering(vec![0, 0, 0, 5, 12, 0xff, 0xff, 0xff, 0xff]).await, AgentError::Malformed));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_is_given_up() {
    let (_kept, stream) = {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let stream = Agent::at(&path).connect().await.unwrap();
        (listener, stream)
    };
    let mut stream = stream;
    assert!(matches!(stream.list().await, Err(AgentError::Late(_))));
}
