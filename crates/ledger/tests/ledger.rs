//! Whole ledgers: records in, export out, and every tampering named.
#![allow(clippy::unwrap_used, reason = "helpers of tests stop the test")]

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, CertificateBody, CertificateProfile, ChannelEnd, ChannelKind, Correlation, Entry, ExitReport, Fact, Lock,
    LockSubject, Obligations, PolicyPath, Principal, Pty, Record, RecordingClosed, RecordingStatus, RequestId, Seq,
    Serial, SessionEnd, SessionId, Span, Timestamp, Verdict,
};
use portcullis_ledger::{
    Checkpoint, DecodeError, Digest, FlawKind, LineError, Signer, Tree, Verifier, canonical, chain, check, decode,
    encode, export_line, inclusion, leaf_hash, parse_line, verify_lines,
};
use proptest::prelude::*;

fn record(seq: u64, fact: Fact) -> Record {
    let entry = Entry {
        time: Timestamp::from_seconds(1_800_000_000 + seq),
        actor: Actor::Identity("alice".parse().unwrap()),
        correlation: Correlation::from(&RequestId::from_random(seq)),
        fact,
    };
    Record { seq: Seq(seq), entry }
}

fn ledger(count: u64) -> Vec<(Vec<u8>, Digest)> {
    let mut last = Digest::ZERO;
    (0..count)
        .map(|seq| {
            let bytes = encode(&record(seq, Fact::SystemStarted { version: format!("0.{seq}") })).unwrap();
            last = chain(&last, &bytes);
            (bytes, last)
        })
        .collect()
}

fn root(records: &[(Vec<u8>, Digest)]) -> Digest {
    let mut tree = Tree::new();
    for (bytes, _) in records {
        tree.push(leaf_hash(bytes));
    }
    tree.root()
}

#[test]
fn the_encoding_is_what_the_documentation_says() {
    let bytes = encode(&record(7, Fact::SystemStarted { version: "0.1".to_owned() })).unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        r#"{"actor":{"identity":"alice"},"correlation":"req-000000000007","fact":{"kind":"system.started","version":"0.1"},"seq":7,"time":1800000007000000}"#
    );
}

/// A ledger outlives the code: what was written before `cut` was kept reads, and is encoded again byte for byte.
#[test]
fn a_session_that_ended_before_the_moment_of_its_cut_was_kept_reads_and_verifies() {
    let old = br#"{"actor":{"proxy":"proxy1"},"correlation":"req-000000000007","fact":{"dropped":1800000007000000,"end":"client","kind":"session.ended","session":"ses-000000000007"},"seq":0,"time":1800000007000001}"#;
    let read = decode(old).unwrap();
    assert!(matches!(read.entry.fact, Fact::SessionEnded { cut: None, .. }), "{read:?}");
    assert_eq!(encode(&read).unwrap(), old);
    let mut verifier = Verifier::new();
    verifier.check(old, &chain(&Digest::ZERO, old)).unwrap();
    assert_eq!(verifier.finish().unwrap().size, 1);
    let mut told = read;
    let Fact::SessionEnded { cut, .. } = &mut told.entry.fact else { panic!("a session that ended") };
    *cut = Some(Timestamp::from_micros(1_800_000_006_999_000));
    let bytes = encode(&told).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains(r#""cut":1800000006999000"#));
    assert_eq!(decode(&bytes).unwrap(), told);
}

#[test]
fn a_null_is_left_out_and_read_back_as_none() {
    let obligations = Obligations { idle_limit: None, ..Obligations::default() };
    let filed = record(
        0,
        Fact::RequestApproved {
            request: RequestId::from_random(1),
            path: PolicyPath { policy: "p".to_owned(), obligations },
            approvers: BTreeSet::new(),
            starts: Timestamp::default(),
            ends: Timestamp::MAX,
        },
    );
    let bytes = encode(&filed).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("null"));
    assert_eq!(decode(&bytes).unwrap(), filed);
}

#[test]
fn a_record_of_a_later_version_is_refused_by_name() {
    let bytes = encode(&record(0, Fact::SystemStopped {})).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let kind = text.replace("system.stopped", "system.paused");
    assert!(matches!(decode(kind.as_bytes()), Err(DecodeError::NotARecord(why)) if why.contains("system.paused")));
    let member = text.replace("\"time\"", "\"spice\":1,\"time\"");
    assert_eq!(decode(member.as_bytes()), Err(DecodeError::Unknown));
    let spaced = text.replace("\"seq\":0", "\"seq\": 0");
    assert!(matches!(decode(spaced.as_bytes()), Err(DecodeError::NotCanonical(_))));
}

