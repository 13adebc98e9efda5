//! Transfers in lines, whole, in pieces, broken and refused.

use super::*;
use crate::{Digest, Operation};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn no_secrets(action: &Action) -> Verdict {
    if action.paths().any(|path| path.text().contains("secret")) {
        Verdict::Refuse("that is\nsecret".into())
    } else {
        Verdict::Allow
    }
}

type Test = ScpWatch<fn(&Action) -> Verdict>;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    operations: Vec<Operation>,
    broken: Option<Broken>,
}

/// `>` the client sends, `<` the server sends.
fn run(command: &str, limits: &Limits, talk: &[(char, &[u8])], size: usize) -> Seen {
    let command = ScpCommand::parse(command.as_bytes()).unwrap();
    let mut watch = Test::new(&command, limits.clone(), no_secrets);
    let mut seen = Seen::default();
    for (way, bytes) in talk {
        for piece in bytes.chunks(size) {
            let mut passed = Passed::default();
            let piece = Bytes::copy_from_slice(piece);
            let result = if *way == '>' { watch.client(piece, &mut passed) } else { watch.server(piece, &mut passed) };
            seen.to_server.extend(passed.to_server.concat());
            seen.to_client.extend(passed.to_client.concat());
            seen.operations.extend(passed.operations);
            assert!(watch.held() <= limits.worst());
            if let Err(broken) = result {
                seen.broken = Some(broken);
                return seen;
            }
        }
    }
    let mut passed = Passed::default();
    watch.finish(&mut passed);
    seen.operations.extend(passed.operations);
    seen
}

fn lines(seen: &Seen) -> Vec<String> {
    seen.operations.iter().map(|operation| serde_json::to_string(operation).unwrap()).collect()
}

