//! Transcripts of the command line: data files, and this one runner.
//!
//! A transcript is a text file. Its lines are, by how they begin:
//!
//! - `# ` a comment, or an empty line
//! - `+ NAME` a file that is made; the lines `| …` below are what it holds
//! - `$ COMMAND` run by `sh`, where `portcullis` is the binary under test
//! - `1> …` a line of its standard output, `2> …` one of its standard error
//! - `? CODE` its exit status; left out when it is 0
//!
//! Each transcript runs in an empty directory of its own, which is written `[DIR]`. With `PORTCULLIS_BLESS=1` the
//! expected lines are written anew; look at the difference before it is kept.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

struct Step<'a> {
    command: &'a str,
    expected: String,
}

#[test]
fn every_transcript_is_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "the transcripts are not there");
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut failed = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (fresh, difference) = run(&text);
        if difference.is_empty() {
            continue;
        }
        if bless {
            std::fs::write(&file, fresh).unwrap();
        } else {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let _ = write!(failed, "{name}:\n{difference}");
        }
    }
    assert!(failed.is_empty(), "{failed}\nPORTCULLIS_BLESS=1 writes the transcripts anew");
}

#[test]
fn every_verb_has_its_help_in_a_transcript() {
    let help =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/help.txt")).unwrap();
    for verb in verbs() {
        assert!(help.contains(&format!("\n$ portcullis {verb} --help\n")), "{verb}");
    }
}

/// What is copied from a terminal of 80 columns is what was meant: no line of an example is broken.
#[test]
fn the_examples_fit_into_80_columns() {
    let examples = |verb: &str, columns: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args([verb, "--help"])
            .env("COLUMNS", columns)
            .output()
            .unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let lines =
            text.lines().skip_while(|line| !line.starts_with("Examples:") && !line.starts_with("The first time:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for verb in verbs() {
        assert_eq!(examples(&verb, "80"), examples(&verb, "110"), "{verb}");
    }
}

/// The verbs, as `portcullis --help` lists them.
fn verbs() -> Vec<String> {
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("--help").output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let list = text.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<String> = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    verbs
}

/// Runs a transcript. Returns it as it should be, and how what happened differs from what was expected.
fn run(text: &str) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let (mut fresh, mut difference) = (String::new(), String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let _ = writeln!(fresh, "{line}");
        if let Some(name) = line.strip_prefix("+ ") {
            let mut content = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                let _ = writeln!(fresh, "{line}");
                let _ = writeln!(content, "{}", line.strip_prefix("| ").unwrap_or(""));
            }
            std::fs::write(directory.path().join(name), content).unwrap();
        } else if let Some(command) = line.strip_prefix("$ ") {
            let mut expected = String::new();
            while let Some(line) = lines.next_if(|line| ["1>", "2>", "? "].iter().any(|lead| line.starts_with(lead))) {
                let _ = writeln!(expected, "{line}");
            }
            let step = Step { command, expected };
            let found = happen(&step, directory.path());
            if found != step.expected {
                let _ = write!(difference, "$ {command}\n-- expected\n{}-- found\n{found}\n", step.expected);
            }
            fresh.push_str(&found);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "this line means nothing: {line}");
        }
    }
    (fresh, difference)
}

fn happen(step: &Step<'_>, directory: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let done = Command::new("sh")
        .args(["-c", step.command])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", binary.parent().unwrap().display()))
        .env("HOME", directory)
        .env("COLUMNS", "100")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut found = String::new();
    let canonical = directory.canonicalize().unwrap();
    for (lead, bytes) in [("1>", &done.stdout), ("2>", &done.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let text = text.replace(&*canonical.to_string_lossy(), "[DIR]").replace(&*directory.to_string_lossy(), "[DIR]");
        for line in text.lines() {
            let _ = writeln!(found, "{}", format!("{lead} {line}").trim_end());
        }
    }
    match done.status.code() {
        Some(0) => {}
        Some(code) => {
            let _ = writeln!(found, "? {code}");
        }
        None => found.push_str("? signal\n"),
    }
    found
}