#[test]
fn a_good_ledger_verifies_and_its_export_too() {
    let records = ledger(50);
    let mut export = Vec::new();
    let mut verifier = Verifier::new();
    for (bytes, chain) in &records {
        verifier.check(bytes, chain).unwrap();
        export.extend(export_line(bytes, chain));
    }
    let verified = verifier.finish().unwrap();
    assert_eq!((verified.size, verified.root), (50, root(&records)));
    let mut seen = 0;
    let again = verify_lines(&mut &export[..], Verifier::new(), &mut |_, _| seen += 1).unwrap();
    assert_eq!((again, seen), (verified, 50));
    // Each line is JSON that anybody can read.
    for line in String::from_utf8(export).unwrap().lines() {
        check(line.as_bytes()).unwrap();
    }
}

#[test]
fn the_first_bad_record_is_named() {
    let good = ledger(10);
    let fails = |records: &[(Vec<u8>, Digest)]| {
        let mut verifier = Verifier::new();
        records.iter().find_map(|(bytes, chain)| verifier.check(bytes, chain).err()).unwrap()
    };
    let mut changed = good.clone();
    changed[4].0 = encode(&record(4, Fact::SystemStarted { version: "forged".to_owned() })).unwrap();
    let flaw = fails(&changed);
    assert!(flaw.seq == Seq(4) && matches!(flaw.what, FlawKind::Chain { .. }), "{flaw}");

    let mut missing = good.clone();
    missing.remove(6);
    let flaw = fails(&missing);
    assert!(flaw.seq == Seq(6) && flaw.what == FlawKind::Number { found: Seq(7) }, "{flaw}");

    let mut doubled = good.clone();
    doubled.insert(3, good[2].clone());
    assert_eq!(fails(&doubled).seq, Seq(3));

    let mut moved = good.clone();
    moved.swap(1, 2);
    assert_eq!(fails(&moved).seq, Seq(1));

    let mut spelled = good;
    spelled[5].0 = String::from_utf8(spelled[5].0.clone()).unwrap().replace(":5", ": 5").into_bytes();
    let flaw = fails(&spelled);
    assert!(flaw.seq == Seq(5) && matches!(flaw.what, FlawKind::Encoding(_)), "{flaw}");
}

#[test]
fn a_ledger_rewritten_with_its_chain_is_found_by_a_checkpoint() {
    let honest = ledger(20);
    let signer = Signer::new("ledger.test", &[9; 32]).unwrap();
    let sign = |size: usize| {
        let checkpoint =
            Checkpoint { origin: "ledger.test".to_owned(), size: size as u64, root: root(&honest[..size]) };
        let note = checkpoint.sign(&signer).unwrap().to_string();
        Checkpoint::open(&note, &[signer.verifier().clone()]).unwrap()
    };
    let checkpoints = [sign(20), sign(8), sign(15)];
    let run = |records: &[(Vec<u8>, Digest)]| {
        let mut verifier = Verifier::with_checkpoints(checkpoints.clone())?;
        for (bytes, chain) in records {
            verifier.check(bytes, chain)?;
        }
        verifier.finish()
    };
    assert_eq!(run(&honest).unwrap().checkpoints, 3);

    let mut last = honest[9].1;
    let mut forged = honest[..10].to_vec();
    for seq in 10..20 {
        let bytes = encode(&record(seq, Fact::SystemStopped {})).unwrap();
        last = chain(&last, &bytes);
        forged.push((bytes, last));
    }
    let flaw = run(&forged).unwrap_err();
    assert!(flaw.seq == Seq(14) && matches!(flaw.what, FlawKind::Checkpoint { size: 15, .. }), "{flaw}");
    let flaw = run(&honest[..17]).unwrap_err();
    assert!(flaw.seq == Seq(17) && matches!(flaw.what, FlawKind::Missing { size: 20, .. }), "{flaw}");
}

