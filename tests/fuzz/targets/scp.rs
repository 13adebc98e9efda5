//! The old scp while it passes, and the commands that are it. The input is a command up to a line feed, and then a
//! conversation as in the target for SFTP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sftp::{Action, Broken, Limits, Operation, Outcome, Passed, ScpCommand, ScpWatch, Verdict, Watch};

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

fn run(command: &ScpCommand, turns: &[(bool, &[u8])], size: usize) -> Seen {
    let limits = Limits { path: 40, held: 4096, reorder: 200, file: 1000, ..Limits::default() };
    let mut watch = ScpWatch::new(command, limits.clone(), judge as fn(&Action) -> Verdict);
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
    let at = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    let (command, rest) = input.split_at(at);
    let shell = |c: &u8| b";|&$`<>(){}[]*?\"\\\n\r#!".contains(c);
    let parsed = ScpCommand::parse(command);
    if parsed.is_some() && !command.contains(&b'\'') {
        assert!(!command.iter().any(shell), "a shell reads more into it");
    }
    let fallback = if rest.len() % 2 == 0 { &b"scp -r -t up"[..] } else { b"scp -r -f down" };
    let Some(command) = parsed.or_else(|| ScpCommand::parse(fallback)) else { return };
    let mut turns = Vec::new();
    let mut rest = rest.get(1..).unwrap_or_default();
    while let Some((&head, after)) = rest.split_first() {
        let (turn, left) = after.split_at(usize::from(head >> 1).min(after.len()));
        turns.push((head & 1 == 1, turn));
        rest = left;
    }
    let seen = run(&command, &turns, usize::MAX);
    assert_eq!(run(&command, &turns, 1), seen);
    let said = |side: bool| -> Vec<u8> {
        turns.iter().filter(|(client, _)| *client == side).flat_map(|(_, bytes)| bytes.to_vec()).collect()
    };
    if !seen.operations.iter().any(|operation| matches!(operation.result, Outcome::Refused { .. })) {
        assert!(said(true).starts_with(&seen.to_server));
        assert!(said(false).starts_with(&seen.to_client));
    }
});
