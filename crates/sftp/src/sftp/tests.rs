//! Conversations in packets, whole, in pieces, broken and refused.

use super::wire::*;
use super::*;
use crate::{Absent, Action, Digest, Operation, Outcome, Verdict};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// A packet of this type with these fields behind it.
fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[kind], &body].concat()
}

fn n32(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn n64(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    [&n32(text.as_ref().len() as u32), text.as_ref()].concat()
}

const NO_ATTRIBUTES: [u8; 4] = [0; 4];

fn request(kind: u8, id: u32, fields: &[&[u8]]) -> Vec<u8> {
    packet(kind, &[&[&n32(id)[..]], fields].concat())
}

fn init() -> Vec<u8> {
    packet(INIT, &[&n32(3)])
}

fn version() -> Vec<u8> {
    packet(VERSION, &[&n32(3), &text("posix-rename@openssh.com"), &text("1")])
}

fn open(id: u32, path: &str, flags: u32) -> Vec<u8> {
    request(OPEN, id, &[&text(path), &n32(flags), &NO_ATTRIBUTES])
}

fn handle(id: u32, handle: &str) -> Vec<u8> {
    request(HANDLE_REPLY, id, &[&text(handle)])
}

fn write(id: u32, handle: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    request(WRITE, id, &[&text(handle), &n64(offset), &text(data)])
}

fn read(id: u32, handle: &str, offset: u64, length: u32) -> Vec<u8> {
    request(READ, id, &[&text(handle), &n64(offset), &n32(length)])
}

fn data(id: u32, data: &[u8]) -> Vec<u8> {
    request(DATA, id, &[&text(data)])
}

fn said(id: u32, code: u32) -> Vec<u8> {
    request(STATUS, id, &[&n32(code), &text("words"), &text("")])
}

fn name(id: u32, names: &[&str]) -> Vec<u8> {
    let list: Vec<u8> =
        names.iter().flat_map(|n| [text(n), text("-rw-r--r--"), NO_ATTRIBUTES.to_vec()].concat()).collect();
    request(NAME, id, &[&n32(names.len() as u32), &list])
}

fn on_handle(kind: u8, id: u32, handle: &str) -> Vec<u8> {
    request(kind, id, &[&text(handle)])
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::Sha256(hex::encode(Sha256::digest(bytes)))
}

/// Refuses what has "secret" in one of its paths.
fn no_secrets(action: &Action) -> Verdict {
    if action.paths().any(|path| path.text().contains("secret")) {
        Verdict::Refuse("that is secret".into())
    } else {
        Verdict::Allow
    }
}

type Test = SftpWatch<fn(&Action) -> Verdict>;

/// All that came out of a watch.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    operations: Vec<Operation>,
    broken: Option<Broken>,
}

struct Talk {
    watch: Test,
    seen: Seen,
    limits: Limits,
}

impl Talk {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let watch = Test::new(limits.clone(), no_secrets);
        Self { watch, seen: Seen::default(), limits }
    }

    /// One that has agreed on the version, and forgot it.
    fn begun() -> Self {
        let mut talk = Self::new();
        talk.client(&init());
        talk.server(&version());
        talk.seen = Seen::default();
        talk
    }

    fn feed(&mut self, side: Side, bytes: &[u8]) {
        if self.seen.broken.is_some() {
            return;
        }
        let mut passed = Passed::default();
        let bytes = Bytes::copy_from_slice(bytes);
        let result = match side {
            Side::Client => self.watch.client(bytes, &mut passed),
            Side::Server => self.watch.server(bytes, &mut passed),
        };
        self.seen.to_server.extend(passed.to_server.concat());
        self.seen.to_client.extend(passed.to_client.concat());
        self.seen.operations.extend(passed.operations);
        self.seen.broken = result.err();
        assert!(self.watch.held() <= self.limits.worst(), "{} bytes are kept", self.watch.held());
    }

    fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.feed(Side::Client, bytes);
        self
    }

    fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.feed(Side::Server, bytes);
        self
    }

    fn finish(mut self) -> Seen {
        let mut passed = Passed::default();
        self.watch.finish(&mut passed);
        self.seen.operations.extend(passed.operations);
        if self.seen.broken.is_none() {
            assert!(passed.to_client.is_empty() && passed.to_server.is_empty());
        }
        self.seen
    }

    /// What was told so far, as lines, and forgotten.
    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen.operations).iter().map(|op| serde_json::to_string(op).unwrap()).collect()
    }

    fn problem(&self) -> &Problem {
        &self.seen.broken.as_ref().expect("it is broken").problem
    }
}

