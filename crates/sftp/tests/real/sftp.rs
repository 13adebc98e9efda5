//! `sftp` and `sftp-server`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use bytes::Bytes;
use sftp::{Action, Direction, Limits, Operation, Outcome, Passed, SftpWatch, Side, Verdict, Watch as _};

use crate::relay::{Door, Transcript, carry, server};
use crate::support::{Run, content, quiet, sha256};

const SERVER: &str = "/usr/lib/openssh/sftp-server";

type Rule = fn(&Action) -> Verdict;

fn all(_: &Action) -> Verdict {
    Verdict::Allow
}

/// Runs `sftp` with these commands in a folder, whose server begins there too.
fn sftp(folder: &Path, rule: Rule, commands: &str) -> (Run, Transcript) {
    let home = folder.join("srv");
    let batch = folder.join("batch");
    fs::create_dir_all(&home).unwrap();
    fs::write(&batch, commands).unwrap();
    let tools = tempfile::tempdir().unwrap();
    let door = Door::new(tools.path());
    let mut client = Command::new("sftp");
    client.arg("-D").arg(&door.script).arg("-b").arg(&batch).current_dir(folder);
    let client = quiet(&mut client).spawn().unwrap();
    let relay = thread::spawn(move || {
        let (from, to, _) = door.open();
        let mut server = server(Command::new(SERVER).current_dir(home));
        carry(SftpWatch::new(Limits::default(), rule), (from, to), &mut server)
    });
    let output = client.wait_with_output().unwrap();
    let mut transcript = relay.join().unwrap();
    assert_eq!(transcript.broken, None);
    assert!(transcript.most_held <= Limits::default().worst());
    let operations = std::mem::take(&mut transcript.operations);
    (Run { output, operations }, transcript)
}

/// Feeds what was fed once more, in pieces of this size.
fn again(transcript: &Transcript, rule: Rule, size: usize) -> (Vec<u8>, Vec<u8>, Vec<Operation>) {
    let mut watch = SftpWatch::new(Limits::default(), rule);
    let mut passed = Passed::default();
    for (side, bytes) in &transcript.fed {
        for piece in bytes.chunks(size) {
            let piece = Bytes::copy_from_slice(piece);
            match side {
                Side::Client => watch.client(piece, &mut passed).unwrap(),
                Side::Server => watch.server(piece, &mut passed).unwrap(),
            }
        }
    }
    watch.finish(&mut passed);
    (passed.to_server.concat(), passed.to_client.concat(), passed.operations)
}

const EVERYTHING: &str = "\
put local up
get up back
mkdir folder
put local folder/second
-put local folder/missing/third
rename folder/second folder/2nd
ln -s ../up folder/link
ln up hard
chmod 600 up
ls -la folder
df .
copy up copied
get -a hard partial
reput local short
rm copied
rm folder/link
rm folder/2nd
rmdir folder
-rm folder/gone
pwd
";

