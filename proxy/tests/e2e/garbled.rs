//! Peers that speak the protocols of files wrongly, or stop taking part.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::wire::SessionReport;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId, ChannelMsg};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::authority::new_key;
use crate::child::Elsewhere;
use crate::client::{Way, shown, text, wait};
use crate::fronts::stranger;
use crate::world::{HOUR, Person, World};

const SOON: Duration = Duration::from_secs(30);
/// How much memory a peer that stalls may cost, in KiB.
const COST: u64 = 32 * 1024;

/// A packet of SFTP: its type, and what follows.
fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[kind], &body].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn init() -> Vec<u8> {
    packet(1, &[&3_u32.to_be_bytes()])
}

/// `ssh -s sftp`, of which the test speaks the protocol.
fn raw(person: &Person) -> tokio::process::Child {
    let mut command = person.ssh(Way::Plus, "root", "web1", &["-s"]);
    command.arg("sftp").stdin(Stdio::piped()).spawn().unwrap()
}

fn refused(report: &SessionReport) -> Option<(String, String)> {
    match report {
        SessionReport::ChannelRefused { asked, reason } => Some((asked.clone(), reason.clone())),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_packet_ends_its_channel_and_says_why() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for (bytes, why) in [
        ([&init()[..], &[0xff; 8]].concat(), "a packet of 4294967295 bytes"),
        ([init(), packet(3, &[&[0, 0]])].concat(), "the packet ends within its id"),
        (b"ls -la\n".to_vec(), "a packet of"),
        (packet(1, &[&2_u32.to_be_bytes()]), "version 2 of the protocol"),
    ] {
        let mut child = raw(&alice);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&bytes).await.unwrap();
        // The channel ends though nobody closes it here.
        let output = wait(child).await;
        drop(stdin);
        assert_eq!(output.status.code(), Some(255), "{why} {}", shown(&output));
        let said = text(&output.stderr);
        assert!(said.contains("portcullis: what the client sent at byte") && said.contains(why), "{said}");
        let told =
            |report: &SessionReport| refused(report).filter(|(asked, reason)| asked == "sftp" && reason.contains(why));
        world.authority.wait_for("the fact", told).await;
    }
}

