//! `scp -O`, whose other end is `scp` as well.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use sftp::{Action, Direction, Limits, Outcome, ScpCommand, ScpWatch, Verdict};

use crate::relay::{Door, carry, server};
use crate::support::{Run, content, quiet, sha256};

type Rule = fn(&Action) -> Verdict;

/// Runs `scp -O` in a folder. Paths of the other end begin with `far:`.
fn scp(folder: &Path, rule: Rule, words: &[&str]) -> Run {
    let tools = tempfile::tempdir().unwrap();
    let door = Door::new(tools.path());
    let mut client = Command::new("scp");
    client.arg("-O").arg("-S").arg(&door.script).args(words).current_dir(folder);
    let client = quiet(&mut client).spawn().unwrap();
    let folder = folder.to_owned();
    let relay = thread::spawn(move || {
        let (from, to, words) = door.open();
        let command = words.split_once("scp ").map(|(_, rest)| format!("scp {rest}")).expect("the far command");
        let parsed = ScpCommand::parse(command.as_bytes()).unwrap_or_else(|| panic!("{command}"));
        let mut server = server(Command::new("scp").args(command.split(' ').skip(1)).current_dir(folder));
        carry(ScpWatch::new(&parsed, Limits::default(), rule), (from, to), &mut server)
    });
    let output = client.wait_with_output().unwrap();
    let transcript = relay.join().unwrap();
    assert_eq!(transcript.broken, None);
    Run { output, operations: transcript.operations }
}

fn all(_: &Action) -> Verdict {
    Verdict::Allow
}

#[test]
fn files_go_both_ways_with_their_digests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bytes = content(5_000_000);
    fs::write(path.join("big"), &bytes).unwrap();
    fs::create_dir(path.join("far")).unwrap();
    let far = path.join("far/").display().to_string();
    let run = scp(path, all, &["-p", "big", &format!("host:{far}")]);
    assert!(run.output.status.success(), "{}", run.said());
    assert!(fs::read(path.join("far/big")).unwrap() == bytes);
    assert_eq!(run.digest(&path.join("far/big")), Some(&sha256(&bytes)));
    assert!(run.lines(path)[1].starts_with(r#"{"op":"setstat","path":"/far/big","accessed":"#));

    let run = scp(path, all, &[&format!("host:{far}big"), "back"]);
    assert!(run.output.status.success(), "{}", run.said());
    assert!(fs::read(path.join("back")).unwrap() == bytes);
    assert_eq!(run.digest(&path.join("far/big")), Some(&sha256(&bytes)));
}

#[test]
fn folders_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("tree/deep/er")).unwrap();
    fs::create_dir(path.join("far")).unwrap();
    for (name, bytes) in [("tree/a", &b"aa"[..]), ("tree/deep/b b", b"bb"), ("tree/deep/er/empty", b"")] {
        fs::write(path.join(name), bytes).unwrap();
    }
    let far = path.join("far").display().to_string();
    let run = scp(path, all, &["-r", "-p", "tree", &format!("host:{far}/")]);
    assert!(run.output.status.success(), "{}", run.said());
    assert_eq!(run.digest(&path.join("far/tree/deep/b b")), Some(&sha256(b"bb")));
    assert_eq!(run.digest(&path.join("far/tree/deep/er/empty")), Some(&sha256(b"")));
    assert!(path.join("far/tree/deep/er/empty").exists());

    let run = scp(path, all, &["-r", &format!("host:{far}/tree"), "back"]);
    assert!(run.output.status.success(), "{}", run.said());
    assert_eq!(fs::read(path.join("back/deep/b b")).unwrap(), b"bb");
    assert_eq!(run.digest(&path.join("far/tree/deep/b b")), Some(&sha256(b"bb")));
    let lines = run.lines(path);
    assert_eq!(lines.last().unwrap(), r#"{"op":"list","path":"/far/tree","entries":2,"result":"done"}"#);
}

#[test]
fn what_is_refused_says_so_and_the_rest_goes_on() {
    fn no_secrets(action: &Action) -> Verdict {
        if action.paths().any(|path| path.text().contains("secret")) {
            Verdict::Refuse("secrets stay where they are".into())
        } else {
            Verdict::Allow
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["tree", "tree/secrets", "far"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    for name in ["tree/a", "tree/secret", "tree/secrets/x", "tree/z"] {
        fs::write(path.join(name), name).unwrap();
    }
    let far = path.join("far").display().to_string();
    let check = |run: &Run, moved: &str| {
        assert_eq!(run.output.status.code(), Some(1), "{}", run.said());
        assert!(run.said().contains("portcullis: secrets stay where they are"), "{}", run.said());
        for (name, moves) in [("a", true), ("secret", false), ("secrets", false), ("z", true)] {
            assert_eq!(path.join(moved).join(name).exists(), moves, "{moved}/{name}");
        }
        let refused = run.operations.iter().filter(|op| matches!(op.result, Outcome::Refused { .. })).count();
        assert_eq!(refused, 2);
    };
    check(&scp(path, no_secrets, &["-r", "-p", "tree", &format!("host:{far}/")]), "far/tree");
    check(&scp(path, no_secrets, &["-r", "-p", &format!("host:{}/tree", path.display()), "back"]), "back");

    fn no_downloads(action: &Action) -> Verdict {
        if action.direction() == Direction::Download { Verdict::Refuse("no".into()) } else { Verdict::Allow }
    }
    let run = scp(path, no_downloads, &[&format!("host:{}/tree/a", path.display()), "stolen"]);
    assert!(!run.output.status.success() && !path.join("stolen").exists());
}

#[test]
fn what_is_not_there_is_told_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let run = scp(path, all, &[&format!("host:{}/gone", path.display()), "back"]);
    assert!(!run.output.status.success());
    let [told] = &run.operations[..] else { panic!("{:?}", run.operations) };
    assert!(matches!(&told.result, Outcome::Failed { text, .. } if text.contains("No such file")), "{told:?}");
}
