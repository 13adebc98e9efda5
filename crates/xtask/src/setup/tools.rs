//! Tools that only the tests need, installed for this checkout alone in `target/tools`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run::{capture, cargo, run, say, which};
use crate::workspace::Workspace;

const ASCIINEMA: &str = "3.2.0";
const PLAYER: &str = "3.17.0";
const CARGO_FUZZ: &str = "0.13.2";

/// asciinema 3 beside Debian's 2, and the player that browsers use: the readers whose verdict on a recording counts.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    asciinema(workspace)?;
    player(workspace)
}

/// Where `asciinema` 3 is.
pub(crate) fn asciinema_program(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/asciinema")
}

/// Where `cargo-fuzz` is. Only `cargo xtask fuzz` needs it, which is why no set-up installs it before.
pub(crate) fn cargo_fuzz(workspace: &Workspace) -> Result<PathBuf> {
    let own = workspace.tools().join("bin/cargo-fuzz");
    let right = |program: &PathBuf| {
        capture(Command::new(program).arg("--version")).is_ok_and(|version| version.trim().ends_with(CARGO_FUZZ))
    };
    if let Some(program) = which("cargo-fuzz").into_iter().chain([own.clone()]).find(right) {
        return Ok(program);
    }
    say("fuzz", format_args!("cargo-fuzz {CARGO_FUZZ}: building it from crates.io (a minute, once)"));
    from_crates_io(workspace, "cargo-fuzz", CARGO_FUZZ)?;
    Ok(own)
}

fn asciinema(workspace: &Workspace) -> Result<()> {
    let program = asciinema_program(workspace);
    let version = capture(Command::new(&program).arg("--version")).unwrap_or_default();
    if version.contains(ASCIINEMA) {
        say("setup", format_args!("asciinema {ASCIINEMA}: there"));
        return Ok(());
    }
    say("setup", format_args!("asciinema {ASCIINEMA}: building it from crates.io (some minutes, once)"));
    from_crates_io(workspace, "asciinema", ASCIINEMA)
}

fn from_crates_io(workspace: &Workspace, name: &str, version: &str) -> Result<()> {
    run(cargo(workspace.root())
        .args(["install", name, "--version", version, "--locked", "--force", "--quiet", "--root"])
        .arg(workspace.tools())
        .arg("--target-dir")
        .arg(workspace.tools().join("build")))?;
    // What it was built from weighs more than the tool.
    let _ = fs::remove_dir_all(workspace.tools().join("build"));
    Ok(())
}

fn player(workspace: &Workspace) -> Result<()> {
    let folder = workspace.tools().join("npm");
    let manifest = folder.join("node_modules/asciinema-player/package.json");
    let wanted = format!("\"version\": \"{PLAYER}\"");
    if fs::read_to_string(manifest).is_ok_and(|text| text.contains(&wanted)) {
        say("setup", format_args!("asciinema-player {PLAYER}: there"));
        return Ok(());
    }
    say("setup", format_args!("asciinema-player {PLAYER}: installing it from npm"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    run(Command::new("npm")
        .current_dir(&folder)
        .args(["install", "--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error", "--prefix", "."])
        .arg(format!("asciinema-player@{PLAYER}")))
}
