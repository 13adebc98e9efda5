//! `cargo xtask test`: everything that says whether this checkout is sound.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::run::{cargo, run, say, shown};
use crate::workspace::Workspace;
use crate::{setup, tidy};

/// Runs it all. The last line is `N passed, N failed`; a step of tidy that fails, or a test program that dies without a
/// word, counts as a failure, so that line never says 0 over a failed run.
pub(crate) fn test(workspace: &Workspace, filter: Option<&str>) -> Result<ExitCode> {
    setup::everything(workspace)?;
    let untidy = if filter.is_some() {
        say("test", "a filter was given: tidy is left out");
        Vec::new()
    } else {
        tidy::failures(workspace)?
    };

    say("test", "building the binary that the end-to-end tests drive");
    run(cargo(workspace.root()).args(["build", "--workspace", "--bins", "--locked"]))?;
    let mut tally = Tally::default();
    let filter: Vec<&str> = filter.into_iter().collect();
    let mut whole = cargo(workspace.root());
    whole.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(&filter);
    stream(&mut whole, &mut tally)?;
    let mut own = cargo(workspace.root());
    own.args(["test", "--manifest-path", "crates/xtask/Cargo.toml", "--locked", "--target-dir", "target/xtask"]);
    stream(own.args(&filter), &mut tally)?;

    for name in &untidy {
        println!("FAILED tidy: {name}");
    }
    for name in &tally.names {
        println!("FAILED {name}");
    }
    let failed = tally.failed + untidy.len() as u64;
    println!("{} passed, {failed} failed", tally.passed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    names: Vec<String>,
}

/// Shows the output as it comes and counts what the test programs report.
fn stream(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let line = shown(command);
    say("test", &line);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let output = child.stdout.take().context("no output to read")?;
    let before = tally.failed;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.see(&line);
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == before {
        tally.failed += 1;
        tally.names.push(format!("`{line}` ({status})"));
    }
    Ok(())
}

impl Tally {
    fn see(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        }
    }
}

/// The number before `word` in "ok. 3 passed; 0 failed; …".
fn count(text: &str, word: &str) -> u64 {
    let mut words = text.split([' ', ';']).filter(|word| !word.is_empty());
    let mut before = "";
    words
        .find_map(|this| {
            let found = (this == word).then(|| before.parse().ok()).flatten();
            before = this;
            found
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn sums_over_the_test_programs() {
        let mut tally = Tally::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.01s",
        ] {
            tally.see(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.names), (42, 1, vec!["a::c".to_owned()]));
    }
}
