//! SFTP while it passes: any bytes of both sides end or fail, in whatever pieces, within the memory that is promised.
//!
//! The input is a conversation: a byte that says who speaks and how much follows, then that. With one bit the two
//! have agreed on a version before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sftp::{Action, Broken, Limits, Operation, Outcome, Passed, SftpWatch, Verdict, Watch};

#[derive(Debug, Default, PartialEq)]
struct Seen {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    operations: Vec<Operation>,
    broken: Option<Broken>,
}

fn judge(action: &Action) -> Verdict {
    if action.paths().any(|path| path.as_bytes().contains(&b'x')) {
        Verdict::Refuse("no".to_owned())
    } else {
        Verdict::Allow
    }
}

fn turns(input: &[u8]) -> Vec<(bool, &[u8])> {
    let Some((&first, mut rest)) = input.split_first() else { return Vec::new() };
    let mut turns: Vec<(bool, &[u8])> = Vec::new();
    if first & 1 == 1 {
        turns.push((true, b"\0\0\0\x05\x01\0\0\0\x03"));
        turns.push((false, b"\0\0\0\x05\x02\0\0\0\x03"));
    }
    while let Some((&head, after)) = rest.split_first() {
        let (turn, left) = after.split_at(usize::from(head >> 1).min(after.len()));
        turns.push((head & 1 == 1, turn));
        rest = left;
    }
    turns
}

fn run(turns: &[(bool, &[u8])], size: usize) -> Seen {
    // Small enough to be reached.
    let limits =
        Limits { packet: 300, requests: 4, handles: 3, path: 40, held: 4096, paths: 100, reorder: 200, file: 0 };
    let mut watch = SftpWatch::new(limits.clone(), judge as fn(&Action) -> Verdict);
    let (mut passed, mut broken) = (Passed::default(), None);
    'all: for (client, bytes) in turns {
        for piece in bytes.chunks(size) {
            let piece = piece.to_vec().into();
            let fed = if *client { watch.client(piece, &mut passed) } else { watch.server(piece, &mut passed) };
            if let Err(error) = fed {
                assert!(!error.to_string().is_empty());
                broken = Some(error);
                break 'all;
            }
            assert!(watch.held() <= limits.worst(), "{} bytes are kept", watch.held());
        }
    }
    watch.finish(&mut passed);
    let Passed { to_server, to_client, operations } = passed;
    Seen { to_server: to_server.concat(), to_client: to_client.concat(), operations, broken }
}

fuzz_target!(|input: &[u8]| {
    let turns = turns(input);
    let seen = run(&turns, usize::MAX);
    assert_eq!(run(&turns, 1), seen);
    let said = |side: bool| -> Vec<u8> {
        turns.iter().filter(|(client, _)| *client == side).flat_map(|(_, bytes)| bytes.to_vec()).collect()
    };
    if !seen.operations.iter().any(|operation| matches!(operation.result, Outcome::Refused { .. })) {
        assert!(said(true).starts_with(&seen.to_server));
        assert!(said(false).starts_with(&seen.to_client));
    }
});
