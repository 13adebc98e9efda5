//! What a crash leaves is cut off; what a crash cannot leave is named, with its place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests stop the test")]

mod common;

use std::path::{Path, PathBuf};

use common::{append, check_all, open, small, verify_whole};
use ledger::Verifier;
use model::Seq;
use portcullis_store::{Embedded, IndexReport, Options, Query, SimulatedDisk, Store, StoreError, export, verify};
use proptest::prelude::*;

/// The segment files, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir.join("segments")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

/// Three records in one append, then two in another.
fn five(dir: &Path) -> u64 {
    let store = open(dir);
    store.enqueue(Seq(0), common::entries(0..3)).unwrap().wait().unwrap();
    let length = std::fs::metadata(&segments(dir)[0]).unwrap().len();
    store.enqueue(Seq(3), common::entries(3..5)).unwrap().wait().unwrap();
    length
}

#[test]
fn a_torn_tail_is_cut_back_to_the_last_whole_append() {
    type Tear = Box<dyn Fn(&mut Vec<u8>, usize)>;
    let tears: Vec<(&str, u64, Tear)> = vec![
        ("the last byte is missing", 3, Box::new(|bytes, _| bytes.truncate(bytes.len() - 1))),
        (
            "only the first record of the append is whole",
            3,
            Box::new(|bytes, whole| {
                let next = whole + 60 + u32::from_le_bytes(bytes[whole + 4..whole + 8].try_into().unwrap()) as usize;
                bytes.truncate(next);
            }),
        ),
        ("half of a header", 3, Box::new(|bytes, whole| bytes.truncate(whole + 30))),
        ("zeros behind it", 5, Box::new(|bytes, _| bytes.resize(bytes.len() + 5000, 0))),
        ("garbage behind it", 5, Box::new(|bytes, _| bytes.extend((0..777u32).map(|n| (n * 37 % 251) as u8)))),
        ("zeros in place of it", 3, Box::new(|bytes, whole| bytes[whole..].fill(0))),
    ];
    for (name, left, tear) in tears {
        let dir = tempfile::tempdir().unwrap();
        let whole = five(dir.path());
        change(&segments(dir.path())[0], |bytes| tear(bytes, usize::try_from(whole).unwrap()));

        // A verifier that may not write says so, and counts what is whole.
        let checked = verify_whole(dir.path());
        assert_eq!(checked.verified.size, left, "{name}");
        assert_eq!(checked.torn.as_ref().map(|cut| cut.seq), Some(Seq(left)), "{name}");

        let store = open(dir.path());
        let cut = store.report().cut.clone().unwrap();
        assert_eq!((cut.seq, cut.file), (Seq(left), segments(dir.path())[0].clone()), "{name}");
        assert_eq!(check_all(&store), left, "{name}");
        append(&store, 4);
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.report().cut, None, "{name}");
        assert_eq!(check_all(&store), left + 4, "{name}");
        assert_eq!(verify_whole(dir.path()).torn, None, "{name}");
    }
}

#[test]
fn a_segment_whose_creation_was_not_finished_is_removed() {
    for content in [&[][..], &[0; 4096], &[1; 700]] {
        let dir = tempfile::tempdir().unwrap();
        five(dir.path());
        let name = dir.path().join("segments/00000000000000000005.seg");
        std::fs::write(&name, content).unwrap();
        assert_eq!(verify_whole(dir.path()).verified.size, 5);
        let store = open(dir.path());
        assert_eq!(store.report().cut.as_ref().map(|cut| cut.seq), Some(Seq(5)));
        assert!(!name.exists());
        append(&store, 1);
        drop(store);
        assert_eq!(check_all(&open(dir.path())), 6);
    }
    // The very first one, too.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segments")).unwrap();
    std::fs::write(dir.path().join("segments/00000000000000000000.seg"), [0; 100]).unwrap();
    append(&open(dir.path()), 1);
}

