//! Power cuts, full disks and failing devices.
#![allow(clippy::unwrap_used, reason = "helpers of tests stop the test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{append, check_all, entries, small, verify_whole};
use model::Seq;
use portcullis_store::{
    Embedded, Entropy, Fault, IndexReport, Options, SeededEntropy, SimulatedDisk, Store, StoreError,
};

fn open_on(dir: &Path, disk: &SimulatedDisk) -> Embedded {
    try_open_on(dir, disk).unwrap()
}

fn try_open_on(dir: &Path, disk: &SimulatedDisk) -> Result<Embedded, StoreError> {
    Embedded::open_on(Arc::new(disk.clone()), dir, small(), &mut |_| {})
}

/// Appends from several threads until the disk fails; says how many records were acknowledged.
fn load(store: &Embedded) -> u64 {
    let acknowledged = AtomicU64::new(store.durable().next.0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                loop {
                    let tail = store.tail();
                    let batch = entries(tail.0..tail.0 + 1 + (tail.0 + thread) % 5);
                    match store.enqueue(tail, batch).and_then(portcullis_store::Append::wait) {
                        Ok(head) => {
                            acknowledged.fetch_max(head.next.0, Ordering::SeqCst);
                        }
                        Err(StoreError::Conflict { .. }) => {}
                        Err(_) => return,
                    }
                }
            });
        }
    });
    acknowledged.load(Ordering::SeqCst)
}

/// The issue asks for 20 rounds; this is cheap enough for many more.
#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    for history in 0..2u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = SimulatedDisk::new("/simulated");
        let random = SeededEntropy::new(history);
        let (mut torn, mut acknowledged) = (0, 0);
        for round in 0..40 {
            // Now and then the power goes again before the store is open.
            disk.set_fuse(if round % 5 == 4 { 1 + random.u64() % 4 } else { 5 + random.u64() % 60 });
            if let Ok(store) = try_open_on(dir.path(), &disk) {
                let there = check_all(&store);
                assert!(there >= acknowledged, "round {round} of {history}: {there} of {acknowledged} are left");
                torn += usize::from(store.report().cut.is_some());
                acknowledged = load(&store);
            }
            disk = disk.cut_power(random.u64());
            // sled lay on the same disk.
            let _ = std::fs::remove_dir_all(dir.path().join("index"));
        }
        assert!(torn > 0, "some cuts came in the middle of a write");
        let store = open_on(dir.path(), &disk);
        assert!(check_all(&store) >= acknowledged && acknowledged > 20, "{acknowledged}");
        check_exported(&store);
    }
}

/// The chain verifies from the first record to the last.
fn check_exported(store: &Embedded) {
    let mut verifier = ledger::Verifier::new();
    let mut chain = ledger::Digest::ZERO;
    for record in store.read(Seq(0), usize::MAX).unwrap() {
        let bytes = ledger::encode(&record).unwrap();
        chain = ledger::chain(&chain, &bytes);
        verifier.check(&bytes, &chain).unwrap();
    }
    let (verified, head) = (verifier.finish().unwrap(), store.durable());
    assert_eq!((verified.size, verified.chain, verified.root), (head.next.0, head.chain, head.root));
}