#[test]
fn a_bad_line_is_named() {
    let records = ledger(3);
    let mut export = Vec::new();
    for (bytes, chain) in &records {
        export.extend(export_line(bytes, chain));
    }
    let text = String::from_utf8(export).unwrap();
    let run = |text: &str| verify_lines(&mut text.as_bytes(), Verifier::new(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(run(&text.replace("0.1", "0.7")), LineError::Flaw { line: 2, .. }));
    assert!(matches!(run(&text.replacen("{\"chain\"", "{ \"chain\"", 1)), LineError::Form { line: 1 }));
    let half = &text[..text.len() - 5];
    assert!(matches!(run(half), LineError::Form { line: 3 }));
}

#[test]
fn one_fact_is_proved_from_the_export() {
    let records = ledger(33);
    let mut export = Vec::new();
    for (bytes, chain) in &records {
        export.extend(export_line(bytes, chain));
    }
    let mut leaves = Vec::new();
    let verified =
        verify_lines(&mut &export[..], Verifier::new(), &mut |_, bytes| leaves.push(leaf_hash(bytes))).unwrap();
    let proof = inclusion(&mut leaves[..], 12, 33).unwrap().unwrap();
    proof.verify(&leaf_hash(&records[12].0), &verified.root).unwrap();
    assert!(proof.verify(&leaf_hash(&records[13].0), &verified.root).is_err());
    // It travels as JSON.
    let text = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<portcullis_ledger::InclusionProof>(&text).unwrap(), proof);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let text = any::<String>;
    let session = || any::<u64>().prop_map(SessionId::from_random);
    let address = || proptest::option::of(any::<[u8; 16]>().prop_map(std::net::IpAddr::from));
    prop_oneof![
        (text(), text()).prop_map(|(sha256, error)| Fact::PolicyRefused { sha256, error }),
        (any::<u64>(), proptest::option::of(any::<u32>()), proptest::option::of(text()), address()).prop_map(
            |(bits, span, comment, address)| Fact::RequestReviewed {
                request: RequestId::from_random(bits),
                verdict: Verdict::Approve { duration: span.map(Span::from_seconds) },
                groups: BTreeSet::from(["sre".parse().unwrap()]),
                comment,
                touch: address.is_some(),
                totp: address.is_some(),
                address,
            }
        ),
        (session(), text(), any::<u64>(), proptest::option::of(any::<u64>())).prop_map(|(session, reason, at, cut)| {
            Fact::SessionEnded {
                session,
                end: SessionEnd::Cut { by: Actor::System, reason, at: Timestamp::from_micros(at) },
                cut: cut.map(Timestamp::from_micros),
                dropped: Timestamp::from_micros(at),
            }
        }),
        (session(), text(), any::<u16>()).prop_map(|(session, term, rows)| Fact::ChannelOpened {
            session,
            channel: 3,
            channel_kind: ChannelKind::Exec { command: term.clone() },
            pty: Some(Pty { term, columns: 80, rows }),
        }),
        (session(), 0u64..=1 << 53, any::<u32>()).prop_map(|(session, bytes, status)| Fact::ChannelClosed {
            session,
            channel: 0,
            end: ChannelEnd { bytes_in: bytes, exit: Some(ExitReport::Status(status)), ..ChannelEnd::default() },
        }),
        (session(), text(), 0u64..=1 << 53).prop_map(|(session, sha256, bytes)| Fact::RecordingClosed {
            recording: model::RecordingId::from_random(bytes),
            session,
            closed: RecordingClosed { sha256, bytes, events: 1, milliseconds: 2, status: RecordingStatus::Complete },
        }),
        (text(), proptest::option::of(any::<u64>())).prop_map(|(reason, until)| Fact::LockPlaced {
            lock: Lock {
                id: model::LockId::from_random(5),
                subject: LockSubject::Everything,
                reason,
                until: until.map(Timestamp::from_micros),
            },
        }),
        (text(), any::<u64>(), proptest::collection::btree_map(text(), text(), 0..4)).prop_map(
            |(key_id, bits, critical_options): (String, u64, BTreeMap<String, String>)| Fact::CertificateIntended {
                certificate: CertificateBody {
                    serial: Serial::from_random(bits),
                    profile: CertificateProfile::Session,
                    key: "SHA256:k".to_owned(),
                    ca: "SHA256:c".to_owned(),
                    key_id,
                    principals: BTreeSet::from(["root@web1".parse::<Principal>().unwrap()]),
                    valid_after: Timestamp::from_seconds(1),
                    valid_before: Timestamp::from_seconds(2),
                    critical_options,
                    extensions: BTreeSet::from(["permit-pty".to_owned()]),
                },
                request: None,
                tbs_sha256: String::new(),
                bought_with: None,
            }
        ),
    ]
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53)..=1 << 53).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_record_reads_back(seq in 0u64..1 << 53, fact in any_fact()) {
        let record = record(seq, fact);
        let bytes = encode(&record).unwrap();
        check(&bytes).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), record);
    }

    #[test]
    fn canonical_json_is_a_fixed_point_with_sorted_members(value in any_json()) {
        let bytes = canonical(&value).unwrap();
        check(&bytes).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(canonical(&read).unwrap(), bytes);
    }

    /// Whatever a byte is changed to, the result is refused or is another record that says so.
    #[test]
    fn a_changed_byte_never_passes_for_the_same_record(fact in any_fact(), place: usize, mask in 1u8..) {
        let record = record(1, fact);
        let mut bytes = encode(&record).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= mask;
        if let Ok(other) = decode(&bytes) {
            prop_assert_ne!(&other, &record);
            prop_assert_eq!(encode(&other).unwrap(), bytes);
        }
    }

    #[test]
    fn check_and_encode_agree_on_what_is_canonical(text in "[ -~]{0,40}") {
        if check(text.as_bytes()).is_ok() {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(canonical(&value).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
        let _ = decode(&bytes);
        let _ = parse_line(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = text.parse::<portcullis_ledger::Note>();
            let _ = text.parse::<Checkpoint>();
            let _ = text.parse::<portcullis_ledger::VerifierKey>();
        }
    }
}

#[test]
fn a_verified_ledger_says_what_it_begins_with() {
    let mut verifier = Verifier::new();
    assert_eq!(verifier.clone().finish().unwrap().first, None);
    for (bytes, chain) in ledger(3) {
        verifier.check(&bytes, &chain).unwrap();
    }
    assert_eq!(verifier.finish().unwrap().first, Some("system.started"));
}
