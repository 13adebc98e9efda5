//! The embedded store as its callers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests stop the test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{append, check_all, entries, entry, open, small, verify_whole};
use ledger::{Checkpoint, Signer, Verifier, encode, leaf_hash, verify_lines};
use model::{Actor, Correlation, RequestId, Seq, Subject, Timestamp};
use portcullis_store::{
    Embedded, IndexReport, Options, Progress, Query, Store, StoreError, export, fill, prove, verify,
};

#[test]
fn what_is_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!((store.tail(), store.durable().next), (Seq(0), Seq(0)));
    assert_eq!(store.report().index, IndexReport::New);
    let first = store.enqueue(Seq(0), entries(0..3)).unwrap();
    let second = store.enqueue(Seq(3), entries(3..4)).unwrap();
    assert_eq!(store.tail(), Seq(4), "the tail counts what is queued");
    assert_eq!(second.records()[0].seq, Seq(3));
    assert!(first.wait().unwrap().next >= Seq(3));
    let head = second.wait().unwrap();
    assert_eq!(head, store.durable());
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.durable(), head, "chain and root are what they were");
    assert_eq!((store.report().records, &store.report().cut), (4, &None));
    assert_eq!(check_all(&store), 4);
    assert_eq!(verify_whole(dir.path()).verified.root, head.root);
}

#[test]
fn an_append_for_another_place_is_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 2);
    for expected in [0, 1, 3] {
        let refused = store.enqueue(Seq(expected), entries(0..1));
        assert!(matches!(refused, Err(StoreError::Conflict { actual: Seq(2), .. })), "{expected}");
    }
    assert!(matches!(store.enqueue(Seq(2), Vec::new()), Err(StoreError::Empty)));
    append(&store, 1);
}

#[test]
fn only_one_of_many_racing_appends_gets_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    loop {
                        let tail = store.tail();
                        match store.enqueue(tail, entries(tail.0..tail.0 + 1)) {
                            Ok(append) => {
                                append.wait().unwrap();
                                break;
                            }
                            Err(StoreError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(check_all(&store), 400);
}

#[test]
fn facts_that_can_never_be_written_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut huge = entry(0);
    huge.fact = model::Fact::SystemStarted { version: "x".repeat(2 << 20) };
    assert!(matches!(store.enqueue(Seq(0), vec![huge]), Err(StoreError::TooLarge { .. })));
    let mut inexact = entry(0);
    inexact.fact = model::Fact::PolicyLoaded { sha256: String::new(), policies: u64::MAX };
    assert!(matches!(store.enqueue(Seq(0), vec![inexact]), Err(StoreError::Encode(_))));
    append(&store, 1);
}

#[test]
fn a_full_queue_says_busy_and_takes_more_later() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue_records: 10, ..Options::default() };
    let store = Embedded::open(dir.path(), options, &mut |_| {}).unwrap();
    let (mut waiting, mut busy) = (Vec::new(), 0);
    while busy < 3 && waiting.len() < 100_000 {
        let next = store.tail().0;
        match store.enqueue(Seq(next), entries(next..next + 6)) {
            Ok(append) => waiting.push(append),
            Err(StoreError::Busy { records }) => {
                assert!(records > 0);
                busy += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(busy > 0, "the queue is bounded");
    for append in waiting {
        append.wait().unwrap();
    }
    append(&store, 1);
    check_all(&store);
}

#[test]
fn reads_take_any_range_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    for _ in 0..40 {
        append(&store, 10);
    }
    drop(store);
    assert!(verify_whole(dir.path()).segments > 3);
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    for (from, limit) in [(0, 1), (0, 400), (63, 2), (64, 64), (199, 150), (399, 5), (400, 5), (1000, 5), (5, 0)] {
        let records = store.read(Seq(from), limit).unwrap();
        let expected: Vec<u64> = (from..400).take(limit).collect();
        assert_eq!(records.iter().map(|record| record.seq.0).collect::<Vec<_>>(), expected, "{from} {limit}");
        assert!(records.iter().all(|record| record.entry == entry(record.seq.0)));
    }
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = Embedded::open(dir.path(), Options::default(), &mut |_| {}).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(store);
    open(dir.path());
}

#[test]
fn a_follower_gets_every_record_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 6000);
    // The first follower begins on the disk, the second in memory, the third waits for what is to come.
    let mut followers = [store.follow(Seq(0)), store.follow(Seq(5990)), store.follow(Seq(6005))];
    append(&store, 50);
    for (mut follower, from) in followers.iter_mut().zip([0, 5990, 6005]) {
        let follower = &mut follower;
        for number in from..6050 {
            let record = follower.next_within(Duration::from_secs(20)).unwrap().unwrap();
            assert_eq!((record.seq, record.entry), (Seq(number), entry(number)));
        }
        assert_eq!(follower.next_within(Duration::from_millis(1)).unwrap(), None);
    }
    drop(store);
    let [mut follower, ..] = followers;
    assert!(matches!(follower.next_within(Duration::from_secs(20)), Err(StoreError::Closed)));
}

