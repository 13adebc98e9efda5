//! What decoding costs: `cargo bench -p portcullis-sftp`.
//!
//! A file is moved through a watch in memory, in packets of 32 KiB and in pieces as SSH brings them, the digest
//! included. What is shown is the best of several runs, in seconds of a processor.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints, and stops when something is wrong"
)]

use std::time::Duration;

use bytes::Bytes;
use sftp::{Action, Limits, Operation, Passed, SftpWatch, Verdict, Watch as _};
use sha2::{Digest as _, Sha256};

const PACKET: usize = 32 * 1024;
const PIECE: usize = 32 * 1024;
const PACKETS: usize = 8192;
const RUNS: usize = 5;

fn main() {
    // `cargo test --benches` only wants to see that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let data = vec![0xa5; PACKET];
    show("sha256 alone", || {
        let mut hash = Sha256::new();
        (0..PACKETS).for_each(|_| hash.update(&data));
        assert_ne!(hash.finalize()[..], [0; 32]);
    });
    let stream = |kind, head: &dyn Fn(u32) -> Vec<u8>| {
        let packets = (0..PACKETS as u32).flat_map(|number| packet(kind, &[&head(number), &data]));
        Bytes::from_iter(packets)
    };
    let offset = |number: u32| (u64::from(number) * PACKET as u64).to_be_bytes();
    let write = |number: u32| [&number.to_be_bytes()[..], &text(b"h"), &offset(number), &length(PACKET)].concat();
    let uploaded = stream(6, &write);
    show("upload", || drive(&uploaded, None));
    let read = |number: u32| packet(5, &[&number.to_be_bytes(), &text(b"h"), &offset(number), &length(PACKET)]);
    let answer = |number: u32| [&number.to_be_bytes()[..], &length(PACKET)].concat();
    let downloaded = stream(103, &answer);
    show("download", || drive(&downloaded, Some(&read)));
}

fn show(name: &str, mut run: impl FnMut()) {
    let best = (0..RUNS).map(|_| {
        let begin = computed();
        run();
        computed() - begin
    });
    let best = best.min().unwrap_or(Duration::ZERO);
    let gib = (PACKETS * PACKET) as f64 / f64::from(1 << 30);
    println!("{name}: {:.2} s per GiB", best.as_secs_f64() / gib);
}

/// For how long this thread was computing.
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Moves the whole stream; with `read`, as answers to these requests.
fn drive(stream: &Bytes, read: Option<&dyn Fn(u32) -> Vec<u8>>) {
    let mut watch = SftpWatch::new(Limits::default(), |_: &Action| Verdict::Allow);
    let mut passed = Passed::default();
    let mut kept: Vec<Operation> = Vec::new();
    let greeting = |kind| Bytes::from(packet(kind, &[&3_u32.to_be_bytes()]));
    watch.client(greeting(1), &mut passed).unwrap();
    watch.server(greeting(2), &mut passed).unwrap();
    let open = packet(3, &[&u32::MAX.to_be_bytes(), &text(b"/file"), &27_u32.to_be_bytes(), &[0; 4]]);
    watch.client(open.into(), &mut passed).unwrap();
    watch.server(packet(102, &[&u32::MAX.to_be_bytes(), &text(b"h")]).into(), &mut passed).unwrap();
    let mut at = 0;
    let mut number = 0;
    while at < stream.len() {
        let piece = stream.slice(at..stream.len().min(at + PIECE));
        at += piece.len();
        match read {
            Some(read) => {
                // OpenSSH's client asks for 64 packets ahead.
                while (number as usize) < PACKETS && number as usize * PACKET < at + 64 * PACKET {
                    watch.client(read(number).into(), &mut passed).unwrap();
                    number += 1;
                }
                watch.server(piece, &mut passed).unwrap();
            }
            None => {
                watch.client(piece, &mut passed).unwrap();
                // The header of a packet makes it a little longer than its data.
                while (number as usize + 1) * (PACKET + 26) <= at {
                    watch.server(status(number), &mut passed).unwrap();
                    number += 1;
                }
            }
        }
        passed.to_client.clear();
        passed.to_server.clear();
        kept.append(&mut passed.operations);
    }
    watch.finish(&mut passed);
    let Some(Operation { action: Action::Close { read, written, .. }, .. }) = passed.operations.last() else { return };
    let moved = read.as_ref().or(written.as_ref()).unwrap();
    assert_eq!(moved.bytes, (PACKETS * PACKET) as u64);
}

fn status(id: u32) -> Bytes {
    packet(101, &[&id.to_be_bytes(), &[0; 4], &text(b"Success"), &text(b"")]).into()
}

fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&length(body.len() + 1)[..], &[kind], &body].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&length(text.len())[..], text].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}
