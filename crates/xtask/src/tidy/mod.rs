//! `cargo xtask tidy`: what a reviewer should not have to look for.

mod crates;
mod layers;
mod paths;
mod purity;
mod sizes;
mod supply;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::run::{cargo, run, say};
use crate::setup;
use crate::workspace::Workspace;

/// The command.
pub(crate) fn tidy(workspace: &Workspace) -> Result<ExitCode> {
    setup::to_build(workspace)?;
    let failures = failures(workspace)?;
    if failures.is_empty() {
        say("tidy", "all tidy");
        return Ok(ExitCode::SUCCESS);
    }
    say("tidy", format_args!("failed: {}", failures.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Runs every check, the quick ones first, and returns the names of those that failed; each has said why.
pub(crate) fn failures(workspace: &Workspace) -> Result<Vec<&'static str>> {
    let metadata = workspace.metadata()?;
    let mut failed = Vec::new();
    let mut check = |name: &'static str, verdict: Result<()>| match verdict {
        Ok(()) => say("tidy", format_args!("{name}: ok")),
        Err(error) => {
            say("tidy", format_args!("{name}: FAILED\n{error:#}"));
            failed.push(name);
        }
    };
    check("layers", layers::check(&metadata));
    check("purity", purity::check(workspace, &metadata));
    check("crates", crates::check(workspace, &metadata));
    check("sizes", sizes::check(workspace));
    check("paths", paths::check(workspace));
    check("dependencies", supply::check(workspace, &metadata));
    check("format", format(workspace));
    check("clippy", clippy(workspace));
    check("docs", docs(workspace));
    Ok(failed)
}

fn format(workspace: &Workspace) -> Result<()> {
    let hint = "hint: cargo fmt --all && cargo fmt --manifest-path crates/xtask/Cargo.toml && \
                cargo fmt --manifest-path tests/fuzz/Cargo.toml";
    run(cargo(workspace.root()).args(["fmt", "--all", "--check"])).context(hint)?;
    run(cargo(workspace.root()).args(["fmt", "--manifest-path", "tests/fuzz/Cargo.toml", "--check"])).context(hint)?;
    run(own(workspace, "fmt").arg("--check")).context(hint)
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    run(cargo(workspace.root()).args(["clippy", "--workspace", "--all-targets", "--locked"]).args(deny))?;
    run(own(workspace, "clippy").args(["--all-targets", "--locked", "--target-dir", "target/xtask"]).args(deny))
}

fn docs(workspace: &Workspace) -> Result<()> {
    run(cargo(workspace.root())
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// A cargo command on xtask itself, which stands outside the workspace.
fn own(workspace: &Workspace, verb: &str) -> Command {
    let mut command = cargo(workspace.root());
    command.args([verb, "--manifest-path", "crates/xtask/Cargo.toml"]);
    command
}

/// Fails with the findings, one a line, if there are any.
fn none(findings: &[String]) -> Result<()> {
    if findings.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("  {}", findings.join("\n  "))) }
}