#[test]
fn appends_and_followers_work_on_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    append(&*store, 5000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let mut follower = store.follow(Seq(0));
        let seen = tokio::spawn(async move {
            for number in 0..5100 {
                assert_eq!(follower.next().await.unwrap().seq, Seq(number));
            }
        });
        for number in 5000..5100 {
            let append = store.enqueue(Seq(number), vec![entry(number)]).unwrap();
            append.await.unwrap();
        }
        seen.await.unwrap();
    });
}

fn queries() -> Vec<Query> {
    let by = |query: &dyn Fn(&mut Query)| {
        let mut made = Query::default();
        query(&mut made);
        made
    };
    vec![
        Query::default(),
        by(&|q| q.correlation = Some(Correlation::from(&RequestId::from_random(150)))),
        by(&|q| q.correlation = Some(Correlation::system())),
        by(&|q| q.actor = Some(Actor::System)),
        by(&|q| q.actor = Some(Actor::Identity("bob".parse().unwrap()))),
        by(&|q| q.actor = Some(Actor::Identity("nobody".parse().unwrap()))),
        by(&|q| q.subject = Some(Subject::from_text("target:web3"))),
        by(&|q| q.subject = Some(Subject::from_text("login:root@web1"))),
        by(&|q| q.kind = Some("session.cut".to_owned())),
        by(&|q| q.kind = Some("system.".to_owned())),
        by(&|q| q.kind = Some("sys".to_owned())),
        by(&|q| {
            q.since = Some(Timestamp::from_seconds(1_001_500));
            q.until = Some(Timestamp::from_seconds(1_001_600));
        }),
        by(&|q| q.since = Some(Timestamp::from_seconds(1_002_490))),
        by(&|q| q.until = Some(Timestamp::from_seconds(1_000_003))),
        by(&|q| {
            q.actor = Some(Actor::Identity("alice".parse().unwrap()));
            q.kind = Some("request.refused".to_owned());
            q.subject = Some(Subject::from_text("identity:alice"));
            q.since = Some(Timestamp::from_seconds(1_000_100));
        }),
    ]
}

fn check_queries(store: &dyn Store) {
    let all = store.read(Seq(0), usize::MAX).unwrap();
    for query in queries() {
        for (from, limit) in [(0, usize::MAX), (0, 3), (1024, 10), (1500, usize::MAX), (2499, 5), (9999, 5)] {
            let expected: Vec<_> =
                all.iter().filter(|r| r.seq >= Seq(from) && query.matches(r)).take(limit).cloned().collect();
            assert_eq!(store.find(&query, Seq(from), limit).unwrap(), expected, "{query:?} {from} {limit}");
        }
    }
}

#[test]
fn look_ups_find_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 500);
    check_queries(&store);
    append(&store, 2000);
    check_queries(&store);
    assert!(store.find(&queries()[4], Seq(0), usize::MAX).unwrap().len() > 500, "the queries find something");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.report().index, IndexReport::Good);
    check_queries(&store);
}