#[test]
fn a_flipped_byte_in_any_segment_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    for _ in 0..40 {
        append(&store, 10);
    }
    drop(store);
    let files = segments(dir.path());
    assert!(files.len() > 3);
    for (number, file) in files.iter().enumerate() {
        let good = std::fs::read(file).unwrap();
        for place in [9, 100, 4095, 4096, 4096 + 5, 4096 + 70, good.len() / 2, good.len() - 1] {
            change(file, |bytes| bytes[place] ^= 0x10);
            let error = verify(dir.path(), Verifier::new(), &mut |_, _| {}).unwrap_err();
            assert_corrupt(&error, file, place);
            let mut out = Vec::new();
            assert_corrupt(&export(dir.path(), Seq(0), &mut out, &mut |_, _| {}).unwrap_err(), file, place);

            let opened = Embedded::open(dir.path(), small(), &mut |_| {});
            if number + 1 == files.len() {
                assert_corrupt(&opened.unwrap_err(), file, place);
            } else {
                // Older segments are read when they are needed; what is whole can still be read.
                let store = opened.unwrap();
                assert_corrupt(&store.read(Seq(0), usize::MAX).unwrap_err(), file, place);
                let mut follower = store.follow(Seq(0));
                let error = loop {
                    match follower.next_within(std::time::Duration::from_secs(10)) {
                        Ok(record) => assert!(record.is_some()),
                        Err(error) => break error,
                    }
                };
                assert_corrupt(&error, file, place);
                assert_eq!(store.read(Seq(399), 5).unwrap().len(), 1);
                assert_corrupt(&store.find(&Query::default(), Seq(0), usize::MAX).unwrap_err(), file, place);
            }
            std::fs::write(file, &good).unwrap();
        }
    }
    verify_whole(dir.path());
}

/// The error names the file, and an offset at or before the flipped byte, in the same record.
fn assert_corrupt(error: &StoreError, file: &Path, place: usize) {
    let StoreError::Corrupt { file: named, offset, seq, .. } = error else { panic!("{error}") };
    assert_eq!(named, file);
    assert!(*offset <= place as u64 && place as u64 - offset < 4096, "{error} for byte {place}");
    assert!(seq.0 < 400, "{error}");
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), small(), &mut |_| {}).unwrap();
    for _ in 0..30 {
        append(&store, 10);
    }
    drop(store);
    let files = segments(dir.path());
    for gone in [0, 1] {
        let kept = std::fs::read(&files[gone]).unwrap();
        std::fs::remove_file(&files[gone]).unwrap();
        assert!(matches!(verify(dir.path(), Verifier::new(), &mut |_, _| {}), Err(StoreError::Corrupt { .. })));
        let read = Embedded::open(dir.path(), small(), &mut |_| {}).and_then(|store| store.read(Seq(0), usize::MAX));
        assert!(matches!(read, Err(StoreError::Corrupt { .. })));
        std::fs::write(&files[gone], kept).unwrap();
    }
    verify_whole(dir.path());
}

#[test]
fn lost_records_at_the_end_are_noticed_by_the_index() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), 1100);
    let file = &segments(dir.path())[0];
    // A whole group is gone, as from an older copy: the segments alone cannot tell.
    let checked = verify_whole(dir.path());
    assert_eq!(checked.verified.size, 1100);
    change(file, |bytes| bytes.truncate(8000));
    let store = open(dir.path());
    assert_eq!(store.report().index, IndexReport::Ahead { known: 1024 });
}

#[test]
fn a_segment_of_a_later_version_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path());
    let file = segments(dir.path())[0].clone();
    change(&file, |bytes| {
        bytes[8] = 9;
        let checksum = crc32c::crc32c(&bytes[..4092]).to_le_bytes();
        bytes[4092..4096].copy_from_slice(&checksum);
    });
    let before = std::fs::read(&file).unwrap();
    let error = Embedded::open(dir.path(), Options::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 9, .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

fn simulated(records: u64) -> (tempfile::TempDir, SimulatedDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimulatedDisk::new("/simulated");
    let store = open_on(dir.path(), &disk).unwrap();
    append(&store, records);
    drop(store);
    (dir, disk)
}

fn open_on(dir: &Path, disk: &SimulatedDisk) -> Result<Embedded, StoreError> {
    Embedded::open_on(std::sync::Arc::new(disk.clone()), dir, Options::default(), &mut |_| {})
}

const FIRST: &str = "00000000000000000000.seg";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_never_costs_a_record_in_silence(records in 1u64..12, place: usize, bit in 0u8..8) {
        let (dir, disk) = simulated(records);
        disk.tamper(FIRST, |bytes| {
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
        });
        let opened = open_on(dir.path(), &disk);
        prop_assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{:?}", opened.map(|store| store.report().clone()));
    }

    #[test]
    fn random_segments_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..6000), header: bool) {
        let (dir, disk) = simulated(1);
        disk.tamper(FIRST, |stored| {
            if header {
                stored.truncate(4096);
                stored.extend(&bytes);
            } else {
                stored.clone_from(&bytes);
            }
        });
        if let Ok(store) = open_on(dir.path(), &disk) {
            append(&store, 3);
        }
    }
}
