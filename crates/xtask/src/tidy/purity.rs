//! Pure crates do no I/O: by their manifests, by all that those pull in, and by their sources.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::none;
use crate::run::{capture, cargo};
use crate::workspace::Workspace;

/// The pure crates and all that each may depend on.
const PURE: [(&str, &str, &[&str]); 5] = [
    ("portcullis-model", "crates/model", &["globset", "ipnet", "jiff", "serde", "strsim", "thiserror"]),
    (
        "portcullis-policy",
        "crates/policy",
        &["cedar-policy", "portcullis-model", "serde", "serde_json", "strsim", "thiserror"],
    ),
    ("portcullis-access", "crates/access", &["portcullis-model", "serde", "thiserror"]),
    (
        "portcullis-ledger",
        "crates/ledger",
        &["base64", "ed25519-dalek", "hex", "portcullis-model", "serde", "serde_json", "sha2", "thiserror"],
    ),
    ("portcullis-sftp", "crates/sftp", &["bytes", "hex", "serde", "sha2", "thiserror"]),
];

/// Crates that do I/O or hand out randomness: not even at second hand.
const IMPURE: [&str; 8] = ["async-std", "getrandom", "hyper", "mio", "rand", "reqwest", "socket2", "tokio"];

/// What the source of a pure crate must not name. Types that only hold an address are data, and allowed.
const WORDS: [&str; 14] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "UnixStream",
    "tokio::",
    "getrandom",
    "Timestamp::now",
];

/// Checks manifests, what they pull in, and sources.
pub(crate) fn check(workspace: &Workspace, metadata: &Value) -> Result<()> {
    let mut findings = Vec::new();
    for (name, folder, allowed) in PURE {
        let package = package(metadata, name).with_context(|| format!("{name} is not in the workspace"))?;
        for dependency in normal_dependencies(package) {
            if !allowed.contains(&dependency) {
                findings.push(format!("{name} depends on {dependency}, which is not on the list of a pure crate"));
            }
        }
        for pulled in built_in(workspace, name)?.iter().filter(|pulled| IMPURE.contains(&pulled.as_str())) {
            findings.push(format!("{name} pulls in {pulled} through its dependencies"));
        }
        let sources = format!("{folder}/src/");
        for file in workspace.files()?.iter().filter(|file| file.starts_with(&sources) && file.ends_with(".rs")) {
            let text = fs::read_to_string(workspace.path(file)).with_context(|| format!("cannot read {file}"))?;
            findings.extend(scan(&text).map(|(line, word)| format!("{file}:{line}: a pure crate names {word}")));
        }
    }
    none(&findings)
}

/// Lines outside comments and tests that name what is impure.
fn scan(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .filter_map(|(number, line)| {
            let word = WORDS.into_iter().find(|word| names(line, word))?;
            Some((number + 1, word))
        })
}

/// Whether the line holds the word as a word: `Instant` is not in `Instantly`.
fn names(line: &str, word: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|rest| rest.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|rest| rest.chars().next());
        let ends_open = word.ends_with(':');
        !before.is_some_and(part_of_a_name) && (ends_open || !after.is_some_and(part_of_a_name))
    })
}

fn package<'a>(metadata: &'a Value, name: &str) -> Option<&'a Value> {
    metadata["packages"].as_array()?.iter().find(|package| package["name"] == name)
}

fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies.iter().filter(|dependency| dependency["kind"] != "dev").filter_map(|d| d["name"].as_str())
}

/// Names of all packages that are built into this one when it is built alone, with its own choice of features.
fn built_in(workspace: &Workspace, name: &str) -> Result<BTreeSet<String>> {
    let mut tree = cargo(workspace.root());
    tree.args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none"]);
    Ok(capture(&mut tree)?.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn finds_words_and_not_parts_of_words() {
        let found: Vec<_> =
            scan("use std::fs;\nlet a = Instantly;\n// SystemTime\nlet b = SystemTime::now();").collect();
        assert_eq!(found, [(1, "std::fs"), (4, "SystemTime")]);
    }

    #[test]
    fn tests_of_a_pure_crate_may_do_io() {
        assert_eq!(scan("fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }").count(), 0);
    }
}
