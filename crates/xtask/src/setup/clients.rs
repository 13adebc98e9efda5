//! The SSH clients that come from PyPI and npm, for this checkout alone, each at the version and with the hash that
//! `tests/clients` names.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{capture, run, say};
use crate::workspace::Workspace;

/// Stands in the folder once everything is in it, and says what was installed.
const STAMP: &str = ".written-by-xtask";

/// asyncssh, paramiko, Ansible, sshuttle, node's ssh2, and ssh-audit, which looks at the proxy as a client does.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    from_pypi(workspace)?;
    from_npm(workspace)
}

/// A virtual environment with what `requirements.txt` pins; pip takes nothing whose hash does not stand there.
fn from_pypi(workspace: &Workspace) -> Result<()> {
    let requirements = workspace.path("tests/clients/requirements.txt");
    let pinned = read(&requirements)?;
    let python = capture(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.base_prefix)"]))
        .context("the clients from PyPI need python3")?;
    let folder = workspace.tools().join("python");
    // A virtual environment belongs to the Python that made it.
    let stamp = format!("{python}{pinned}");
    if is_there(&folder, &stamp, "clients from PyPI") {
        return Ok(());
    }
    say("setup", "clients from PyPI: installing asyncssh, paramiko, ansible-core, ssh-audit and sshuttle");
    remove(&folder)?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/python3"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
        .arg(&requirements))
    .context("PyPI's clients cannot be had, and the tests drive them")?;
    run(Command::new(folder.join("bin/python3"))
        .args(["-c", "import ansible, asyncssh, paramiko, ssh_audit, sshuttle"]))
    .context("PyPI's clients are installed, and do not start")?;
    Ok(fs::write(folder.join(STAMP), stamp)?)
}

/// What `package-lock.json` pins; npm takes nothing whose hash does not stand there. ssh2's optional parts are native
/// code, which it does without.
fn from_npm(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.path("tests/clients/package.json");
    let lock = workspace.path("tests/clients/package-lock.json");
    let stamp = format!("{}{}", read(&manifest)?, read(&lock)?);
    let folder = workspace.tools().join("node");
    if is_there(&folder, &stamp, "clients from npm") {
        return Ok(());
    }
    say("setup", "clients from npm: installing ssh2");
    remove(&folder)?;
    fs::create_dir_all(&folder)?;
    fs::copy(&manifest, folder.join("package.json"))?;
    fs::copy(&lock, folder.join("package-lock.json"))?;
    run(Command::new("npm").current_dir(&folder).args([
        "ci",
        "--omit=optional",
        "--ignore-scripts",
        "--no-fund",
        "--no-audit",
        "--loglevel=error",
    ]))
    .context("npm's clients cannot be had, and the tests drive them")?;
    if !folder.join("node_modules/ssh2").is_dir() {
        bail!("npm says that it has installed ssh2, and {} has none", folder.display());
    }
    Ok(fs::write(folder.join(STAMP), stamp)?)
}

fn is_there(folder: &Path, stamp: &str, what: &str) -> bool {
    let there = fs::read_to_string(folder.join(STAMP)).is_ok_and(|written| written == stamp);
    if there {
        say("setup", format_args!("{what}: there"));
    }
    there
}

/// What an earlier run left half-done, or is of other versions, goes.
fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
