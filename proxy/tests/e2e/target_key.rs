//! Targets that know no certificates: the CA signs the log-in, or the session ends with words that say why not.

use std::fs;

use api::wire::SessionReport;
use model::{SessionEnd, Span};
use ssh_key::PrivateKey;

use crate::authority::{Signs, new_key};
use crate::client::{WAYS, Way, shown, text};
use crate::sshd::{Proof, Sshd, write};
use crate::world::{HOUR, Person, World};

/// A world with a server that lets in whoever holds this key, and shows a bare host key; alice may go there.
async fn keyed(key: &PrivateKey, signs: Signs) -> (World, Person, Sshd) {
    let world = World::with(|config| config.ca_timeout = Span::from_seconds(1)).await;
    let alice = world.person("alice");
    let folder = world.folder.path().join("keys");
    fs::create_dir(&folder).unwrap();
    write(&folder.join("root"), &key.public_key().to_openssh().unwrap(), 0o600);
    // What stands first counts, but for what a Match says.
    let more = format!("Match all\nAuthorizedKeysFile {}/%u\n", folder.display());
    let sshd = Sshd::start(world.folder.path(), &world.authority, Proof::Key, "web9", &more).await;
    let pinned = sshd.host_key.public_key().to_openssh().unwrap();
    world.authority.add_target("web9", &[format!("127.0.0.1:{}", sshd.port)], &[pinned]);
    world.authority.grant("alice", "root", "web9", HOUR);
    world.authority.hold_key("web9", key, signs);
    (world, alice, sshd)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cas_signature_opens_what_no_certificate_does() {
    let key = new_key();
    let (_world, alice, _sshd) = keyed(&key, Signs::Rightly).await;
    for way in WAYS {
        let output = alice.run(way, "root@web9", "echo out; exit 7").await;
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(7), "out\n"),
            "{way:?} {}",
            shown(&output)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ca_does_not_sign_is_said_and_told() {
    for (signs, words) in [
        (Signs::Otherwise, ["web9 does not accept its target key for root", "portcullis target key web9"]),
        (Signs::Never, ["the log-in to web9 is not signed: the key is away", "bring it back"]),
        (Signs::Late, ["the CA cannot be asked: no answer within 1 s", "try again"]),
    ] {
        let (world, alice, _sshd) = keyed(&new_key(), signs).await;
        let output = alice.run(Way::Plus, "root@web9", "echo in").await;
        let said = text(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)) && output.stdout.is_empty(), "{}", shown(&output));
        let ended = |report: &SessionReport| match report {
            SessionReport::Ended { end: SessionEnd::Target { error: Some(error) }, .. } => Some(error.clone()),
            _ => None,
        };
        let error = world.authority.wait_for("the end", ended).await;
        assert!(error.contains(words[0]), "{error}");
    }
}

/// The probe of a key that the target does not know costs no signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_know_the_key_is_not_signed_for() {
    let (world, alice, _sshd) = keyed(&new_key(), Signs::Rightly).await;
    // The CA would say no, and is not asked.
    world.authority.hold_key("web9", &new_key(), Signs::Never);
    let output = alice.run(Way::Jump, "root@web9", "echo in").await;
    let said = text(&output.stderr);
    assert!(said.contains("is it in the authorized_keys of root there?"), "{}", shown(&output));
}

/// Whatever the CA's answer says: a target that shows no certificate must be known by its key.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_target_without_a_pinned_key() {
    let (world, alice, sshd) = keyed(&new_key(), Signs::Rightly).await;
    world.authority.add_target("web9", &[format!("127.0.0.1:{}", sshd.port)], &[]);
    let output = alice.run(Way::Plus, "root@web9", "echo in").await;
    assert!(text(&output.stderr).contains("pins no host key for web9"), "{}", shown(&output));
}
