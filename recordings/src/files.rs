//! What was done to files, in words.

use std::fmt::Write as _;

use sftp::{Action, Attributes, Digest, Look, Moved, OpenMode, Operation, Outcome, RemotePath};

use crate::safe::plain;

/// An operation as one line of text with nothing in it but characters to show.
#[must_use]
pub fn sentence(operation: &Operation) -> String {
    let mut line = action(&operation.action);
    let result = match &operation.result {
        Outcome::Done => String::new(),
        Outcome::Failed { code: Some(code), text } => format!(": failed: {text} (status {code})"),
        Outcome::Failed { code: None, text } => format!(": failed: {text}"),
        Outcome::Refused { reason } => format!(": REFUSED: {reason}"),
        Outcome::Unanswered => ": the channel ended before it was answered".to_owned(),
    };
    line.push_str(&result);
    plain(&line)
}

/// What was asked, as one line of text with nothing in it but characters to show.
#[must_use]
pub fn describe(asked: &Action) -> String {
    plain(&action(asked))
}

fn action(action: &Action) -> String {
    match action {
        Action::Open { path, or, mode, size, permissions } => {
            let size = size.map_or_else(String::new, |size| format!(", {size} bytes announced"));
            format!("open {}{}{size}{}", either(path, or.as_ref()), purpose(*mode), mode_of(*permissions))
        }
        Action::Close { path, or, read, written } => {
            let parts = [("read", read), ("wrote", written)];
            let parts = parts.into_iter().filter_map(|(way, moved)| moved.as_ref().map(|moved| amount(way, moved)));
            let parts: Vec<String> = parts.collect();
            let what = if parts.is_empty() { "nothing moved".to_owned() } else { parts.join("; ") };
            format!("close {}: {what}", either(path, or.as_ref()))
        }
        Action::List { path, entries } => format!("list {path}: {entries} names"),
        Action::Rename { path, to } => format!("rename {path} to {to}"),
        Action::PosixRename { path, to } => format!("rename {path} to {to}, replacing what was there"),
        Action::Remove { path } => format!("remove {path}"),
        Action::Mkdir { path, or, permissions } => {
            format!("mkdir {}{}", either(path, or.as_ref()), mode_of(*permissions))
        }
        Action::Rmdir { path } => format!("rmdir {path}"),
        Action::Setstat { path, or, link, attributes } => {
            let link = if *link { " (the link itself)" } else { "" };
            format!("set {} of {}{link}", values(attributes), either(path, or.as_ref()))
        }
        Action::Symlink { path, to } => format!("symbolic link {to} to {path}"),
        Action::Hardlink { path, to } => format!("hard link {to} to {path}"),
        Action::CopyData { path, to, length: 0 } => format!("copy {path} into {to}"),
        Action::CopyData { path, to, length } => format!("copy {length} bytes of {path} into {to}"),
        Action::Fsync { path } => format!("fsync {path}"),
        Action::Readlink { path } => format!("readlink {path}"),
        Action::Look { path, how } => format!("{} {path}", look(*how)),
        Action::BadHandle { request } => format!("{request} with a handle that stands for nothing of the kind"),
        Action::Extended { name } => format!("extension {name}"),
        Action::Unknown { kind } => format!("request of type {kind}"),
    }
}

fn either(path: &RemotePath, or: Option<&RemotePath>) -> String {
    or.map_or_else(|| path.to_string(), |or| format!("{path} (or {or}, if that is no folder)"))
}

fn purpose(mode: OpenMode) -> String {
    let OpenMode { read, write, append, create, truncate, exclusive } = mode;
    let words = [
        (read, "read"),
        (write, "write"),
        (append, "append"),
        (create, "create"),
        (truncate, "truncate"),
        (exclusive, "exclusive"),
    ];
    let words: Vec<&str> = words.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
    if words.is_empty() { String::new() } else { format!(" to {}", words.join(", ")) }
}

fn mode_of(permissions: Option<u32>) -> String {
    permissions.map_or_else(String::new, |mode| format!(", mode {mode:04o}"))
}

fn amount(way: &str, moved: &Moved) -> String {
    let Moved { bytes, from, to, digest } = moved;
    let mut text = format!("{way} {bytes} bytes");
    // Writing into a String never fails.
    let _ = match digest {
        Digest::Sha256(digest) => write!(text, ", sha256 {digest}"),
        Digest::Absent(why) => write!(text, " from {from} to {to}, no digest ({})", why.words()),
    };
    text
}

fn values(attributes: &Attributes) -> String {
    let Attributes { size, uid, gid, permissions, accessed, modified } = attributes;
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {value}"));
    let values = [
        number("size", *size),
        number("owner", uid.map(u64::from)),
        number("group", gid.map(u64::from)),
        permissions.map(|mode| format!("mode {mode:04o}")),
        number("access time", *accessed),
        number("change time", *modified),
    ];
    let values: Vec<String> = values.into_iter().flatten().collect();
    if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
}

const fn look(how: Look) -> &'static str {
    match how {
        Look::Stat => "stat",
        Look::Lstat => "lstat",
        Look::Fstat => "fstat",
        Look::Realpath => "realpath",
        Look::ExpandPath => "expand-path",
        Look::Statvfs => "statvfs",
        Look::Fstatvfs => "fstatvfs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_reads_as_a_sentence() {
        for (json, text) in [
            (
                r#"{"op":"open","path":"/a","write":true,"create":true,"truncate":true,"permissions":"0644","result":"done"}"#,
                "open /a to write, create, truncate, mode 0644",
            ),
            (
                r#"{"op":"open","path":"/a/b","or":"/a","write":true,"size":5,"result":{"refused":{"reason":"no uploads"}}}"#,
                "open /a/b (or /a, if that is no folder) to write, 5 bytes announced: REFUSED: no uploads",
            ),
            (
                r#"{"op":"close","path":"/a","written":{"bytes":5,"from":0,"to":5,"sha256":"abcd"},"result":"done"}"#,
                "close /a: wrote 5 bytes, sha256 abcd",
            ),
            (
                r#"{"op":"close","path":"/a","read":{"bytes":5,"from":2,"to":7,"no-digest":"end-unseen"},"result":"unanswered"}"#,
                "close /a: read 5 bytes from 2 to 7, no digest (its end was not seen): the channel ended before it was answered",
            ),
            (
                r#"{"op":"remove","path":"/a","result":{"failed":{"code":2,"text":"No such\u001b[31m file"}}}"#,
                "remove /a: failed: No such\u{fffd}[31m file (status 2)",
            ),
            (
                r#"{"op":"setstat","path":"/a","uid":0,"permissions":"4755","result":"done"}"#,
                "set owner 0, mode 4755 of /a",
            ),
            (r#"{"op":"list","path":"/a\u202eb","entries":3,"result":"done"}"#, "list /a\u{fffd}b: 3 names"),
        ] {
            assert_eq!(sentence(&serde_json::from_str(json).unwrap()), text);
        }
    }
}
