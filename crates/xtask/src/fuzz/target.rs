//! One fuzz target: where its files are, how it is built and run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::folder;
use super::log::Log;
use crate::run::{builds, capture};
use crate::workspace::Workspace;

/// Longer inputs find nothing that these do not, and take longer.
const INPUT: usize = 4096;
/// What one input may take at most.
const SECONDS: u64 = 10;
const MEGABYTES: u64 = 2048;

/// A target in `tests/fuzz/targets`.
pub(super) struct Target {
    pub(super) name: String,
    /// The first sentence of what it says about itself.
    pub(super) about: String,
}

/// All of them, sorted.
pub(super) fn all(workspace: &Workspace) -> Result<Vec<Target>> {
    let folder = workspace.path("tests/fuzz/targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs")) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            targets.push(Target { name: name.to_owned(), about: about(&text) });
        }
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

/// The first sentence of a file's own comment.
fn about(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first).to_owned()
}

impl Target {
    /// Builds it. AddressSanitizer and the coverage are asked of a compiler that calls itself stable.
    pub(super) fn build(&self, workspace: &Workspace, program: &Path) -> Command {
        let mut command = builds(program, &workspace.path("tests"));
        command.args(["fuzz", "build", "--fuzz-dir", "fuzz", "--target-dir"]).arg(built(workspace)).arg(&self.name);
        command.env("RUSTC_BOOTSTRAP", "1");
        command
    }

    /// Runs it for a time, from the seeds that are checked in and from all that was found before.
    pub(super) fn run(&self, workspace: &Workspace, time: Duration) -> Result<Log> {
        let host = capture(Command::new("rustc").arg("-vV"))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
        let kept = kept(workspace).join(&self.name);
        let (corpus, seeds) = (kept.join("corpus"), workspace.path("tests/fuzz/corpus").join(&self.name));
        for path in [&corpus, &seeds] {
            folder(path)?;
        }
        let path = kept.join("log");
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let status = Command::new(built(workspace).join(host).join("release").join(&self.name))
            .arg(format!("-max_total_time={}", time.as_secs().max(1)))
            .args([format!("-max_len={INPUT}"), format!("-timeout={SECONDS}"), format!("-rss_limit_mb={MEGABYTES}")])
            .args(["-print_final_stats=1".to_owned(), format!("-artifact_prefix={}/", kept.display())])
            .args([&corpus, &seeds])
            // As cargo-fuzz has it: Rust's own code is in several objects.
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .with_context(|| format!("cannot start the target {}", self.name))?;
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Log::read(&String::from_utf8_lossy(&text), status.code(), path))
    }

    /// How one runs it on one input, with whatever was changed meanwhile.
    pub(super) fn again(&self, workspace: &Workspace, input: &str) -> String {
        let (input, built) = (Path::new(input), built(workspace));
        let from_tests = |path: &Path| match path.strip_prefix(workspace.root()) {
            Ok(path) => Path::new("..").join(path).display().to_string(),
            Err(_) => path.display().to_string(),
        };
        format!(
            "{}\n    cd tests && RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz --target-dir {} {} {}",
            input.display(),
            from_tests(&built),
            self.name,
            from_tests(input),
        )
    }
}

/// Where the targets are built: with sanitizers, everything is another build.
fn built(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz")
}

/// What was found, one folder a target: inputs that reached something new, inputs that broke it, and the last log.
fn kept(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz-found")
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn a_target_is_known_by_its_first_sentence() {
        assert_eq!(about("//! A key has one form only.\n#![no_main]\n"), "A key has one form only");
        assert_eq!(about("//! Keys:\n//! all of them. And more.\n\nuse x;\n"), "Keys: all of them");
    }
}
