//! Forwards under load, with ends that do not answer, and at the end of a session.

use std::process::Stdio;
use std::time::{Duration, Instant};

use model::{ClosedBy, GrantEnd, SessionEnd, Span};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::authority::random;
use crate::child::Elsewhere;
use crate::client::{WAYS, Way, shown, text, until, wait};
use crate::forward::{SOON, background, connect, converse, end_of, forwards, free_port, greeter, opens};
use crate::world::{HOUR, World};

const MIB: usize = 1 << 20;

/// A server that sends without end, and reads nothing.
async fn fountain() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let block = vec![b'x'; 1 << 16];
                while stream.write_all(&block).await.is_ok() {}
            });
        }
    });
    port
}

/// A world in which everything may be opened, and an `ssh` that forwards two ports.
async fn two_ports(way: Way, first: u16, second: u16) -> (World, tokio::process::Child, u16, u16) {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &["127.0.0.1:*"]));
    let here = [free_port(), free_port()];
    let forward = |here: u16, there: u16| format!("127.0.0.1:{here}:127.0.0.1:{there}");
    let ssh = background(&alice, way, &["-L", &forward(here[0], first), "-L", &forward(here[1], second)]);
    (world, ssh, here[0], here[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_each_way_arrive_whole() {
    for way in WAYS {
        let there = greeter().await;
        let (world, _ssh, here, _) = two_ports(way, there, there).await;
        let stream = connect(here).await;
        let (mut read, mut write) = stream.into_split();
        let sending = tokio::spawn(async move {
            let mut sent = Sha256::new();
            let mut block = vec![0; MIB];
            random(&mut block);
            for count in 0..64u64 {
                block[..8].copy_from_slice(&count.to_le_bytes());
                sent.update(&block);
                write.write_all(&block).await.unwrap();
            }
            write.shutdown().await.unwrap();
            sent.finalize()
        });
        let mut all = Vec::new();
        timeout(SOON * 2, read.read_to_end(&mut all)).await.expect("it arrives").unwrap();
        let farewell = format!("bye {}\n", 64 * MIB);
        assert_eq!(all.len(), 6 + 64 * MIB + farewell.len(), "{way:?}");
        assert!(all.starts_with(b"hello\n") && all.ends_with(farewell.as_bytes()), "{way:?}");
        assert_eq!(Sha256::digest(&all[6..6 + 64 * MIB]), sending.await.unwrap(), "{way:?}");
        let closed = end_of(&world, 0).await;
        assert_eq!((closed.bytes_in, closed.bytes_out), (64 * MIB as u64, all.len() as u64), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_answers_while_a_forward_is_stalled() {
    for way in WAYS {
        let (_world, _ssh, stalled, here) = two_ports(way, fountain().await, greeter().await).await;
        let mut unread = connect(stalled).await;
        unread.read_exact(&mut [0; 1]).await.unwrap();
        let feeding = tokio::spawn(async move {
            // Nor does the other end read.
            let block = vec![0; 1 << 16];
            while unread.write_all(&block).await.is_ok() {}
        });
        // Long enough for both windows to be used up, many times over.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..5 {
            let begin = Instant::now();
            converse(&mut connect(here).await, "ping").await;
            assert!(begin.elapsed() < Duration::from_secs(5), "{way:?}: {:?}", begin.elapsed());
        }
        feeding.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_forward_costs_little_memory() {
    let world = Elsewhere::start().await;
    let (there, fountain) = (greeter().await, fountain().await);
    for way in WAYS {
        let (warm, here) = (free_port(), free_port());
        let forward = |here: u16, there: u16| format!("127.0.0.1:{here}:127.0.0.1:{there}");
        let _ssh = background(&world.alice, way, &["-L", &forward(warm, there), "-L", &forward(here, fountain)]);
        converse(&mut connect(warm).await, &"x".repeat(10 * MIB)).await;
        let before = world.memory();
        let mut unread = connect(here).await;
        unread.read_exact(&mut [0; 1]).await.unwrap();
        let feeding = tokio::spawn(async move {
            let block = vec![0; 1 << 16];
            while unread.write_all(&block).await.is_ok() {}
        });
        let peak = world.peak(Duration::from_secs(4)).await;
        println!("{way:?}: {before} KiB before, at most {peak} KiB with a stalled forward");
        assert!(peak < before + 32 * 1024, "{way:?}: {before} KiB before, {peak} KiB after");
        feeding.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_destination_holds_up_nobody() {
    // A listener that takes nobody, and whose queue is full: the target's connect gets no answer.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let dead = full.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = std::net::TcpStream::connect_timeout(&dead, Duration::from_millis(300)) {
        fillers.push(filler);
    }
    for way in WAYS {
        let (world, mut ssh, hanging, here) = two_ports(way, dead.port(), greeter().await).await;
        let _waiting = [connect(hanging).await, connect(hanging).await];
        for _ in 0..3 {
            converse(&mut connect(here).await, "ping").await;
        }
        assert_eq!(forwards(&world).len(), 3, "{way:?}: what does not come about is not open");
        ssh.kill().await.unwrap();
        let (end, _) = world.authority.ended().await;
        assert!(matches!(end, SessionEnd::Client), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cuts_a_forward_and_its_person_reads_why() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let there = greeter().await;
        let grant = world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &["127.0.0.1:*"]));
        let here = free_port();
        let forward = format!("127.0.0.1:{here}:127.0.0.1:{there}");
        // Quiet would keep what the proxy says last.
        let loud = ["-o", "LogLevel=INFO", "-L", &forward];
        let ssh = background(&alice, way, &loud);
        let mut stream = connect(here).await;
        let mut hello = [0; 6];
        timeout(SOON, stream.read_exact(&mut hello)).await.unwrap().unwrap();
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        let mut rest = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it is cut");
        assert_eq!(rest, b"");
        let output = wait(ssh).await;
        assert!(text(&output.stderr).contains("was revoked by bob"), "{way:?}: {}", shown(&output));
        let (end, _) = world.authority.ended().await;
        assert!(matches!(end, SessionEnd::Revoked { .. }), "{end:?}");
        assert_eq!(end_of(&world, 0).await.closed_by, Some(ClosedBy::Session), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fountain_is_cut_as_well() {
    let world = World::new().await;
    let alice = world.person("alice");
    let there = fountain().await;
    let grant = world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &["127.0.0.1:*"]));
    let here = free_port();
    let mut ssh = background(&alice, Way::Plus, &["-L", &format!("127.0.0.1:{here}:127.0.0.1:{there}")]);
    let mut unread = connect(here).await;
    unread.read_exact(&mut [0; 1]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.authority.end_grant(&grant.id, GrantEnd::Expired, "alice");
    timeout(SOON, ssh.wait()).await.expect("ssh ends").unwrap();
    assert_eq!(end_of(&world, 0).await.closed_by, Some(ClosedBy::Session));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_on_a_forward_are_activity_and_silence_is_not() {
    let world = World::new().await;
    let alice = world.person("alice");
    let there = greeter().await;
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
        opens(grant, &["127.0.0.1:*"]);
        grant.obligations.idle_limit = Some(Span::from_seconds(2));
    });
    let here = free_port();
    let ssh = background(&alice, Way::Plus, &["-L", &format!("127.0.0.1:{here}:127.0.0.1:{there}")]);
    let mut stream = connect(here).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        stream.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let output = wait(ssh).await;
    assert!(begin.elapsed() >= Duration::from_secs(6), "{:?}", begin.elapsed());
    assert!(text(&output.stderr).is_empty() || text(&output.stderr).contains("nothing passed"), "{}", shown(&output));
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Idle), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_so_many_forwards_at_a_time_and_gets_their_places_back() {
    const MOST: usize = 4;
    let world = World::with(|config| config.max_channels = MOST).await;
    let alice = world.person("alice");
    let there = greeter().await;
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| opens(grant, &["127.0.0.1:*"]));
    let here = free_port();
    let forward = format!("127.0.0.1:{here}:127.0.0.1:{there}");
    let mut ssh = alice.ssh(Way::Plus, "root", "web1", &["-N", "-L", &forward]);
    let _ssh = ssh.stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..3 {
        let mut open = Vec::new();
        for _ in 0..MOST {
            let mut stream = connect(here).await;
            let mut hello = [0; 6];
            timeout(SOON, stream.read_exact(&mut hello)).await.unwrap().unwrap();
            open.push(stream);
        }
        let mut nothing = Vec::new();
        let _ = timeout(SOON, TcpStream::connect(("127.0.0.1", here)).await.unwrap().read_to_end(&mut nothing)).await;
        assert_eq!(nothing, b"");
        let before = forwards(&world).len();
        drop(open);
        for number in before - MOST..before {
            end_of(&world, u32::try_from(number).unwrap()).await;
        }
        until("they are closed", || forwards(&world).len() == before).await;
    }
}
