//! The proxy's own host key, replaced while it runs.

use std::process::Stdio;

use portcullis_proxy::ControlError;
use ssh_key::{HashAlg, PrivateKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authority::{new_key, random};
use crate::client::{WAYS, Way, finish, shown, text, until};
use crate::world::{HOUR, Person, World};

const MIB: usize = 1 << 20;

fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

/// The host keys that the proxy shows to somebody who runs a command: one, and behind `-J` one more.
async fn keys_shown(alice: &Person, way: Way) -> Vec<String> {
    let output = finish(alice.ssh(way, "root", "web1", &["-v"]).arg("echo in")).await;
    assert_eq!(text(&output.stdout), "in\n", "{way:?}: {}", shown(&output));
    let said = text(&output.stderr);
    let lines = said.lines().filter_map(|line| line.split_once("Server host certificate: "));
    let keys = lines.filter_map(|(_, rest)| rest.split([' ', ',']).find(|word| word.starts_with("SHA256:")));
    keys.map(str::to_owned).collect()
}

/// Sends as much through `cat` as takes several key exchanges, and holds what comes back against it.
async fn exchange(stdin: &mut tokio::process::ChildStdin, stdout: &mut tokio::process::ChildStdout) {
    let mut block = vec![0; 4 * MIB];
    random(&mut block);
    let mut back = vec![0; block.len()];
    let (sent, received) = tokio::join!(stdin.write_all(&block), stdout.read_exact(&mut back));
    sent.unwrap();
    received.unwrap();
    assert!(block == back, "something else came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_is_shown_another_key_and_the_live_go_on() {
    for way in WAYS {
        let world = World::new().await;
        world.authority.grant("alice", "root", "web1", HOUR);
        let alice = world.person("alice");
        let old = keys_shown(&alice, way).await;
        assert_eq!(old.len(), if way == Way::Plus { 1 } else { 2 }, "{old:?}");

        let often = ["-o", "RekeyLimit=1M"];
        let mut live = alice.ssh(way, "root", "web1", &often).arg("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (live.stdin.take().unwrap(), live.stdout.take().unwrap());
        exchange(&mut stdin, &mut stdout).await;

        let key = new_key();
        world.host_key.replace(key.clone()).await.unwrap();
        let new = keys_shown(&alice, way).await;
        assert!(new.len() == old.len() && new.iter().all(|shown| *shown == fingerprint(&key)), "{old:?} {new:?}");

        // A key exchange in which another host key was shown would end it.
        exchange(&mut stdin, &mut stdout).await;
        drop(stdin);
        assert!(live.wait().await.unwrap().success(), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_ca_has_not_certified_is_shown_to_nobody() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let alice = world.person("alice");
    let old = keys_shown(&alice, Way::Plus).await;
    let key = new_key();
    world.authority.set_dead(true);
    assert!(matches!(world.host_key.replace(key.clone()).await, Err(ControlError::Unavailable(_))));
    world.authority.set_dead(false);
    until("the feed is back", || world.authority.status().is_some()).await;
    assert_eq!(keys_shown(&alice, Way::Plus).await, old);
    world.host_key.replace(key.clone()).await.unwrap();
    assert_eq!(keys_shown(&alice, Way::Plus).await, [fingerprint(&key)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_hears_how_the_proxy_does() {
    let world = World::new().await;
    let said = || world.authority.status();
    until("it says how old its feed is", || said().is_some_and(|status| status.feed_age.is_some())).await;
    let status = said().unwrap();
    assert!(status.feed_age < Some(status.feed_limit) && status.host_key.starts_with("SHA256:"), "{status:?}");

    world.host_key.refused("it can be read by others".to_owned());
    until("it says that a key is refused", || said().is_some_and(|status| status.host_key_error.is_some())).await;
    let refused = said().unwrap();
    assert!(refused.host_key == status.host_key && refused.host_key_refused.is_some(), "{refused:?}");

    let key = new_key();
    world.host_key.replace(key.clone()).await.unwrap();
    until("it says which key it shows", || said().is_some_and(|status| status.host_key == fingerprint(&key))).await;
    assert_eq!(said().unwrap().host_key_error, None);
}
