//! A file has one subject. Its length is how one notices that it has two.

use std::fs;

use anyhow::{Context as _, Result};

use super::none;
use crate::run::say;
use crate::workspace::Workspace;

const SMELL: usize = 500;
const END: usize = 900;

/// Fails above 900 lines, tells above 500, and shows the median.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut sizes = Vec::new();
    for file in workspace.files()?.into_iter().filter(|file| is_source(file)) {
        let text = fs::read_to_string(workspace.path(&file)).with_context(|| format!("cannot read {file}"))?;
        sizes.push((text.lines().count(), file));
    }
    sizes.sort();
    if let Some((median, _)) = sizes.get(sizes.len() / 2) {
        say("tidy", format_args!("sizes: {} source files, median {median} lines", sizes.len()));
    }
    for (lines, file) in sizes.iter().filter(|(lines, _)| (SMELL + 1..=END).contains(lines)) {
        say("tidy", format_args!("sizes: warning: {file} has {lines} lines: one subject?"));
    }
    let findings: Vec<String> = sizes
        .iter()
        .filter(|(lines, _)| *lines > END)
        .map(|(lines, file)| format!("{file} has {lines} lines; {END} is the end"))
        .collect();
    none(&findings)
}

/// Rust sources; tests may be as long as their subject asks.
fn is_source(file: &str) -> bool {
    let is_test = file.starts_with("tests/") || file.contains("/tests/") || file.ends_with("/tests.rs");
    file.ends_with(".rs") && !is_test
}
