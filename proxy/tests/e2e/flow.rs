//! Flow control: everything arrives, nothing piles up, nobody waits for a neighbour.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::authority::random;
use crate::child::Elsewhere;
use crate::client::{LINGER, WAYS, Way, finish, place, shown, text, until};
use crate::world::{HOUR, Person, World};

const MIB: usize = 1 << 20;

/// Sends `mebibytes` through `cat` and compares what comes back by its digest.
async fn echo(alice: &Person, way: Way, mebibytes: u64) {
    let mut child = alice.ssh(way, "root", "web1", &[]).arg("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let sending = tokio::spawn(async move {
        let mut sent = Sha256::new();
        let mut block = vec![0; MIB];
        random(&mut block);
        for count in 0..mebibytes {
            // No two blocks are the same, so that a lost or doubled one shows.
            block[..8].copy_from_slice(&count.to_le_bytes());
            sent.update(&block);
            stdin.write_all(&block).await.unwrap();
        }
        sent.finalize()
    });
    let mut received = Sha256::new();
    let mut count = 0u64;
    let mut buffer = vec![0; MIB];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(30), stdout.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("{way:?}: stuck after {count} bytes")).unwrap();
        if read == 0 {
            break;
        }
        count += read as u64;
        received.update(&buffer[..read]);
    }
    assert_eq!(count, mebibytes * MIB as u64, "{way:?}");
    assert_eq!(received.finalize(), sending.await.unwrap(), "{way:?}");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_is_echoed_whole() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let begin = Instant::now();
    echo(&alice, Way::Plus, 1024).await;
    println!("1 GiB there and back in {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_of_it_through_the_inner_connection_too() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    echo(&alice, Way::Jump, 256).await;
}

/// A child that reads nothing, and whose pipe is full.
async fn stalled(mut command: Command) -> Child {
    let mut child = command.spawn().unwrap();
    // The first byte proves that it runs; the rest stays in the pipe.
    let stdout = child.stdout.as_mut().unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), stdout.read(&mut [0; 1])).await;
    assert_eq!(first.expect("it begins").unwrap(), 1);
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_costs_little_memory() {
    let world = Elsewhere::start().await;
    // Warm up, so that what every session needs is not counted.
    let output = world.alice.run(Way::Plus, "root@web1", "head -c 20000000 /dev/zero").await;
    assert_eq!(output.stdout.len(), 20_000_000, "{}", text(&output.stderr));
    for way in WAYS {
        let before = world.memory();
        let mut endless = world.alice.ssh(way, "root", "web1", &[]);
        endless.arg("cat /dev/zero");
        let _child = stalled(endless).await;
        let peak = world.peak(Duration::from_secs(4)).await;
        println!("{way:?}: {before} KiB before, at most {peak} KiB with a stalled reader");
        assert!(peak < before + 32 * 1024, "{way:?}: {before} KiB before, {peak} KiB after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_read_costs_little_memory() {
    let world = Elsewhere::start().await;
    let output = world.alice.run(Way::Plus, "root@web1", "head -c 20000000 /dev/zero").await;
    assert_eq!(output.stdout.len(), 20_000_000, "{}", text(&output.stderr));
    let before = world.memory();
    let mut child = world.alice.ssh(Way::Plus, "root", "web1", &[]).arg(LINGER).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = tokio::spawn(async move {
        let block = vec![7; MIB];
        while stdin.write_all(&block).await.is_ok() {}
    });
    let peak = world.peak(Duration::from_secs(4)).await;
    println!("{before} KiB before, at most {peak} KiB with a target that does not read");
    assert!(peak < before + 32 * 1024, "{before} KiB before, {peak} KiB after");
    feeding.abort();
}

/// One connection with several sessions in it.
struct Shared {
    socket: String,
    config: std::path::PathBuf,
    place: String,
    _master: Child,
}

impl Shared {
    async fn start(alice: &Person, way: Way) -> Self {
        let socket = alice.folder.join(format!("mux-{way:?}")).display().to_string();
        let config = alice.config("");
        let master = Command::new("ssh")
            .arg("-F")
            .arg(&config)
            .args(["-M", "-N", "-S", &socket])
            .arg(place(way, "root", "web1"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the master listens", || std::path::Path::new(&socket).exists()).await;
        Self { socket, config, place: place(way, "root", "web1"), _master: master }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.config).args(["-S", &self.socket, &self.place, words]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_answers_while_a_channel_is_stalled() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let shared = Shared::start(&alice, way).await;
        let _down = stalled(shared.command("cat /dev/zero")).await;
        let mut up = shared.command(&format!("echo up; {LINGER}"));
        up.stdin(Stdio::piped());
        let mut up = stalled(up).await;
        let mut stdin = up.stdin.take().unwrap();
        let feeding = tokio::spawn(async move {
            let block = vec![7; MIB];
            while stdin.write_all(&block).await.is_ok() {}
        });
        // Long enough for both windows to be used up, many times over.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for round in 0..5 {
            let begin = Instant::now();
            let output = finish(&mut shared.command("echo answer")).await;
            assert_eq!(text(&output.stdout), "answer\n", "{way:?} {round} {}", shown(&output));
            assert!(begin.elapsed() < Duration::from_secs(5), "{way:?}: {:?}", begin.elapsed());
        }
        feeding.abort();
    }
}