#[test]
fn an_index_that_is_gone_or_damaged_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index");
    let sled = index.join("sled");
    append(&open(dir.path()), 2500);
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let damages: Vec<Damage<'_>> = vec![
        ("gone", Box::new(|| std::fs::remove_dir_all(&index).unwrap())),
        ("no cursor", Box::new(|| std::fs::remove_file(index.join("cursor")).unwrap())),
        ("bad cursor", Box::new(|| std::fs::write(index.join("cursor"), b"x").unwrap())),
        ("no sled", Box::new(|| std::fs::remove_dir_all(&sled).unwrap())),
        (
            "sled is a file",
            Box::new(|| {
                std::fs::remove_dir_all(&sled).unwrap();
                std::fs::write(&sled, b"x").unwrap();
            }),
        ),
        (
            "garbage in sled",
            Box::new(|| {
                for file in
                    std::fs::read_dir(&sled).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
                {
                    let length = std::fs::metadata(&file).unwrap().len();
                    std::fs::write(file, (0..length).map(|n| (n * 7 % 251) as u8).collect::<Vec<u8>>()).unwrap();
                }
            }),
        ),
        (
            "half of sled",
            Box::new(|| {
                let db = std::fs::OpenOptions::new().write(true).open(sled.join("db")).unwrap();
                db.set_len(db.metadata().unwrap().len() / 2).unwrap();
                for file in std::fs::read_dir(&sled).unwrap().map(|file| file.unwrap().path()) {
                    if file.file_name().unwrap().to_string_lossy().starts_with("snap.") {
                        std::fs::remove_file(file).unwrap();
                    }
                }
            }),
        ),
        ("short nodes", Box::new(|| std::fs::write(index.join("nodes"), b"x").unwrap())),
    ];
    for (name, damage) in damages {
        damage();
        let mut told = 0;
        let store = Embedded::open(dir.path(), Options::default(), &mut |progress| {
            if let Progress::Indexing { done, total } = progress {
                assert!(done <= total);
                told += 1;
            }
        })
        .unwrap();
        let report = &store.report().index;
        assert!(matches!(report, IndexReport::Rebuilt { .. } | IndexReport::New), "{name}: {report:?}");
        assert!(told > 0, "{name}: progress was told");
        check_queries(&store);
        check_proofs(&store);
    }
}

#[test]
fn wrong_tree_nodes_never_make_a_wrong_proof() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), 2500);
    let store = open(dir.path());
    assert_eq!(store.report().index, IndexReport::Good);
    // Damaged while it runs, so that no check at the start finds it.
    let nodes = dir.path().join("index/nodes");
    let length = std::fs::metadata(&nodes).unwrap().len();
    std::fs::write(&nodes, vec![7; usize::try_from(length).unwrap()]).unwrap();
    check_proofs(&store);
    drop(store);
    let store = open(dir.path());
    // Built again now, or in the background before.
    assert!(matches!(store.report().index, IndexReport::Rebuilt { .. } | IndexReport::Good));
    check_proofs(&store);
}

#[test]
fn a_store_whose_index_cannot_be_made_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), 2500);
    // A file in place of the directory: it can be neither opened nor replaced.
    let index = dir.path().join("index");
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::write(&index, b"in the way").unwrap();
    let store = open(dir.path());
    assert!(matches!(store.report().index, IndexReport::Unavailable { .. }), "{:?}", store.report());
    append(&store, 10);
    check_queries(&store);
    check_proofs(&store);
    assert!(matches!(store.save_snapshot("state", Seq(10), b"x"), Err(StoreError::Index(_))));
    assert_eq!(store.latest_snapshot("state").unwrap(), None);
    // It comes back by itself.
    std::fs::remove_file(&index).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while store.save_snapshot("state", Seq(10), b"x").is_err() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    check_queries(&store);
}

fn check_proofs(store: &dyn Store) {
    let head = store.durable();
    let size = head.next.0;
    for (index, size) in [(0, 1), (0, size), (size - 1, size), (1023, 1024), (1024, 2048), (1024, 2049), (77, 1500)] {
        let proof = store.inclusion_proof(Seq(index), size).unwrap();
        let record = &store.read(Seq(index), 1).unwrap()[0];
        proof.verify(&leaf_hash(&encode(record).unwrap()), &store.root_at(size).unwrap()).unwrap();
    }
    assert_eq!(store.root_at(size).unwrap(), head.root);
    for (old, new) in [(0, size), (1, size), (1024, size), (1500, 2100), (size, size)] {
        let proof = store.consistency_proof(old, new).unwrap();
        proof.verify(&store.root_at(old).unwrap(), &store.root_at(new).unwrap()).unwrap();
    }
    assert!(matches!(store.inclusion_proof(Seq(size), size), Err(StoreError::Range { .. })));
    assert!(matches!(store.inclusion_proof(Seq(0), size + 1), Err(StoreError::Range { .. })));
    assert!(matches!(store.consistency_proof(5, 4), Err(StoreError::Range { .. })));
    assert!(matches!(store.root_at(size + 1), Err(StoreError::Range { .. })));
}

#[test]
fn proofs_verify_at_every_kind_of_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 2500);
    check_proofs(&store);
}

