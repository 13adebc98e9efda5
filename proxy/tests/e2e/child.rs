//! A world in a process of its own, so that its memory can be measured.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::world::{HOUR, Person, World};

const MARK: &str = "PORTCULLIS_TEST_WORLD";

/// The other process. It ends by itself, and cleans up, when its standard input does.
pub struct Elsewhere {
    pub alice: Person,
    pub pid: u32,
    _stdin: ChildStdin,
    _child: Child,
}

impl Elsewhere {
    pub async fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::a_world_of_its_own", "--nocapture", "--test-threads=1"])
            .env(MARK, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let alice = loop {
            let line =
                tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
            if let Some(told) = line.split_once(MARK).map(|(_, told)| told) {
                let told: Vec<&str> = told.split_whitespace().collect();
                let [port, key, folder] = told[..] else { panic!("{line}") };
                break Person { port: port.parse().unwrap(), key: key.into(), folder: folder.into() };
            }
        };
        let pid = child.id().unwrap();
        // Whatever it says later is read away.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { alice, pid, _stdin: child.stdin.take().unwrap(), _child: child }
    }

    /// Its resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The most memory that it has within this time.
    pub async fn peak(&self, time: Duration) -> u64 {
        let until = tokio::time::Instant::now() + time;
        let mut peak = 0;
        while tokio::time::Instant::now() < until {
            peak = peak.max(self.memory());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        peak
    }
}

/// Not a test by itself: what [`Elsewhere`] runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_world_of_its_own() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| crate::forward::opens(grant, &["*:*"]));
    println!("\n{MARK} {} {} {}", alice.port, alice.key.display(), alice.folder.display());
    // The end of the input is the end of the world.
    let _ = tokio::io::stdin().read(&mut [0; 1]).await;
    drop(world);
    // What the test runner would say now goes to nobody.
    std::process::exit(0);
}