fn of(talk: &[(char, &[u8])], way: char) -> Vec<u8> {
    talk.iter().filter(|(side, _)| *side == way).flat_map(|(_, bytes)| bytes.to_vec()).collect()
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

const UP: &[(char, &[u8])] = &[
    ('<', b"\0"),
    ('>', b"T1700000000 0 1700000001 0\n"),
    ('<', b"\0"),
    ('>', b"D0755 0 dir\n"),
    ('<', b"\0"),
    ('>', b"C0644 11 a b\n"),
    ('<', b"\0"),
    ('>', b"hello world\0"),
    ('<', b"\0"),
    ('>', b"C0600 0 empty\n"),
    ('<', b"\0"),
    ('>', b"\0"),
    ('<', b"\0"),
    ('>', b"C0644 3 no\n"),
    ('<', b"\x01scp: no: Permission denied\n"),
    ('>', b"\x01scp: gone: No such file\n"),
    ('>', b"E\n"),
    ('<', b"\0"),
];

#[test]
fn an_upload_is_told() {
    let seen = run("scp -r -p -d -t /srv", &Limits::default(), UP, usize::MAX);
    assert_eq!(seen.broken, None);
    assert_eq!((seen.to_server.clone(), seen.to_client.clone()), (of(UP, '>'), of(UP, '<')));
    let digest = hex(b"hello world");
    let empty = hex(b"");
    assert_eq!(
        lines(&seen),
        [
            r#"{"op":"mkdir","path":"/srv/dir","permissions":"0755","result":"done"}"#.to_owned(),
            r#"{"op":"open","path":"/srv/dir/a b","write":true,"create":true,"truncate":true,"size":11,"permissions":"0644","result":"done"}"#.into(),
            format!(r#"{{"op":"close","path":"/srv/dir/a b","written":{{"bytes":11,"from":0,"to":11,"sha256":"{digest}"}},"result":"done"}}"#),
            r#"{"op":"open","path":"/srv/dir/empty","write":true,"create":true,"truncate":true,"size":0,"permissions":"0600","result":"done"}"#.into(),
            format!(r#"{{"op":"close","path":"/srv/dir/empty","written":{{"bytes":0,"from":0,"to":0,"sha256":"{empty}"}},"result":"done"}}"#),
            r#"{"op":"open","path":"/srv/dir/no","write":true,"create":true,"truncate":true,"size":3,"permissions":"0644","result":{"failed":{"text":"scp: no: Permission denied"}}}"#.into(),
        ]
    );
}

const DOWN: &[(char, &[u8])] = &[
    ('>', b"\0"),
    ('<', b"D0755 0 etc\n"),
    ('>', b"\0"),
    ('<', b"C0644 4 ok\n"),
    ('>', b"\0"),
    ('<', b"data\0"),
    ('>', b"\0"),
    ('<', b"\x01scp: x: Permission denied\n"),
    ('<', b"E\n"),
    ('>', b"\0"),
];

#[test]
fn a_download_is_told() {
    let seen = run("scp -r -f /etc", &Limits::default(), DOWN, usize::MAX);
    assert_eq!(seen.broken, None);
    assert_eq!((seen.to_server.clone(), seen.to_client.clone()), (of(DOWN, '>'), of(DOWN, '<')));
    let digest = hex(b"data");
    assert_eq!(
        lines(&seen),
        [
            r#"{"op":"open","path":"/etc/ok","read":true,"size":4,"permissions":"0644","result":"done"}"#.to_owned(),
            format!(
                r#"{{"op":"close","path":"/etc/ok","read":{{"bytes":4,"from":0,"to":4,"sha256":"{digest}"}},"result":"done"}}"#
            ),
            r#"{"op":"open","path":"/etc","read":true,"result":{"failed":{"text":"scp: x: Permission denied"}}}"#
                .into(),
            r#"{"op":"list","path":"/etc","entries":1,"result":"done"}"#.into(),
        ]
    );
}

#[test]
fn a_receiver_may_have_the_content_before_it_hears_that_it_was_good() {
    let talk: &[(char, &[u8])] = &[
        ('>', b"\0"),
        ('<', b"D0755 0 srv\n"),
        ('>', b"\0"),
        ('<', b"C0644 4 ok\n"),
        ('>', b"\0"),
        ('<', b"data"),
        ('>', b"\0"),
        ('<', b"\0C0644 0 empty\n"),
        ('>', b"\0\0"),
        ('<', b"\0"),
    ];
    for size in [1, usize::MAX] {
        let seen = run("scp -r -f /srv", &Limits::default(), talk, size);
        assert_eq!(seen.broken, None);
        assert_eq!((seen.to_server.clone(), seen.to_client.clone()), (of(talk, '>'), of(talk, '<')));
        let whole = lines(&seen).iter().filter(|line| line.contains("close") && line.contains("done")).count();
        assert_eq!(whole, 2, "{:?}", lines(&seen));
    }
    // Once, and not twice.
    let twice = &[('>', &b"\0"[..]), ('<', b"C0644 4 ok\n"), ('>', b"\0"), ('<', b"data"), ('>', b"\0\0")];
    assert!(run("scp -f /srv/ok", &Limits::default(), twice, usize::MAX).broken.is_some());
}

#[test]
fn times_are_a_setstat_of_what_follows() {
    let talk: &[(char, &[u8])] = &[
        ('<', b"\0"),
        ('>', b"T2 0 1 0\n"),
        ('<', b"\0"),
        ('>', b"C0644 1 x\n"),
        ('<', b"\0"),
        ('>', b"a\0"),
        ('<', b"\0"),
    ];
    let seen = run("scp -p -t /srv/", &Limits::default(), talk, usize::MAX);
    assert_eq!(lines(&seen)[1], r#"{"op":"setstat","path":"/srv/x","accessed":1,"modified":2,"result":"done"}"#);
}

#[test]
fn a_refused_upload_is_answered_and_goes_nowhere() {
    let talk: &[(char, &[u8])] = &[
        ('<', b"\0"),
        ('>', b"D0755 0 secrets\n"),
        ('>', b"C0644 2 secret\n"),
        ('>', b"C0644 2 open\n"),
        ('<', b"\0"),
        ('>', b"ab\0"),
        ('<', b"\0"),
    ];
    let seen = run("scp -t /srv/", &Limits::default(), talk, usize::MAX);
    assert_eq!(seen.to_server, b"C0644 2 open\nab\0");
    let no = b"\x01portcullis: that is secret\n".to_vec();
    assert_eq!(seen.to_client, [&b"\0"[..], &no, &no, b"\0\0"].concat());
    assert_eq!(seen.operations.iter().filter(|op| matches!(op.result, Outcome::Refused { .. })).count(), 2);
    // Whoever sends the content all the same is not understood.
    let stubborn = [&talk[..3], &[('>', &b"ab\0\n"[..])]].concat();
    let seen = run("scp -t /srv/", &Limits::default(), &stubborn, usize::MAX);
    assert!(seen.broken.is_some() && seen.to_server.is_empty());
}

#[test]
fn a_refused_download_is_answered_on_both_sides() {
    let talk: &[(char, &[u8])] = &[('>', b"\0"), ('<', b"C0644 4 secret\n")];
    let seen = run("scp -f /etc/secret", &Limits::default(), talk, usize::MAX);
    let no = b"\x01portcullis: that is secret\n".to_vec();
    assert_eq!(seen.to_client, no);
    assert_eq!(seen.to_server, [&b"\0"[..], &no].concat());
    assert_eq!(seen.broken, None);
}

#[test]
fn an_upload_has_two_names_until_it_is_known_to_be_in_a_folder() {
    let talk: &[(char, &[u8])] =
        &[('<', b"\0"), ('>', b"D0755 0 d\n"), ('<', b"\0"), ('>', b"C0644 2 x\n"), ('<', b"\0")];
    for (command, path, or) in [
        ("scp -r -t /srv", "/srv/d/x", Some("/srv/x")),
        ("scp -r -d -t /srv", "/srv/d/x", None),
        ("scp -r -t /srv/", "/srv/d/x", None),
        ("scp -r -t .", "d/x", None),
        ("scp -r -t ~/up", "up/d/x", Some("up/x")),
    ] {
        let seen = run(command, &Limits::default(), talk, usize::MAX);
        let paths: Vec<_> = seen.operations[1].action.paths().map(crate::RemotePath::text).collect();
        assert_eq!(paths, [Some(path), or].into_iter().flatten().collect::<Vec<_>>(), "{command}");
    }
    // Both must be allowed.
    let secret: &[(char, &[u8])] = &[('<', b"\0"), ('>', b"C0644 2 x\n")];
    assert!(run("scp -t /srv/secret", &Limits::default(), secret, usize::MAX).to_server.is_empty());
}

#[test]
fn a_sender_that_does_not_wait_is_made_to() {
    let command = ScpCommand::parse(b"scp -t /srv/").unwrap();
    let mut watch = Test::new(&command, Limits::default(), no_secrets);
    let mut passed = Passed::default();
    watch.client(Bytes::from_static(b"C0644 2 x\nab\0C0644 1 secret\nC0644 1 y\nz\0"), &mut passed).unwrap();
    assert!(passed.to_server.is_empty() && watch.holds_client() && !watch.holds_server());
    let mut sent = Vec::new();
    for _ in 0..5 {
        let mut passed = Passed::default();
        watch.server(Bytes::from_static(b"\0"), &mut passed).unwrap();
        sent.push(passed.to_server.concat());
    }
    assert_eq!(sent, [&b"C0644 2 x\n"[..], b"ab\0", b"C0644 1 y\n", b"z\0", b""]);
}

#[test]
fn a_transfer_that_breaks_off_has_no_digest() {
    let talk: &[(char, &[u8])] = &[('<', b"\0"), ('>', b"C0644 9 x\n"), ('<', b"\0"), ('>', b"ab")];
    let seen = run("scp -t /srv/", &Limits::default(), talk, usize::MAX);
    let last = seen.operations.last().unwrap();
    let Action::Close { written: Some(moved), .. } = &last.action else { panic!("{last:?}") };
    assert_eq!(
        (moved.bytes, &moved.digest, &last.result),
        (2, &Digest::Absent(Absent::Unclosed), &Outcome::Unanswered)
    );
    // The sender could not read all of its file, and has sent something else in its place.
    let talk: &[(char, &[u8])] =
        &[('<', b"\0"), ('>', b"C0644 2 x\n"), ('<', b"\0"), ('>', b"ab\x01x: read error\n"), ('<', b"\0")];
    let seen = run("scp -t /srv/", &Limits::default(), talk, usize::MAX);
    assert!(lines(&seen).last().unwrap().contains(r#""no-digest":"failed""#));
}

#[test]
fn what_is_malformed_ends_the_channel() {
    let limits = Limits { path: 20, ..Limits::default() };
    for (command, talk, problem) in [
        ("scp -t x", &[('<', &b"\0"[..]), ('>', b"hello\n")][..], "a line of scp that is not one of C, D, E, T"),
        ("scp -t x", &[('<', b"\0"), ('>', b"C0644 1 ..\n")], "a file name that is empty"),
        ("scp -t x", &[('<', b"\0"), ('>', b"C0644 1 a/b\n")], "a file name that is empty"),
        ("scp -t x", &[('<', b"\0"), ('>', b"E\n")], "a line of scp that is not in a folder"),
        ("scp -t x", &[('<', b"\0"), ('>', &[b'C'; 200])], "the line of 85 bytes is longer than 84"),
        ("scp -t x", &[('<', b"\0"), ('>', b"\0")], "a line of scp that is not"),
        ("scp -t x", &[('<', b"Welcome!\n")], "a line of scp that is not a yes or a warning"),
        ("scp -t x", &[('<', b"\0\0")], "a line of scp that is not an answer to anything"),
        (
            "scp -f x",
            &[('>', b"\0"), ('<', b"C0644 0 x\n"), ('>', b"\0"), ('<', b"\0"), ('>', b"\0"), ('<', b"C0644 0 y\n")],
            "a second file",
        ),
        (
            "scp -f x",
            &[('>', b"\0"), ('<', b"C0644 1 x\n"), ('>', b"\0"), ('<', b"ab")],
            "a line of scp that is not a yes",
        ),
    ] {
        let seen = run(command, &limits, talk, usize::MAX);
        // A line without an end is not wrong before it is long.
        let seen = if seen.broken.is_none() {
            run(command, &limits, &[talk, &[('<', b"\n")]].concat(), usize::MAX)
        } else {
            seen
        };
        let broken = seen.broken.unwrap_or_else(|| panic!("{problem}"));
        assert!(broken.problem.to_string().starts_with(problem), "{problem}: {broken}");
    }
    let deep: Vec<(char, &[u8])> = std::iter::once(('<', &b"\0"[..]))
        .chain((0..200).flat_map(|_| [('>', &b"D0755 0 d\n"[..]), ('<', &b"\0"[..])]))
        .collect();
    let broken = run("scp -r -t x", &Limits::default(), &deep, usize::MAX).broken.unwrap();
    assert_eq!(broken.problem, Problem::Depth { limit: 128 });
    let huge: &[(char, &[u8])] = &[('<', b"\0"), ('>', b"C0644 11 x\n")];
    let seen = run("scp -t x", &Limits { file: 10, ..Limits::default() }, huge, usize::MAX);
    assert!(matches!(seen.operations[0].result, Outcome::Refused { .. }) && seen.to_server.is_empty());
}

#[test]
fn words_that_nobody_asked_for_answer_what_comes_next() {
    // A receiver that could not set the times of a folder; every sender takes that for the answer to its next line.
    let talk: &[(char, &[u8])] =
        &[('<', b"\0"), ('<', b"\x01scp: d: set times\n"), ('>', b"C0644 1 x\n"), ('>', b"C0644 1 y\n")];
    let seen = run("scp -t /srv/", &Limits::default(), talk, usize::MAX);
    assert_eq!(seen.to_server, b"C0644 1 x\nC0644 1 y\n");
    assert!(lines(&seen)[0].contains("set times"));
}

proptest! {
    #[test]
    fn pieces_change_nothing(
        upload in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..4),
        size in 1usize..20,
    ) {
        let (command, talk) = if upload { ("scp -r -p -t /srv", UP) } else { ("scp -r -f /etc", DOWN) };
        let mut talk: Vec<(char, Vec<u8>)> = talk.iter().map(|(way, bytes)| (*way, bytes.to_vec())).collect();
        for (which, place, byte) in changes {
            *place.get_mut(&mut which.get_mut(&mut talk).1) = byte;
        }
        let talk: Vec<(char, &[u8])> = talk.iter().map(|(way, bytes)| (*way, bytes.as_slice())).collect();
        prop_assert_eq!(run(command, &Limits::default(), &talk, size), run(command, &Limits::default(), &talk, usize::MAX));
    }

    #[test]
    fn garbage_breaks_nothing(
        upload in any::<bool>(),
        pieces in prop::collection::vec((any::<bool>(), "[CDET\0\x01 0-9a./\n]{0,20}"), 0..20),
    ) {
        let talk: Vec<(char, &[u8])> = pieces.iter().map(|(client, text)| (if *client { '>' } else { '<' }, text.as_bytes())).collect();
        run(if upload { "scp -t x" } else { "scp -f x" }, &Limits::default(), &talk, usize::MAX);
    }
}
