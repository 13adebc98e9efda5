//! Plain keys: nothing but stock ssh and a key that the directory knows.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::Span;
use ssh_key::PublicKey;

use crate::authority::new_key;
use crate::client::{WAYS, Way, finish, place, run, shown, text, until};
use crate::fronts::Guest;
use crate::world::{HOUR, Person, World};

/// The software security key of Debian's package openssh-tests.
const SK_DUMMY: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// Runs a command on root@web1, with settings more.
async fn enter(person: &Person, way: Way, settings: &str) -> Output {
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-F").arg(person.config(settings)).arg(place(way, "root", "web1")).arg("echo in");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    finish(&mut command).await
}

/// A person whose plain key ssh-keygen makes.
async fn with_key(world: &World, name: &str, arguments: &[&str]) -> Person {
    let key = world.folder.path().join(name);
    let key_file = key.to_str().unwrap();
    let made = run("ssh-keygen", ["-q", "-N", "", "-C", name, "-f", key_file].iter().chain(arguments)).await;
    assert!(made.status.success(), "{}", shown(&made));
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    world.authority.register("alice", &PublicKey::from_openssh(&public).unwrap());
    Person { key, port: world.port, folder: world.folder.path().to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_key_opens_a_session_both_ways_and_nothing_is_left_of_it() {
    let world = World::new().await;
    let alice = world.plain("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let output = alice.run(way, "root@web1", "echo in; exit 3").await;
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            ("in\n".into(), Some(3)),
            "{way:?} {}",
            shown(&output)
        );
    }
    until("the passes are given back", || world.authority.passes() == 0).await;
    assert_eq!(world.authority.looked_up(), 3, "one for each connection; behind the jump host there are two");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_open_sessions() {
    assert!(std::path::Path::new(SK_DUMMY).exists(), "{SK_DUMMY} is not there: run cargo xtask setup");
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let provider = format!("SecurityKeyProvider {SK_DUMMY}");
    for (name, arguments, setting) in [
        ("ed25519", &["-t", "ed25519"][..], ""),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"], ""),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"], ""),
        ("rsa512", &["-t", "rsa", "-b", "2048"], "PubkeyAcceptedAlgorithms rsa-sha2-512"),
        ("rsa256", &["-t", "rsa", "-b", "3072"], "PubkeyAcceptedAlgorithms rsa-sha2-256"),
        ("ed25519-sk", &["-t", "ed25519-sk", "-w", SK_DUMMY], provider.as_str()),
        ("ecdsa-sk", &["-t", "ecdsa-sk", "-w", SK_DUMMY], provider.as_str()),
    ] {
        let alice = with_key(&world, name, arguments).await;
        let output = enter(&alice, Way::Plus, setting).await;
        assert_eq!(text(&output.stdout), "in\n", "{name}: {}", shown(&output));
    }
    // One that signs by itself, SHA-1, and keys that are too short.
    let asked = world.authority.looked_up();
    let lax = ["-t", "ed25519-sk", "-w", SK_DUMMY, "-O", "no-touch-required"];
    let alice = with_key(&world, "lax", &lax).await;
    let output = enter(&alice, Way::Plus, &format!("{provider}\n  LogLevel INFO")).await;
    assert!(text(&output.stderr).contains("your security key was not touched"), "{}", shown(&output));
    let alice = with_key(&world, "sha1", &["-t", "rsa", "-b", "2048"]).await;
    assert_eq!(enter(&alice, Way::Plus, "PubkeyAcceptedAlgorithms ssh-rsa").await.status.code(), Some(255));
    let alice = with_key(&world, "short", &["-t", "rsa", "-b", "1024"]).await;
    assert_eq!(enter(&alice, Way::Plus, "RequiredRSASize 1024").await.status.code(), Some(255));
    assert_eq!(world.authority.looked_up(), asked, "the CA is not even asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_advice_and_the_right_key_behind_wrong_ones_gets_in() {
    let world = World::new().await;
    world.authority.grant("alice", "root", "web1", HOUR);
    let (alice, stranger) = (world.plain("alice"), world.person("mallory"));
    std::fs::remove_file(format!("{}-cert.pub", stranger.key.display())).unwrap();
    let output = enter(&stranger, Way::Plus, "LogLevel INFO").await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{said}");
    assert!(said.contains("by a key that is registered") && said.contains("Permission denied"), "{said}");
    // ssh offers one after the other, as it does with an agent that has many.
    let both = format!("IdentityFile {}", alice.key.display());
    for way in WAYS {
        let output = enter(&stranger, way, &both).await;
        assert_eq!(text(&output.stdout), "in\n", "{way:?} {}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_a_plain_key_is_told_what_to_do() {
    let world = World::new().await;
    let alice = world.plain("alice");
    for way in WAYS {
        let output = alice.run(way, "root@web1", "true").await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(255), "{said}");
        assert!(said.starts_with("portcullis: no active grant for root@web1\n"), "{said}");
        assert!(said.contains("run portcullis request root@web1 --for 30m"), "{said}");
    }
    until("the passes are given back", || world.authority.passes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_one_person_with_plain_keys_too() {
    let world = World::new().await;
    let (alice, bob) = (world.plain("alice"), world.plain("bob"));
    world.authority.grant("bob", "root", "web1", HOUR);
    let jump = format!("ssh -F {} -W %h:%p proxy", alice.config("").display());
    let options = ["-o", "ProxyJump=none", "-o", &format!("ProxyCommand={jump}")];
    let output = finish(bob.ssh(Way::Jump, "root", "web1", &options).arg("true")).await;
    assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
    assert_eq!(world.authority.asked(), 0);
    // A certificate outside and a plain key inside, both of one person's, are one person.
    let certified = world.person("bob");
    let jump = format!("ssh -F {} -W %h:%p proxy", certified.config("").display());
    let options = ["-o", "ProxyJump=none", "-o", &format!("ProxyCommand={jump}")];
    let output = finish(bob.ssh(Way::Jump, "root", "web1", &options).arg("true")).await;
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_does_not_answer_is_not_waited_for_and_a_late_pass_is_given_back() {
    let world = World::with(|config| config.ca_timeout = Span::from_seconds(1)).await;
    let alice = world.plain("alice");
    world.authority.set_dead(true);
    let output = enter(&alice, Way::Plus, "LogLevel INFO").await;
    assert!(text(&output.stderr).contains("whose key this is cannot be found out now"), "{}", shown(&output));
    world.authority.set_dead(false);
    world.authority.set_slow(Duration::from_secs(3));
    let output = enter(&alice, Way::Plus, "LogLevel INFO").await;
    assert!(text(&output.stderr).contains("no answer within 1s"), "{}", shown(&output));
    let asked = world.authority.looked_up();
    until("the late pass is given back", || world.authority.passes() == 0 && world.authority.looked_up() == asked)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_keys_are_not_looked_at() {
    let world = World::new().await;
    // A client of our own, which goes on until it is shown out; four such connections, the rest is more of the same.
    for _ in 0..4 {
        let mut client = russh::client::connect(Arc::default(), ("127.0.0.1", world.port), Guest).await.unwrap();
        let mut offered = 0;
        while offered < 10_000 {
            let key = russh::keys::PrivateKeyWithHashAlg::new(Arc::new(new_key()), None);
            match client.authenticate_publickey("root+web1", key).await {
                Ok(answer) => assert!(!answer.success()),
                Err(_) => break,
            }
            offered += 1;
        }
        assert!(offered <= 51, "{offered}");
    }
    assert!(world.authority.looked_up() <= 4 * 50);
    assert_eq!(world.authority.passes(), 0);
    // The others are let in meanwhile.
    let alice = world.plain("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    assert!(alice.run(Way::Plus, "root@web1", "true").await.status.success());
}