/// A conversation with something of everything, two refusals among it; some answers come out of order.
fn conversation() -> Vec<(Side, Vec<u8>)> {
    let client = |packets: &[Vec<u8>]| (Side::Client, packets.concat());
    let server = |packets: &[Vec<u8>]| (Side::Server, packets.concat());
    let link = request(SYMLINK, 31, &[&text("../bob"), &text("link")]);
    let chmod = request(SETSTAT, 32, &[&text("x"), &n32(4), &n32(0o4755)]);
    let rename = request(EXTENDED, 33, &[&text("posix-rename@openssh.com"), &text("x"), &text("y")]);
    let hardlink = request(EXTENDED, 34, &[&text("hardlink@openssh.com"), &text("y"), &text("secret")]);
    vec![
        client(&[init()]),
        server(&[version()]),
        client(&[request(REALPATH, 0, &[&text(".")]), open(1, "up", 26), open(2, "/secret/down", 1)]),
        server(&[name(0, &["/home/alice"]), handle(1, "h1")]),
        client(&[write(3, "h1", 0, b"hello "), write(4, "h1", 6, b"world"), open(5, "down", 1)]),
        server(&[said(4, OK), said(3, OK), handle(5, "h2")]),
        client(&[read(6, "h2", 0, 4), read(7, "h2", 4, 4), on_handle(CLOSE, 8, "h1"), read(9, "h2", 8, 4)]),
        server(&[data(7, b"efgh"), said(8, OK), data(6, b"abcd")[..15].to_vec()]),
        client(&[request(STAT, 10, &[&text("/secret/x")])]),
        server(&[data(6, b"abcd")[15..].to_vec(), data(9, b"ij")]),
        client(&[read(11, "h2", 10, 2)]),
        server(&[said(11, EOF)]),
        client(&[on_handle(CLOSE, 12, "h2"), request(OPENDIR, 13, &[&text("..")])]),
        server(&[said(12, OK), handle(13, "d")]),
        client(&[on_handle(READDIR, 14, "d"), on_handle(READDIR, 15, "d")]),
        server(&[name(14, &[".", "..", "alice"]), said(15, EOF)]),
        client(&[on_handle(CLOSE, 16, "d"), request(MKDIR, 17, &[&text("new"), &NO_ATTRIBUTES])]),
        server(&[said(16, OK), said(17, FAILURE)]),
        client(&[link, chmod, rename, hardlink, request(EXTENDED, 35, &[&text("odd"), &[1, 2, 3]])]),
        server(&[said(31, OK), said(32, OK), said(33, OK)]),
        client(&[request(REMOVE, 36, &[&text("y")]), request(99, 37, &[])]),
    ]
}

fn run(schedule: &[(Side, Vec<u8>)], size: usize) -> Seen {
    let mut talk = Talk::new();
    for (side, bytes) in schedule {
        for piece in bytes.chunks(size) {
            talk.feed(*side, piece);
        }
    }
    talk.finish()
}