#[test]
fn the_latest_snapshot_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 50);
    assert_eq!(store.latest_snapshot("state").unwrap(), None);
    let large: Vec<u8> = (0..700_000u32).map(|n| (n % 253) as u8).collect();
    store.save_snapshot("state", Seq(10), b"old").unwrap();
    store.save_snapshot("state", Seq(20), b"older").unwrap();
    store.save_snapshot("state", Seq(40), &large).unwrap();
    store.save_snapshot("state2", Seq(50), b"").unwrap();
    let early = store.save_snapshot("state", Seq(51), b"from the future");
    assert!(matches!(early, Err(StoreError::Range { asked: 51, size: 50 })));
    for _ in 0..2 {
        assert_eq!(store.latest_snapshot("state").unwrap(), Some((Seq(40), large.clone())));
        assert_eq!(store.latest_snapshot("state2").unwrap(), Some((Seq(50), Vec::new())));
    }
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.latest_snapshot("state").unwrap(), Some((Seq(40), large)));
    // Saving the same place again replaces it.
    store.save_snapshot("state", Seq(40), b"new").unwrap();
    assert_eq!(store.latest_snapshot("state").unwrap(), Some((Seq(40), b"new".to_vec())));
}

/// sled's own threads hold its file, and the lock on it, for a moment longer than the store that was closed.
#[test]
fn an_index_that_is_still_held_is_waited_for_and_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 50);
    store.save_snapshot("state", Seq(50), b"whole").unwrap();
    drop(store);
    let held = std::fs::File::open(dir.path().join("index/sled/db")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(dir.path()));
        // Let go of some time after the other began, as by a thread that has to wait for its turn.
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
        let store = opening.join().unwrap();
        assert_eq!(store.report().index, IndexReport::Good);
        assert_eq!(store.latest_snapshot("state").unwrap(), Some((Seq(50), b"whole".to_vec())));
    });
}

#[test]
fn a_ledger_is_verified_proved_and_exported_beside_the_running_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    for _ in 0..30 {
        append(&store, 10);
    }
    let head = store.durable();
    let signer = Signer::new("ledger.test", &[1; 32]).unwrap();
    let note = Checkpoint { origin: "ledger.test".to_owned(), size: 300, root: head.root }.sign(&signer).unwrap();
    let checkpoint = Checkpoint::open(&note.to_string(), &[signer.verifier().clone()]).unwrap();

    let mut last = (0, 0);
    let verifier = Verifier::with_checkpoints([checkpoint.clone()]).unwrap();
    let checked = verify(dir.path(), verifier, &mut |done, total| last = (done, total)).unwrap();
    assert_eq!((checked.verified.size, checked.verified.root, checked.verified.checkpoints), (300, head.root, 1));
    assert!(checked.segments > 2 && checked.torn.is_none() && last.0 == last.1 && last.1 > 0);

    let proved = prove(dir.path(), Seq(123), Verifier::new(), &mut |_, _| {}).unwrap();
    proved.proof.verify(&leaf_hash(&proved.record), &checkpoint.root).unwrap();
    assert_eq!(ledger::decode(&proved.record).unwrap().entry, entry(123));
    assert!(matches!(prove(dir.path(), Seq(300), Verifier::new(), &mut |_, _| {}), Err(StoreError::Range { .. })));

    let mut lines = Vec::new();
    export(dir.path(), Seq(0), &mut lines, &mut |_, _| {}).unwrap();
    let verified = verify_lines(&mut &lines[..], Verifier::with_checkpoints([checkpoint]).unwrap(), &mut |_, _| {});
    assert_eq!(verified.unwrap(), checked.verified);
    let mut rest = Vec::new();
    export(dir.path(), Seq(290), &mut rest, &mut |_, _| {}).unwrap();
    assert!(lines.ends_with(&rest) && rest.iter().filter(|byte| **byte == b'\n').count() == 10);
}

#[test]
fn a_ledger_verifies_while_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), Options { segment_bytes: 200 << 10, ..small() }, &mut |_| {}).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                append(&store, 50);
            }
        });
        let mut last = 0;
        for _ in 0..40 {
            let size = verify(dir.path(), Verifier::new(), &mut |_, _| {}).map(|checked| checked.verified.size);
            stop.store(size.is_err(), std::sync::atomic::Ordering::SeqCst);
            assert!(size.as_ref().is_ok_and(|size| *size >= last), "{size:?} after {last}");
            last = size.unwrap_or(0);
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn fill_appends_in_bulk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let head = fill(&store, (0..5000).map(entry)).unwrap();
    assert_eq!(head.next, Seq(5000));
    store.settle().unwrap();
    assert_eq!(check_all(&store), 5000);
}
