//! What our texts point to is there: commands with their options, and files of documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sources whose strings people read.
const ROOMS: [&str; 9] = [
    "ca/src",
    "crates/access/src",
    "crates/api/src",
    "crates/cli/src",
    "crates/identity/src",
    "crates/policy/src",
    "crates/store/src",
    "proxy/src",
    "recordings/src",
];
/// The documents that name commands.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "SECURITY.md",
    "ARCHITECTURE.md",
    "deploy/README.md",
    "docs/clients.md",
    "docs/enrolment.md",
    "docs/performance.md",
    "docs/policy.md",
    "docs/sessions.md",
];
/// Words behind "portcullis", or behind one of its verbs, in sentences about it and in the names of what is signed.
const PROSE: [&str; 5] = ["certificate", "is", "key", "snapshot", "with"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All texts: sources without comments, with strings that go on in the next line put together.
fn texts() -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    let mut folders: Vec<PathBuf> = ROOMS.iter().map(|room| root().join(room)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["rs", "toml", "cedar", "sh"].iter().any(|e| extension == *e))
            {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path, joined(&text)));
            }
        }
    }
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        texts.push((path, text.replace("\\\n", " ")));
    }
    assert!(texts.len() > 200, "the sources are not there");
    texts
}

fn joined(text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        match line.strip_suffix('\\') {
            Some(line) => whole.push_str(if whole.ends_with(' ') { line.trim_start() } else { line }),
            None => {
                whole.push_str(if whole.ends_with(' ') { line.trim_start() } else { line });
                whole.push('\n');
            }
        }
    }
    whole
}

/// The help of commands, asked for once each.
#[derive(Default)]
struct Helps(BTreeMap<String, Option<String>>);

impl Helps {
    /// `None` where there is no such command.
    fn of(&mut self, words: &[&str]) -> Option<String> {
        let ask = || {
            let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(words).arg("--help").output().unwrap();
            done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
        };
        self.0.entry(words.join(" ")).or_insert_with(ask).clone()
    }
}

/// What stands behind each "portcullis ", as far as it can be a command line.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.match_indices("portcullis ").filter(|(at, _)| begins(text, *at)).map(|(at, name)| {
        let rest =
            text[at + name.len()..].split(['\n', '"', '`', ';', '|', ')', '(', ',', '\'', '#', '…']).next().unwrap();
        rest.split(' ').filter(|word| !word.is_empty()).collect()
    })
}

/// Not the end of another word, or of a path.
fn begins(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| c.is_alphanumeric() || ['/', '-', '_', '.', '<'].contains(&c))
}

fn is_verb(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

#[test]
fn every_command_that_is_named_exists_with_its_options() {
    let (mut helps, mut wrong, mut looked) = (Helps::default(), Vec::new(), 0);
    let general = helps.of(&[]).unwrap();
    for (path, text) in texts() {
        for line in lines(&text) {
            let Some(verb) = line.first().map(|word| word.trim_end_matches([':', '.'])) else { continue };
            if !is_verb(verb) {
                continue;
            }
            looked += 1;
            let Some(mut help) = helps.of(&[verb]) else {
                if !PROSE.contains(&verb) {
                    wrong.push(format!("{}: portcullis {}", path.display(), line.join(" ")));
                }
                continue;
            };
            if let Some(next) = line.get(1).filter(|word| is_verb(word) && help.contains("\nCommands:\n")) {
                match helps.of(&[verb, next]) {
                    Some(found) => help = found,
                    None if PROSE.contains(next) => {}
                    None => wrong.push(format!("{}: portcullis {}", path.display(), line.join(" "))),
                }
            }
            for option in line.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                let option = option.trim_end_matches(['.', ':', ']', '}', '*']).split(['=', '\\']).next().unwrap();
                let there = |help: &str| help.split([' ', ',', '\n', '=', '[']).any(|word| word == option);
                if !there(&help) && !there(&general) {
                    wrong.push(format!("{}: {option} in portcullis {}", path.display(), line.join(" ")));
                }
            }
        }
    }
    assert!(looked > 200, "only {looked} commands were found");
    assert!(wrong.is_empty(), "what is named and is not there:\n{}", wrong.join("\n"));
}

#[test]
fn every_document_that_is_named_exists() {
    let (mut wrong, mut looked) = (Vec::new(), 0);
    for (path, text) in texts() {
        for folder in ["docs/", "deploy/"] {
            for (at, _) in text.match_indices(folder).filter(|(at, _)| begins(&text, *at)) {
                let end = |c: char| !(c.is_alphanumeric() || ['/', '-', '_', '.'].contains(&c));
                let named = text[at..].split(end).next().unwrap().trim_end_matches('.');
                if named.ends_with(".md") {
                    looked += 1;
                    if !root().join(named).exists() {
                        wrong.push(format!("{}: {named}", path.display()));
                    }
                }
            }
        }
    }
    assert!(looked > 10, "only {looked} documents were found");
    assert!(wrong.is_empty(), "what is named and is not there:\n{}", wrong.join("\n"));
}