/// Tries until an append is taken.
fn append_when_possible(store: &Embedded) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let tail = store.tail();
        match store.enqueue(tail, entries(tail.0..tail.0 + 1)).and_then(portcullis_store::Append::wait) {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_refuses_clearly_and_the_ledger_goes_on_when_there_is_room() {
    for room in [0, 1, 100, 700, 3000, 5000] {
        let dir = tempfile::tempdir().unwrap();
        let disk = SimulatedDisk::new("/simulated");
        let store = open_on(dir.path(), &disk);
        append(&store, 20);
        disk.set_room(Some(room));
        let mut waiting = Vec::new();
        let refused = loop {
            let tail = store.tail();
            match store.enqueue(tail, entries(tail.0..tail.0 + 3)) {
                Ok(append) => waiting.push(append),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
        assert!(refused.to_string().contains("/simulated"), "{refused}");
        let mut acknowledged = 20;
        let mut failed = 0;
        for append in waiting {
            match append.wait() {
                Ok(head) => acknowledged = acknowledged.max(head.next.0),
                Err(StoreError::Full { .. }) => failed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(failed > 0);
        assert_eq!(store.tail(), store.durable().next, "what failed does not count");
        assert_eq!(check_all(&store), acknowledged);
        let still = store.enqueue(store.tail(), entries(0..1)).unwrap_err();
        assert!(matches!(still, StoreError::Full { .. }), "{still}");

        disk.set_room(None);
        append_when_possible(&store);
        append(&store, 300);
        assert_eq!(check_all(&store), acknowledged + 301);
        drop(store);
        let store = open_on(dir.path(), &disk);
        assert_eq!((check_all(&store), &store.report().cut), (acknowledged + 301, &None));
        check_exported(&store);
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_half_done_is_left() {
    for fault in [Fault::Write, Fault::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = SimulatedDisk::new("/simulated");
        for round in 0..8 {
            let store = open_on(dir.path(), &disk);
            append(&store, 17);
            let durable = store.durable();
            disk.set_fault(Some(fault));
            // Longer than what follows, so that remains of it would lie behind that.
            let failed = store.enqueue(durable.next, entries(durable.next.0..durable.next.0 + 30)).unwrap().wait();
            assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
            assert_eq!(store.durable(), durable);
            disk.set_fault(None);
            append_when_possible(&store);
            assert_eq!(check_all(&store), durable.next.0 + 1);
            // What is acknowledged now must be on the device, whatever the system's memory says.
            disk = disk.cut_power(round);
            drop(store);
            let store = open_on(dir.path(), &disk);
            assert_eq!((check_all(&store), &store.report().cut), (durable.next.0 + 1, &None));
            check_exported(&store);
        }
    }
}

#[test]
fn a_failing_disk_with_a_damaged_past_is_never_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimulatedDisk::new("/simulated");
    let store = open_on(dir.path(), &disk);
    append(&store, 10);
    disk.set_fault(Some(Fault::Sync));
    store.enqueue(Seq(10), entries(10..11)).unwrap().wait().unwrap_err();
    disk.tamper("00000000000000000000.seg", |bytes| bytes[4200] ^= 1);
    disk.set_fault(None);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match store.enqueue(store.tail(), entries(10..11)) {
            Err(StoreError::Corrupt { .. }) => break,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
            Ok(_) => panic!("the store goes on behind damaged records"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimulatedDisk::new("/simulated");
    let store = open_on(dir.path(), &disk);
    let waiting: Vec<_> = (0..200).map(|n| store.enqueue(Seq(n), entries(n..n + 1)).unwrap()).collect();
    drop(store);
    for append in waiting {
        append.wait().unwrap();
    }
    let disk = disk.cut_power(1);
    assert_eq!(check_all(&open_on(dir.path(), &disk)), 200);
}

/// A real file system that is really full. Mounting one needs root; without it the simulated disk has to do.
#[test]
fn a_full_file_system_refuses_and_goes_on() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mount = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(mount.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        return;
    }
    // Unmounted however the test ends.
    struct Unmount<'a>(&'a Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _unmount = Unmount(mount.path());
    let dir = mount.path().join("data");
    let store = Embedded::open(&dir, Options::default(), &mut |_| {}).unwrap();
    let ballast = mount.path().join("ballast");
    append(&store, 50);
    let error = fill_up(&store, &ballast);
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let snapshot = vec![1; 300_000];
    let refused = store.save_snapshot("state", Seq(50), &snapshot);
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let acknowledged = check_all(&store);
    verify_whole(&dir);
    std::fs::remove_file(&ballast).unwrap();
    append_when_possible(&store);
    append(&store, 100);
    // The index comes back, too.
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.save_snapshot("state", Seq(50), &snapshot).is_err() {
        assert!(Instant::now() < deadline, "the index does not come back");
        std::thread::yield_now();
    }
    drop(store);
    let store = Embedded::open(&dir, Options::default(), &mut |_| {}).unwrap();
    assert_eq!(store.report().index, IndexReport::Good);
    assert!(store.latest_snapshot("state").unwrap() == Some((Seq(50), snapshot)), "another snapshot, or none");
    assert_eq!(check_all(&store), acknowledged + 101);
    drop(store);
    verify_whole(&dir);
}

/// Leaves no room, and appends until it is noticed.
fn fill_up(store: &Embedded, ballast: &Path) -> StoreError {
    let mut file = std::fs::File::create(ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    loop {
        let tail = store.tail();
        if let Err(error) = store.enqueue(tail, entries(tail.0..tail.0 + 5)).and_then(portcullis_store::Append::wait) {
            return error;
        }
    }
}
