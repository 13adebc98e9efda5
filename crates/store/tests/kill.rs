//! kill -9 at any instant loses nothing that was acknowledged.
#![allow(clippy::unwrap_used, reason = "helpers of tests stop the test")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{check_all, entries, small, verify_whole};
use portcullis_store::{Embedded, Entropy, SeededEntropy, Store, StoreError};

/// Set for the process that is to be killed: the data directory.
const CHILD: &str = "PORTCULLIS_STORE_TEST_CHILD";
const ROUNDS: u64 = 60;

/// Not a test by itself: the process that the other test starts from this same binary, and kills.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = Embedded::open(Path::new(&dir), small(), &mut |_| {}).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let store = &store;
            scope.spawn(move || {
                loop {
                    let tail = store.tail();
                    let batch = entries(tail.0..tail.0 + 1 + (tail.0 + thread) % 7);
                    match store.enqueue(tail, batch).and_then(portcullis_store::Append::wait) {
                        // One write for one line, so that the reader sees it whole or not at all.
                        Ok(head) => std::io::stdout().write_all(format!("ack {}\n", head.next).as_bytes()).unwrap(),
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let random = SeededEntropy::new(std::process::id().into());
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acks = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = None;
        // Mostly under load, sometimes while it is still opening the store.
        let live = Duration::from_micros(random.u64() % 40_000);
        if round % 6 != 5 {
            acknowledged = acks.find_map(|line| ack(&line));
            assert!(acknowledged.is_some(), "round {round}: the process died by itself");
        }
        let until = Instant::now() + live;
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                while let Some(left) = until.checked_duration_since(Instant::now()) {
                    std::thread::park_timeout(left);
                }
                child.kill().unwrap();
                child.wait().unwrap();
            });
            // The pipe is read to its end, so nothing that was acknowledged is missed.
            for next in acks.filter_map(|line| ack(&line)) {
                acknowledged = acknowledged.max(Some(next));
            }
            killer.join().unwrap();
        });
        let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
        let there = store.durable().next.0;
        assert!(Some(there) >= acknowledged, "round {round}: {there} of {acknowledged:?} records are left");
        assert!(there >= total, "round {round}");
        total = there;
        drop(store);
        if round % 10 == 9 {
            assert_eq!(verify_whole(dir.path()).verified.size, there);
        }
    }
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    assert_eq!(check_all(&store), total);
    assert!(total > ROUNDS, "the rounds wrote something");
    assert_eq!(verify_whole(dir.path()).verified.root, store.durable().root);
}

fn ack(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}