#[test]
fn whatever_sftp_does_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bytes = content(300_000);
    fs::create_dir(path.join("srv")).unwrap();
    fs::write(path.join("local"), &bytes).unwrap();
    fs::write(path.join("partial"), &bytes[..1000]).unwrap();
    fs::write(path.join("srv/short"), &bytes[..1000]).unwrap();
    let (run, transcript) = sftp(path, all, EVERYTHING);
    assert!(run.output.status.success(), "{}", run.said());
    assert_eq!(fs::read(path.join("back")).unwrap(), bytes);
    assert_eq!(fs::read(path.join("partial")).unwrap(), bytes);
    assert_eq!(fs::read(path.join("srv/short")).unwrap(), bytes);
    let digest = match sha256(&bytes) {
        sftp::Digest::Sha256(digest) => digest,
        sftp::Digest::Absent(why) => panic!("{why:?}"),
    };
    let whole =
        |way| format!(r#""{way}":{{"bytes":300000,"from":0,"to":300000,"sha256":"{digest}"}},"result":"done"}}"#);
    let lines = run.lines(path);
    let has = |line: &str| assert!(lines.iter().any(|told| told.starts_with(line)), "{line} is not in {lines:#?}");
    has(r#"{"op":"open","path":"/srv/up","write":true,"create":true,"truncate":true,"permissions":"#);
    has(&format!(r#"{{"op":"close","path":"/srv/up",{}"#, whole("written")));
    has(&format!(r#"{{"op":"close","path":"/srv/up",{}"#, whole("read")));
    has(&format!(r#"{{"op":"close","path":"/srv/folder/second",{}"#, whole("written")));
    has(r#"{"op":"mkdir","path":"/srv/folder","permissions":"0777","result":"done"}"#);
    has(r#"{"op":"open","path":"/srv/folder/missing/third","write":true"#);
    assert!(lines.iter().any(|line| line.contains("missing/third") && line.contains(r#""failed":{"code":2,"#)));
    has(r#"{"op":"posix-rename","path":"/srv/folder/second","to":"/srv/folder/2nd","result":"done"}"#);
    has(r#"{"op":"symlink","path":"/srv/up","to":"/srv/folder/link","result":"done"}"#);
    has(r#"{"op":"hardlink","path":"/srv/up","to":"/srv/hard","result":"done"}"#);
    has(r#"{"op":"setstat","path":"/srv/up","permissions":"0600","result":"done"}"#);
    has(r#"{"op":"list","path":"/srv/folder","entries":4,"result":"done"}"#);
    has(r#"{"op":"copy-data","path":"/srv/up","to":"/srv/copied","length":0,"result":"done"}"#);
    has(
        r#"{"op":"close","path":"/srv/hard","read":{"bytes":299000,"from":1000,"to":300000,"no-digest":"not-from-start"}"#,
    );
    has(r#"{"op":"close","path":"/srv/short","written":{"bytes":299000,"#);
    has(r#"{"op":"remove","path":"/srv/folder/link","result":"done"}"#);
    has(r#"{"op":"remove","path":"/srv/folder/gone","result":{"failed":{"code":2,"text":"No such file"}}}"#);
    has(r#"{"op":"rmdir","path":"/srv/folder","result":"done"}"#);

    // What has passed is what was sent, and pieces of any size tell the same.
    let sent = |wanted| -> Vec<u8> {
        transcript.fed.iter().filter(|(side, _)| *side == wanted).flat_map(|(_, bytes)| bytes.to_vec()).collect()
    };
    for size in [1, 7, 1000, usize::MAX] {
        let (to_server, to_client, operations) = again(&transcript, all, size);
        assert!(to_server == sent(Side::Client) && to_client == sent(Side::Server), "pieces of {size}");
        assert_eq!(operations, run.operations, "pieces of {size}");
    }
}

#[test]
fn a_big_file_has_its_digest_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bytes = content(64 << 20);
    fs::write(path.join("big"), &bytes).unwrap();
    let (run, transcript) = sftp(path, all, "put big\nget big back\n");
    assert!(run.output.status.success(), "{}", run.said());
    assert!(fs::read(path.join("srv/big")).unwrap() == bytes);
    assert!(fs::read(path.join("back")).unwrap() == bytes);
    let moved: Vec<_> = run
        .operations
        .iter()
        .filter_map(|operation| {
            let Action::Close { read, written, .. } = &operation.action else { return None };
            read.as_ref().or(written.as_ref())
        })
        .collect();
    let expected = sha256(&bytes);
    assert_eq!(moved.len(), 2);
    for moved in moved {
        assert_eq!((moved.bytes, &moved.digest), (64 << 20, &expected));
    }
    assert!(transcript.most_held < 2 << 20, "{} bytes are kept", transcript.most_held);
}

#[test]
fn what_is_refused_is_refused_as_a_server_would_and_the_rest_goes_on() {
    fn uploads_into_in_only(action: &Action) -> Verdict {
        let within = action.paths().all(|path| path.text().contains("/srv/in/"));
        match action.direction() {
            Direction::Look => Verdict::Allow,
            Direction::Upload | Direction::Change if within => Verdict::Allow,
            Direction::Upload | Direction::Change | Direction::Download | Direction::Both => {
                Verdict::Refuse("only uploads into in/ are allowed".into())
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("srv/in")).unwrap();
    fs::write(path.join("srv/theirs"), b"theirs").unwrap();
    fs::write(path.join("mine"), b"mine").unwrap();
    let commands = "\
-get theirs
-put mine elsewhere
-put mine in/../elsewhere
-rename theirs in/theirs
-ln -s ../theirs in/link
-ln theirs in/hard
-rm theirs
-mkdir other
-chmod 777 theirs
put mine in/mine
rename in/mine in/yours
ls
";
    let (run, transcript) = sftp(path, uploads_into_in_only, commands);
    assert!(run.output.status.success(), "{}", run.said());
    assert_eq!(run.said().matches("Permission denied").count(), 9, "{}", run.said());
    assert_eq!(fs::read(path.join("srv/in/yours")).unwrap(), b"mine");
    assert_eq!(fs::read(path.join("srv/theirs")).unwrap(), b"theirs");
    let names = |folder: &str| -> Vec<_> {
        let mut names: Vec<_> =
            fs::read_dir(path.join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!((names("srv"), names("srv/in")), (vec!["in".into(), "theirs".into()], vec!["yours".into()]));
    assert!(!path.join("theirs").exists());
    let refused = run.operations.iter().filter(|op| matches!(op.result, Outcome::Refused { .. })).count();
    assert_eq!(refused, 9);
    for size in [1, 100] {
        assert_eq!(again(&transcript, uploads_into_in_only, size).2, run.operations);
    }
}