#[test]
fn a_conversation_is_told_line_by_line() {
    let seen = run(&conversation(), usize::MAX);
    assert_eq!(seen.broken, None);
    let lines: Vec<String> = seen.operations.iter().map(|op| serde_json::to_string(op).unwrap()).collect();
    let refused = r#""result":{"refused":{"reason":"that is secret"}}}"#;
    let hex = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let (up, down) = (hex(b"hello world"), hex(b"abcdefghij"));
    assert_eq!(
        lines,
        [
            format!(r#"{{"op":"open","path":"/secret/down","read":true,{refused}"#),
            // This one was asked for before the target had named its home.
            r#"{"op":"open","path":"up","write":true,"create":true,"truncate":true,"result":"done"}"#.into(),
            r#"{"op":"open","path":"/home/alice/down","read":true,"result":"done"}"#.into(),
            format!(
                r#"{{"op":"close","path":"up","written":{{"bytes":11,"from":0,"to":11,"sha256":"{up}"}},"result":"done"}}"#
            ),
            format!(r#"{{"op":"look","path":"/secret/x","how":"stat",{refused}"#),
            format!(
                r#"{{"op":"close","path":"/home/alice/down","read":{{"bytes":10,"from":0,"to":10,"sha256":"{down}"}},"result":"done"}}"#
            ),
            r#"{"op":"list","path":"/home","entries":3,"result":"done"}"#.into(),
            r#"{"op":"mkdir","path":"/home/alice/new","result":{"failed":{"code":4,"text":"words"}}}"#.into(),
            format!(r#"{{"op":"hardlink","path":"/home/alice/y","to":"/home/alice/secret",{refused}"#),
            r#"{"op":"extended","name":"odd","result":{"refused":{"reason":"this extension is not passed on"}}}"#
                .into(),
            r#"{"op":"symlink","path":"/home/bob","to":"/home/alice/link","result":"done"}"#.into(),
            r#"{"op":"setstat","path":"/home/alice/x","permissions":"4755","result":"done"}"#.into(),
            r#"{"op":"posix-rename","path":"/home/alice/x","to":"/home/alice/y","result":"done"}"#.into(),
            r#"{"op":"unknown","kind":99,"result":{"refused":{"reason":"this request is not passed on"}}}"#.into(),
            r#"{"op":"remove","path":"/home/alice/y","result":"unanswered"}"#.into(),
        ]
    );
}

#[test]
fn what_is_refused_goes_nowhere_and_all_else_is_unchanged() {
    let conversation = conversation();
    let seen = run(&conversation, usize::MAX);
    let sent = |wanted: Side| -> Vec<u8> {
        conversation.iter().filter(|(side, _)| *side == wanted).flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    let without = |stream: Vec<u8>, packet: &[u8]| {
        let at = stream.windows(packet.len()).position(|window| window == packet).expect("the packet");
        [&stream[..at], &stream[at + packet.len()..]].concat()
    };
    let mut expected = sent(Side::Client);
    for packet in [
        open(2, "/secret/down", 1),
        request(STAT, 10, &[&text("/secret/x")]),
        request(EXTENDED, 34, &[&text("hardlink@openssh.com"), &text("y"), &text("secret")]),
        request(EXTENDED, 35, &[&text("odd"), &[1, 2, 3]]),
        request(99, 37, &[]),
    ] {
        expected = without(expected, &packet);
    }
    assert_eq!(seen.to_server, expected);

    let mut to_client = seen.to_client;
    for (id, code, reason) in [
        (2, PERMISSION_DENIED, "that is secret"),
        (10, PERMISSION_DENIED, "that is secret"),
        (34, PERMISSION_DENIED, "that is secret"),
        (35, OP_UNSUPPORTED, "this extension is not passed on"),
        (37, OP_UNSUPPORTED, "this request is not passed on"),
    ] {
        to_client = without(to_client, &status(id, code, reason));
    }
    assert_eq!(to_client, sent(Side::Server));
}

#[test]
fn an_answer_from_here_never_comes_within_a_packet() {
    let mut talk = Talk::begun();
    talk.client(&[open(1, "a", 1)].concat()).server(&handle(1, "h")).client(&read(2, "h", 0, 100));
    talk.seen = Seen::default();
    let packet = data(2, &[7; 100]);
    talk.server(&packet[..50]).client(&request(REMOVE, 3, &[&text("secret")]));
    assert_eq!(talk.seen.to_client, packet[..50]);
    talk.server(&packet[50..]);
    assert_eq!(talk.seen.to_client, [packet.clone(), status(3, PERMISSION_DENIED, "that is secret")].concat());
    // A packet of which nothing was sent on yet may come behind.
    talk.seen = Seen::default();
    talk.client(&request(STAT, 4, &[&text("a")])).server(&said(4, OK)[..9]);
    talk.client(&request(REMOVE, 5, &[&text("secret")]));
    assert_eq!(talk.seen.to_client, status(5, PERMISSION_DENIED, "that is secret"));
}

#[test]
fn what_passes_is_not_copied() {
    let mut watch = Test::new(Limits::default(), no_secrets);
    let mut passed = Passed::default();
    watch.client(init().into(), &mut passed).unwrap();
    watch.server(version().into(), &mut passed).unwrap();
    watch.client(open(1, "a", 26).into(), &mut passed).unwrap();
    watch.server(handle(1, "h").into(), &mut passed).unwrap();
    let stream = Bytes::from([write(2, "h", 0, &[1; 4000]), write(3, "h", 4000, &[2; 4000])].concat());
    let mut passed = Passed::default();
    for piece in [stream.slice(..5000), stream.slice(5000..)] {
        watch.client(piece, &mut passed).unwrap();
    }
    let pieces: Vec<_> = passed.to_server.iter().map(|piece| piece.as_ptr()).collect();
    assert_eq!(pieces, [stream.as_ptr(), stream[5000..].as_ptr()]);
}

#[test]
fn a_handle_means_what_it_was_opened_for_and_only_until_it_is_closed() {
    let mut talk = Talk::begun();
    // Servers give out guessable handles: this one is used before it is known, and behind its end.
    talk.client(&[open(1, "/a", 1), write(2, "h", 0, b"x"), read(3, "h", 0, 1)].concat());
    talk.server(&handle(1, "h"));
    talk.client(&[write(4, "h", 0, b"x"), on_handle(READDIR, 5, "h"), read(6, "h", 0, 1)].concat());
    talk.client(&[on_handle(CLOSE, 7, "h"), read(8, "h", 0, 1), on_handle(CLOSE, 9, "h")].concat());
    talk.client(&request(FSETSTAT, 10, &[&text("h"), &NO_ATTRIBUTES]));
    let copy = request(EXTENDED, 11, &[&text("copy-data"), &text("h"), &n64(0), &n64(0), &text("h"), &n64(0)]);
    talk.client(&copy);
    let passed = [open(1, "/a", 1), read(6, "h", 0, 1), on_handle(CLOSE, 7, "h")].concat();
    assert_eq!(talk.seen.to_server, passed);
    let refused: Vec<_> = talk.lines();
    let names: Vec<_> =
        refused.iter().filter_map(|line| line.split('"').nth(7).filter(|_| line.contains("bad-handle"))).collect();
    assert_eq!(names, ["write", "read", "write", "readdir", "read", "close", "fsetstat", "copy-data"]);
    // The server may use the name again, and what comes late still counts for the first file.
    talk.client(&open(12, "/b", 1)).server(&[said(7, OK), handle(12, "h")].concat()).server(&data(6, b"z"));
    assert!(talk.lines().iter().any(|line| line.starts_with(r#"{"op":"close","path":"/a","read":{"bytes":1,"#)));
    assert_eq!(talk.seen.broken, None);
}

#[test]
fn flags_that_openssh_reads_otherwise_are_read_as_it_does() {
    for (flags, mode) in [
        (0, r#""read":true"#),
        (8, r#""read":true,"create":true"#),
        (16, r#""read":true,"truncate":true"#),
        (2, r#""write":true"#),
        (6, r#""write":true,"append":true"#),
        (3, r#""read":true,"write":true"#),
        (42, r#""write":true,"create":true,"exclusive":true"#),
    ] {
        let mut talk = Talk::begun();
        talk.client(&open(1, "/a", flags)).server(&handle(1, "h"));
        assert_eq!(talk.lines(), [format!(r#"{{"op":"open","path":"/a",{mode},"result":"done"}}"#)]);
    }
    let mut talk = Talk::begun();
    talk.client(&open(1, "/a", 0x41));
    assert!(talk.seen.to_server.is_empty());
    assert_eq!(talk.seen.to_client[9..13], n32(OP_UNSUPPORTED));
}

/// What the log says of the digest behind this, of a file that is opened with these flags.
fn digest_of(flags: u32, requests: &[(Vec<u8>, Vec<u8>)]) -> Vec<Digest> {
    let mut talk = Talk::begun();
    talk.client(&open(1, "/a", flags)).server(&handle(1, "h"));
    for (asked, answered) in requests {
        talk.client(asked).server(answered);
    }
    talk.client(&on_handle(CLOSE, 99, "h")).server(&said(99, OK));
    assert_eq!(talk.seen.broken, None);
    let close = talk.seen.operations.pop().expect("the close");
    let Action::Close { read, written, .. } = close.action else { panic!("{close:?}") };
    read.into_iter().chain(written).map(|moved| moved.digest).collect()
}

#[test]
fn an_upload_has_a_digest_when_nothing_of_an_old_file_can_be_left() {
    let put = |id, offset, bytes: &[u8]| (write(id, "h", offset, bytes), said(id, OK));
    let cut = |id, size: u64| (request(FSETSTAT, id, &[&text("h"), &n32(1), &n64(size)]), said(id, OK));
    let absent = |why| vec![Digest::Absent(why)];
    let whole = vec![sha256(b"abc")];
    assert_eq!(digest_of(26, &[put(2, 0, b"ab"), put(3, 2, b"c")]), whole);
    assert_eq!(digest_of(26, &[put(3, 2, b"c"), put(2, 0, b"ab")]), whole);
    assert_eq!(digest_of(42, &[put(2, 0, b"abc")]), whole, "it was not there before");
    assert_eq!(digest_of(10, &[put(2, 0, b"abc"), cut(3, 3)]), whole, "scp of OpenSSH 9 cuts behind");
    assert_eq!(digest_of(10, &[cut(3, 0), put(2, 0, b"abc")]), whole);
    assert_eq!(digest_of(26, &[]), [sha256(b"")]);
    assert_eq!(digest_of(10, &[]), []);
    assert_eq!(digest_of(10, &[put(2, 0, b"abc")]), absent(Absent::EndUnseen));
    assert_eq!(digest_of(26, &[put(2, 0, b"abc"), cut(3, 2)]), absent(Absent::Resized));
    assert_eq!(digest_of(26, &[put(2, 0, b"abc"), cut(3, 9)]), absent(Absent::Resized));
    assert_eq!(digest_of(30, &[put(2, 0, b"abc")]), absent(Absent::Append));
    assert_eq!(digest_of(26, &[put(2, 0, b"abc"), put(3, 1, b"b")]), absent(Absent::Overlap));
    assert_eq!(digest_of(26, &[put(2, 1, b"abc")]), absent(Absent::NotFromStart));
    assert_eq!(digest_of(26, &[(write(2, "h", 0, b"abc"), said(2, FAILURE))]), absent(Absent::Failed));
}

#[test]
fn a_download_has_a_digest_when_its_end_was_seen() {
    let get = |id, offset, bytes: &[u8]| (read(id, "h", offset, bytes.len() as u32), data(id, bytes));
    let end = |id, offset| (read(id, "h", offset, 10), said(id, EOF));
    let stat = |id, size: u64| (on_handle(FSTAT, id, "h"), request(ATTRS, id, &[&n32(1), &n64(size)]));
    let absent = |why| vec![Digest::Absent(why)];
    assert_eq!(digest_of(1, &[get(2, 0, b"abc"), end(3, 3)]), [sha256(b"abc")]);
    assert_eq!(digest_of(1, &[stat(4, 3), get(2, 0, b"abc")]), [sha256(b"abc")]);
    assert_eq!(digest_of(1, &[end(3, 0)]), [sha256(b"")]);
    assert_eq!(digest_of(1, &[]), []);
    // A short answer, whose rest is asked for again behind what was asked for before.
    assert_eq!(digest_of(1, &[get(2, 0, b"a"), get(3, 3, b"de"), get(4, 1, b"bc"), end(5, 5)]), [sha256(b"abcde")]);
    assert_eq!(digest_of(1, &[get(2, 0, b"abc")]), absent(Absent::EndUnseen));
    assert_eq!(digest_of(1, &[get(2, 0, b"abc"), end(3, 9)]), absent(Absent::EndUnseen));
    assert_eq!(digest_of(1, &[stat(4, 5), get(2, 0, b"abc")]), absent(Absent::EndUnseen));
    assert_eq!(digest_of(1, &[get(2, 3, b"abc"), end(3, 6)]), absent(Absent::NotFromStart));
    assert_eq!(digest_of(1, &[get(2, 0, b"abc"), get(3, 0, b"abc"), end(4, 3)]), absent(Absent::Overlap));
    assert_eq!(digest_of(1, &[get(2, 0, b"a"), get(3, 2, b"c"), end(4, 3)]), absent(Absent::Gap));
}

#[test]
fn a_file_that_is_never_closed_has_no_digest() {
    let mut talk = Talk::begun();
    talk.client(&open(1, "/a", 26)).server(&handle(1, "h")).client(&write(2, "h", 0, b"abc"));
    let told = talk.finish().operations.pop().unwrap();
    assert_eq!(told.result, Outcome::Unanswered);
    let Action::Close { written: Some(moved), .. } = told.action else { panic!("{told:?}") };
    assert_eq!((moved.bytes, moved.digest), (3, Digest::Absent(Absent::Unclosed)));
}

#[test]
fn a_second_opinion_about_the_beginning_ends_the_channel() {
    let broken = |packets: &[(Side, Vec<u8>)]| {
        let mut talk = Talk::new();
        for (side, bytes) in packets {
            talk.feed(*side, bytes);
        }
        talk.seen.broken.expect("it is broken").problem
    };
    let (client, server) = (Side::Client, Side::Server);
    let version_of = |kind, version: u32| packet(kind, &[&n32(version)]);
    let first = |expected, got| Problem::First { expected, got };
    assert_eq!(broken(&[(client, open(1, "a", 1))]), first("the client's version", OPEN));
    assert_eq!(broken(&[(server, version())]), first("the client's", VERSION));
    assert_eq!(broken(&[(client, init()), (server, said(1, OK))]), first("the server's version", STATUS));
    assert_eq!(broken(&[(client, version_of(INIT, 2))]), Problem::Version { version: 2 });
    for version in [0, 2, 4, 6] {
        let problem = broken(&[(client, version_of(INIT, 6)), (server, version_of(VERSION, version))]);
        assert_eq!(problem, Problem::Version { version });
    }
    assert_eq!(broken(&[(client, init()), (server, version()), (client, init())]), Problem::Again);
    assert_eq!(broken(&[(client, init()), (server, version()), (server, version())]), Problem::Again);
    let mut talk = Talk::new();
    talk.client(&[init(), open(1, "a", 1)].concat());
    assert_eq!(talk.seen.to_server, init(), "nothing is asked before the version is known");
    assert!(talk.watch.holds_client());
    talk.server(&version());
    assert_eq!(talk.seen.to_server, [init(), open(1, "a", 1)].concat());
    assert!(!talk.watch.holds_client());
}

#[test]
fn what_is_malformed_ends_the_channel_and_says_where() {
    let long = "x".repeat(5000);
    let with = |mut packet: Vec<u8>, at: usize, byte: u8| {
        packet[at] = byte;
        packet
    };
    for (bytes, problem) in [
        (n32(0), "a packet of 0 bytes"),
        (n32(0x4_0001), "a packet of 262145 bytes"),
        (packet(OPEN, &[]), "the packet ends within its id"),
        (packet(OPEN, &[&n32(1)]), "the packet ends within its path"),
        (request(REMOVE, 1, &[&text("a"), b"more"]), "4 bytes too many"),
        (request(REMOVE, 1, &[&n32(u32::MAX)]), "the packet ends within its path"),
        (request(REMOVE, 1, &[&text("a\0b")]), "a path with a zero byte"),
        (request(REMOVE, 1, &[&text(&long)]), "the path of 5000 bytes is longer than 4096"),
        (request(SETSTAT, 1, &[&text("a"), &n32(0x10)]), "attributes with the unknown flags 0x10"),
        (request(SETSTAT, 1, &[&text("a"), &n32(0x8000_0000), &n32(u32::MAX)]), "the packet ends within its extended"),
        (on_handle(CLOSE, 1, &long), "the handle of 5000 bytes is longer than 256"),
        (with(write(1, "h", 0, b"abc"), 11, 2), "the handle of 513 bytes"),
        (with(write(1, "h", 0, b"abc"), 25, 4), "the packet ends within its data"),
        (with(write(1, "h", 0, b"abc"), 25, 2), "1 bytes too many"),
        (request(EXTENDED, 1, &[&text("fsync@openssh.com")]), "the packet ends within its handle"),
        (request(EXTENDED, 1, &[&text("limits@openssh.com"), b"x"]), "1 bytes too many"),
    ] {
        let mut talk = Talk::begun();
        let first = request(STAT, 8, &[&text("a")]);
        talk.client(&first).client(&bytes);
        let broken = talk.seen.broken.unwrap();
        assert!(broken.problem.to_string().starts_with(problem), "{problem}: {broken}");
        assert_eq!((broken.side, broken.at), (Side::Client, (init().len() + first.len()) as u64));
        assert_eq!(talk.seen.to_server, first, "{problem}");
    }
    // What is missing in one packet is not taken from the next.
    for size in [1, usize::MAX] {
        let mut talk = Talk::begun();
        for piece in [packet(WRITE, &[&n32(1)]), vec![0xff; 20]].concat().chunks(size) {
            talk.client(piece);
        }
        assert_eq!(*talk.problem(), Problem::Short { field: "handle" });
    }
    let mut talk = Talk::begun();
    talk.client(&open(1, "/a", 1)).server(&handle(1, "h")).client(&read(2, "h", u64::MAX, 9));
    assert_eq!(*talk.problem(), Problem::Offset);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_channel() {
    let list = |count: u32| request(NAME, 2, &[&n32(count), &text("a"), &text("b"), &NO_ATTRIBUTES]);
    for (asked, answered, problem) in [
        (vec![], said(9, OK), "an answer to the request 9"),
        (read(2, "h", 0, 4), data(3, b"x"), "an answer to the request 3"),
        (read(2, "h", 0, 4), data(2, b"xxxxx"), "5 bytes of data where at most 4"),
        (read(2, "h", 0, 4), handle(2, "i"), "an answer of type 102 to a request to read"),
        (read(2, "h", 0, 4), name(2, &[]), "an answer of type 104"),
        (open(2, "/b", 1), data(2, b"x"), "an answer of type 103 to a request to open a file"),
        (open(2, "/b", 1), handle(2, "h"), "a handle that stands for another open file"),
        (open(2, "/b", 1), handle(2, &"h".repeat(257)), "the handle of 257 bytes"),
        (open(2, "/b", 1), request(OPEN, 2, &[]), "a packet of the unknown type 3"),
        (request(STAT, 2, &[&text("a")]), name(2, &["a"]), "an answer of type 104 to a request for attributes"),
        (request(REMOVE, 2, &[&text("a")]), request(EXTENDED_REPLY, 2, &[]), "an answer of type 201"),
        (request(READLINK, 2, &[&text("a")]), list(2), "the packet ends within its name"),
        (request(READLINK, 2, &[&text("a")]), list(0), "14 bytes too many"),
        (
            request(READLINK, 2, &[&text("a")]),
            request(STATUS, 2, &[&n32(4), &n32(99)]),
            "the packet ends within its text",
        ),
    ] {
        let mut talk = Talk::begun();
        talk.client(&open(1, "/a", 1)).server(&handle(1, "h")).client(&asked);
        talk.seen = Seen::default();
        talk.server(&answered);
        let broken = talk.seen.broken.unwrap_or_else(|| panic!("{problem}"));
        assert!(broken.problem.to_string().starts_with(problem), "{problem}: {broken}");
        assert_eq!(broken.side, Side::Server);
        assert!(talk.seen.to_client.is_empty(), "{problem}");
    }
    let mut talk = Talk::begun();
    talk.client(&[open(1, "/a", 1), open(1, "/b", 1)].concat());
    assert_eq!(*talk.problem(), Problem::IdInUse { id: 1 });
    // Without its text, as old servers send it.
    let mut talk = Talk::begun();
    talk.client(&request(REMOVE, 1, &[&text("a")])).server(&request(STATUS, 1, &[&n32(OK)]));
    assert_eq!(talk.seen.broken, None);
}

#[test]
fn too_many_requests_wait_and_too_many_files_are_refused() {
    let mut talk = Talk::with(Limits { requests: 3, handles: 2, held: 200, ..Limits::default() });
    talk.client(&init()).server(&version());
    talk.client(&[open(1, "/a", 1), open(2, "/b", 1), open(3, "/c", 1)].concat());
    assert!(talk.lines()[0].contains("too many files are open"));
    talk.server(&[handle(1, "a"), handle(2, "b")].concat());
    talk.seen = Seen::default();
    let reads: Vec<_> = (10..16).map(|id| read(id, "a", u64::from(id), 1)).collect();
    talk.client(&reads.concat());
    assert_eq!(talk.seen.to_server, reads[..3].concat());
    assert!(talk.watch.holds_client());
    talk.server(&[data(10, b"x"), data(11, b"y")].concat());
    assert_eq!(talk.seen.to_server, reads[..5].concat());
    talk.server(&data(12, b"z"));
    assert_eq!(talk.seen.to_server, reads.concat());
    assert!(talk.watch.holds_client(), "three are under way again");
    for id in 20..30 {
        talk.client(&read(id, "a", 0, 1));
    }
    assert_eq!(*talk.problem(), Problem::Held { limit: 200 });
}

#[test]
fn what_waits_for_answers_from_here_goes_on_when_they_are_sent() {
    let mut talk = Talk::with(Limits { requests: 2, ..Limits::default() });
    talk.client(&init()).server(&version());
    talk.client(&open(1, "/a", 1)).server(&handle(1, "a")).client(&read(2, "a", 0, 100));
    let packet = data(2, &[7; 100]);
    talk.server(&packet[..50]);
    talk.client(&[request(REMOVE, 3, &[&text("secret")]), request(REMOVE, 4, &[&text("secret")])].concat());
    talk.seen = Seen::default();
    let last = read(5, "a", 100, 100);
    talk.client(&last);
    assert!(talk.seen.to_server.is_empty() && talk.watch.keeps_client());
    // The target says no more than this, and the client waits for the answer to its last request.
    talk.server(&packet[50..]);
    assert_eq!(talk.seen.to_server, last);
    assert!(!talk.watch.keeps_client());
}

#[test]
fn paths_and_pieces_out_of_order_are_bounded() {
    let mut talk = Talk::with(Limits { paths: 10_000, reorder: 1000, ..Limits::default() });
    talk.client(&init()).server(&version());
    let path = "p".repeat(4000);
    for id in 0..10 {
        talk.client(&request(REMOVE, id, &[&text(&path)]));
    }
    assert!(talk.watch.holds_client());
    for id in 0..10 {
        talk.server(&said(id, OK));
    }
    assert!(!talk.watch.holds_client());
    for id in 0..10 {
        talk.client(&open(id, &path, 26)).server(&if id < 3 { handle(id, &id.to_string()) } else { vec![] });
    }
    assert_eq!(talk.lines().iter().filter(|line| line.contains("too many files are open")).count(), 7);
    for id in 100..200 {
        talk.client(&write(id, "0", u64::from(id), b"x")).server(&said(id, OK));
    }
    assert!(talk.watch.held() < 30_000);
    assert_eq!(talk.seen.broken, None);
}

#[test]
fn looking_is_told_only_where_asked_for() {
    let mut talk = Talk::begun();
    talk.watch = Test::new(Limits::default(), no_secrets as fn(&Action) -> Verdict).with_looks();
    talk.client(&init()).server(&version());
    talk.client(&request(LSTAT, 1, &[&text("/a")])).server(&said(1, FAILURE));
    assert_eq!(
        talk.lines(),
        [r#"{"op":"look","path":"/a","how":"lstat","result":{"failed":{"code":4,"text":"words"}}}"#]
    );
}

#[test]
fn every_extension_of_openssh_passes() {
    let mut talk = Talk::begun();
    talk.client(&open(1, "/a", 3)).server(&handle(1, "h"));
    talk.client(&open(2, "/b", 26)).server(&handle(2, "i"));
    talk.seen = Seen::default();
    let extended = |id, name: &str, fields: &[&[u8]]| request(EXTENDED, id, &[&[&text(name)[..]], fields].concat());
    let asked = [
        extended(10, "statvfs@openssh.com", &[&text("/a")]),
        extended(11, "fstatvfs@openssh.com", &[&text("h")]),
        extended(12, "fsync@openssh.com", &[&text("h")]),
        extended(13, "lsetstat@openssh.com", &[&text("/l"), &n32(2), &n32(1), &n32(2)]),
        extended(14, "limits@openssh.com", &[]),
        extended(15, "expand-path@openssh.com", &[&text("~/a")]),
        extended(16, "copy-data", &[&text("h"), &n64(0), &n64(0), &text("i"), &n64(0)]),
        extended(17, "home-directory", &[&text("alice")]),
        extended(18, "users-groups-by-id@openssh.com", &[&text(""), &text("abcd")]),
    ]
    .concat();
    let answered = [
        request(EXTENDED_REPLY, 10, &[&[0; 88]]),
        request(EXTENDED_REPLY, 11, &[&[0; 88]]),
        said(12, OK),
        said(13, OK),
        request(EXTENDED_REPLY, 14, &[&[0; 32]]),
        name(15, &["/home/alice/a"]),
        said(16, OK),
        name(17, &["/home/alice"]),
        request(EXTENDED_REPLY, 18, &[&text(""), &text("")]),
    ]
    .concat();
    talk.client(&asked).server(&answered);
    assert_eq!((&talk.seen.to_server, &talk.seen.to_client, &talk.seen.broken), (&asked, &answered, &None));
    assert_eq!(
        talk.lines(),
        [
            r#"{"op":"fsync","path":"/a","result":"done"}"#,
            r#"{"op":"setstat","path":"/l","link":true,"uid":1,"gid":2,"result":"done"}"#,
            r#"{"op":"copy-data","path":"/a","to":"/b","length":0,"result":"done"}"#,
        ]
    );
}

/// A conversation cut anywhere, with some bytes changed.
fn mutated() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    prop::collection::vec(change, 0..6).prop_map(|changes| {
        let mut conversation = conversation();
        for (which, place, byte) in changes {
            let bytes = &mut which.get_mut(&mut conversation).1;
            *place.get_mut(bytes) = byte;
        }
        conversation
    })
}

proptest! {
    #[test]
    fn pieces_change_nothing(conversation in mutated(), size in 1usize..40) {
        prop_assert_eq!(run(&conversation, size), run(&conversation, usize::MAX));
    }

    #[test]
    fn garbage_breaks_nothing(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..12), agreed in any::<bool>()) {
        let mut talk = if agreed { Talk::begun() } else { Talk::new() };
        for (client, bytes) in pieces {
            talk.feed(if client { Side::Client } else { Side::Server }, &bytes);
        }
        talk.finish();
    }
}