/// A target whose file transfers say this.
struct Garbler(&'static [u8]);

impl server::Handler for Garbler {
    type Error = russh::Error;

    async fn auth_openssh_certificate(
        &mut self,
        _: &str,
        _: &ssh_key::Certificate,
        _: server::CertificateProof<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        // Kept, or it would be closed.
        tokio::spawn(async move {
            let mut channel = channel;
            while channel.wait().await.is_some() {}
        });
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)?;
        let (handle, says) = (session.handle(), self.0);
        tokio::spawn(async move {
            let _ = handle.data(channel, says).await;
        });
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_garbage_ends_the_channel_and_not_the_session() {
    const VERSION: &[u8] = &[0, 0, 0, 5, 2, 0, 0, 0, 3];
    for (says, why) in [
        (&b"welcome to this target\r\n"[..], "a packet of 2003135587 bytes"),
        (&[0, 0, 0, 5, 2, 0, 0, 0, 9], "version 9 of the protocol"),
        (&[0, 0, 0, 5, 2, 0, 0, 0, 3, 0, 0, 0, 9, 102, 0, 0, 0, 7, 0, 0, 0, 0], "nobody sent"),
        (&[0, 0, 0, 5, 2, 0, 0, 0, 3, 255, 255, 255, 255], "a packet of 4294967295 bytes"),
    ] {
        let world = World::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, key) = (listener.local_addr().unwrap().port(), new_key());
        let pinned = key.public_key().to_openssh().unwrap();
        let config = Arc::new(server::Config { keys: vec![key], ..server::Config::default() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(running) = server::run_stream(config, stream, Garbler(says)).await {
                        let _ = running.await;
                    }
                });
            }
        });
        world.authority.add_target("web1", &[format!("127.0.0.1:{port}")], &[pinned]);
        world.authority.grant("alice", "root", "web1", HOUR);
        let guest = stranger(&world).await;
        for _ in 0..2 {
            let mut channel = guest.channel_open_session().await.unwrap();
            channel.request_subsystem(true, "sftp").await.unwrap();
            channel.data_bytes(init()).await.unwrap();
            let (mut shown, mut said) = (Vec::new(), Vec::new());
            let reading = async {
                while let Some(msg) = channel.wait().await {
                    match msg {
                        ChannelMsg::Data { data } => shown.extend_from_slice(&data),
                        ChannelMsg::ExtendedData { data, .. } => said.extend_from_slice(&data),
                        _ => {}
                    }
                }
            };
            timeout(SOON, reading).await.expect("the channel is closed");
            let said = text(&said);
            assert!(said.contains("what the server sent at byte") && said.contains(why), "{said}");
            assert!(shown.is_empty() || shown == VERSION, "{shown:?}");
        }
        let told = |report: &SessionReport| refused(report).filter(|(_, reason)| reason.contains(why));
        world.authority.wait_for("the fact", told).await;
        assert!(world.authority.ended_sessions().is_empty(), "the session goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_does_not_read_costs_little_memory() {
    let world = Elsewhere::start().await;
    let output = world.alice.run(Way::Plus, "root@web1", "head -c 20000000 /dev/zero").await;
    assert_eq!(output.stdout.len(), 20_000_000, "{}", text(&output.stderr));
    let before = world.memory();
    let mut child = raw(&world.alice);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let open = packet(3, &[&[0, 0, 0, 1], &string(b"/dev/zero"), &[0, 0, 0, 1], &[0; 4]]);
    stdin.write_all(&[init(), open].concat()).await.unwrap();
    // The version, and a handle behind it: its bytes are the last of the packet.
    let mut answer = Vec::new();
    let handle = loop {
        let read = timeout(SOON, stdout.read_buf(&mut answer)).await.expect("an answer").unwrap();
        assert!(read > 0, "{answer:?}");
        let length = |from: usize| {
            let bytes = answer.get(from..from + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().unwrap()) as usize)
        };
        let Some(second) = length(0).map(|first| first + 4) else { continue };
        let Some(end) = length(second).map(|length| second + 4 + length) else { continue };
        if let Some(packet) = answer.get(second..end) {
            assert_eq!(packet[4], 102, "{packet:?}");
            break packet[13..].to_vec();
        }
    };
    let asking = tokio::spawn(async move {
        for id in 2_u32.. {
            // Each second one is refused here: no such handle was opened.
            let handle = if id % 2 == 0 { &handle[..] } else { b"none" };
            let offset = u64::from(id) * 32768;
            let read =
                packet(5, &[&id.to_be_bytes(), &string(handle), &offset.to_be_bytes(), &32768_u32.to_be_bytes()]);
            if stdin.write_all(&read).await.is_err() {
                return;
            }
        }
    });
    let peak = world.peak(Duration::from_secs(4)).await;
    println!("{before} KiB before, at most {peak} KiB with a client that does not read");
    assert!(peak < before + COST, "{before} KiB before, {peak} KiB after");
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_in_the_middle_of_a_file_holds_up_nobody() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let guest = stranger(&world).await;
    let stalled = guest.channel_open_session().await.unwrap();
    stalled.exec(true, "scp -f /dev/zero").await.unwrap();
    let half = guest.channel_open_session().await.unwrap();
    half.request_subsystem(true, "sftp").await.unwrap();
    half.data_bytes(init()[..5].to_vec()).await.unwrap();
    for _ in 0..3 {
        let mut channel = guest.channel_open_session().await.unwrap();
        channel.exec(true, "echo answer").await.unwrap();
        let mut said = Vec::new();
        let reading = async {
            while let Some(msg) = channel.wait().await {
                if let ChannelMsg::Data { data } = msg {
                    said.extend_from_slice(&data);
                }
            }
        };
        timeout(SOON, reading).await.expect("it answers");
        assert_eq!(text(&said), "answer\n");
    }
    // Its end comes through all the same.
    half.eof().await.unwrap();
    let mut half = half;
    timeout(SOON, async { while half.wait().await.is_some() {} }).await.expect("the channel ends");
    let output = alice.run(Way::Plus, "root@web1", "true").await;
    assert!(output.status.success(), "{}", shown(&output));
}
