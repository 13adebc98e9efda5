//! People without a session, and clients that no stock program is.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::wire::SessionReport;
use model::SessionEnd;
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, client};
use ssh_key::{Certificate, PrivateKey};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::client::{Way, shown, text};
use crate::world::{HOUR, Person, World};

const SOON: Duration = Duration::from_secs(20);

/// Logs in at the front and asks for nothing.
fn linger(person: &Person) -> Child {
    let mut command = Command::new("ssh");
    command.arg("-F").arg(person.config("")).args(["-v", "-N", "proxy"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

async fn logged_in(child: &mut Child) -> tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStderr>> {
    use tokio::io::AsyncBufReadExt;
    let mut lines = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Authenticated to") {
                return;
            }
        }
        panic!("not logged in");
    };
    timeout(SOON, reading).await.unwrap();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_a_connection_without_a_session() {
    for subject in ["identity:alice", "everything"] {
        let world = World::new().await;
        let mut alice = linger(&world.person("alice"));
        let mut bob = linger(&world.person("bob"));
        let _lines = (logged_in(&mut alice).await, logged_in(&mut bob).await);
        world.authority.place_lock(subject);
        timeout(SOON, alice.wait()).await.expect("alice is out").unwrap();
        if subject == "everything" {
            timeout(SOON, bob.wait()).await.expect("bob is out").unwrap();
        } else {
            assert!(bob.try_wait().unwrap().is_none(), "bob stays");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_session_ends_with_the_grant_of_its_certificate() {
    for lock in [false, true] {
        let world = World::new().await;
        let grants = ["alice", "bob"].map(|name| world.authority.grant(name, "root", "web1", HOUR).id);
        let mut alice = linger(&world.person_under("alice", &grants[0]));
        let mut bob = linger(&world.person_under("bob", &grants[1]));
        let _lines = (logged_in(&mut alice).await, logged_in(&mut bob).await);
        if lock {
            world.authority.place_lock(&format!("grant:{}", grants[0]));
        } else {
            world.authority.end_grant(&grants[0], model::GrantEnd::Expired, "alice");
        }
        timeout(SOON, alice.wait()).await.expect("alice is out").unwrap();
        assert!(bob.try_wait().unwrap().is_none(), "bob stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_gone_in_time_whatever_they_open() {
    let world = World::new().await;
    // There is no grant: nobody is let in, and everybody is told on each channel that they open.
    let guest = stranger(&world).await;
    let began = std::time::Instant::now();
    let opening = async {
        while let Ok(channel) = guest.channel_open_session().await {
            let _ = channel.exec(true, "true").await;
            // Sooner than the time in which somebody who was told must hang up.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_secs(60), opening).await.expect("they are thrown out");
    let stayed = began.elapsed();
    assert!(stayed < Duration::from_secs(45), "{stayed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_session_ends_with_its_certificate() {
    let world = World::new().await;
    let mut alice = linger(&world.person_for("alice", Duration::from_secs(4)));
    let _lines = logged_in(&mut alice).await;
    timeout(SOON, alice.wait()).await.expect("alice is out").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_breaks_at_one_fact_lets_nobody_in() {
    let world = World::with(|config| config.feed_freshness = model::Span::from_minutes(60)).await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let output = alice.run(Way::Plus, "root@web1", "echo in").await;
    assert_eq!(text(&output.stdout), "in\n", "{}", shown(&output));
    world.authority.set_mute(true);
    let refused = async {
        loop {
            let output = alice.run(Way::Plus, "root@web1", "echo in").await;
            if text(&output.stderr).contains("again and again") {
                return output;
            }
        }
    };
    let output = timeout(SOON, refused).await.expect("nobody gets in any more");
    assert_eq!(text(&output.stdout), "");
}

pub struct Guest;

impl client::Handler for Guest {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// A session of a client of our own, which keeps to no custom.
pub async fn guest(world: &World) -> client::Handle<Guest> {
    world.authority.grant("alice", "root", "web1", HOUR);
    stranger(world).await
}

/// The same client, with whatever grants there are.
pub async fn stranger(world: &World) -> client::Handle<Guest> {
    let alice = world.person("alice");
    let key = PrivateKey::read_openssh_file(&alice.key).unwrap();
    let certificate = format!("{}-cert.pub", alice.key.display());
    let certificate = Certificate::from_openssh(&std::fs::read_to_string(certificate).unwrap()).unwrap();
    let config = Arc::new(client::Config::default());
    let mut guest = client::connect(config, ("127.0.0.1", world.port), Guest).await.unwrap();
    let answer = guest.authenticate_openssh_cert("root+web1", Arc::new(key), certificate).await.unwrap();
    assert!(answer.success());
    guest
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_before_something_was_asked_for() {
    let world = World::new().await;
    let guest = guest(&world).await;
    let mut channel = guest.channel_open_session().await.unwrap();
    channel.data_bytes(&b"early\n"[..]).await.unwrap();
    let mut said = Vec::new();
    let reading = async {
        while let Some(msg) = channel.wait().await {
            if let ChannelMsg::ExtendedData { data, .. } = msg {
                said.extend_from_slice(&data);
            }
        }
    };
    timeout(SOON, reading).await.expect("the channel is closed");
    assert!(text(&said).contains("before a shell"), "{}", text(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_counted() {
    let world = World::new().await;
    let guest = guest(&world).await;
    let channel = guest.channel_open_session().await.unwrap();
    for _ in 0..200 {
        channel.agent_forward(false).await.unwrap();
    }
    let mut channel = channel;
    channel.exec(true, "true").await.unwrap();
    let reading = async { while channel.wait().await.is_some() {} };
    timeout(SOON, reading).await.expect("the command ends");
    guest.disconnect(russh::Disconnect::ByApplication, "", "").await.unwrap();
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Client), "{end:?}");
    let asked: Vec<String> = world
        .authority
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            SessionReport::ChannelRefused { asked, .. } => Some(asked),
            _ => None,
        })
        .collect();
    let more: usize = asked.last().unwrap().strip_suffix(" more").expect("the rest is counted").parse().unwrap();
    assert!(asked.len() <= 40, "{} facts", asked.len());
    assert_eq!(asked.len() - 1 + more, 200, "every one is listed or counted");
}
