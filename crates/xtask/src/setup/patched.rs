//! Writes the patched crates that the root's `[patch.crates-io]` names.
//!
//! Cargo fetches what `patches/fetch/Cargo.lock` pins; each archive is held against the checksum of that lock file once
//! more, unpacked, and patched. Nothing else ever changes the folders, and each is replaced as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::run::{capture, cargo, run, say};
use crate::workspace::Workspace;

/// The crates whose source is patched: each has its patch file, which says why, and its line in `patches/fetch`.
pub(crate) const CRATES: [&str; 2] = ["russh", "ssh-key"];
/// The name is the hint that a plain `cargo build` prints when the folder is not there.
const FOLDER: &str = "target/first run cargo xtask setup";
const STAMP: &str = ".written-by-xtask";

/// Writes each folder unless it already is what the pinned version and the patch make.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let fetch = workspace.path("crates/xtask/patches/fetch");
    CRATES.iter().try_for_each(|name| write_one(workspace, &fetch, name))
}

fn write_one(workspace: &Workspace, fetch: &Path, name: &str) -> Result<()> {
    let pinned = Pinned::read(&fetch.join("Cargo.lock"), name)?;
    let version = &pinned.version;
    let patch = workspace.path(&format!("crates/xtask/patches/{name}-{version}.patch"));
    let text = fs::read(&patch).with_context(|| format!("cannot read the patch {}", patch.display()))?;
    let stamp = format!("{name} {version} {}\n{}\n", pinned.checksum, hex(&Sha256::digest(&text)));

    let folder = workspace.path(FOLDER).join(name);
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|written| written == stamp) {
        say("setup", format_args!("{name} {version}: patched already"));
        return Ok(());
    }
    say("setup", format_args!("{name} {version}: fetching the registry's source"));
    let archive = fetched(fetch, name, &pinned)?;

    let staging = tempfile::Builder::new().prefix("setup-").tempdir_in(workspace.path("target"))?;
    // The archive's own times are years old, and cargo rebuilds by time: a file that a changed patch no longer touches
    // would look older than what was built from it. So: times of now.
    run(Command::new("tar")
        .args(["--extract", "--gzip", "--touch", "--file"])
        .arg(&archive)
        .arg("-C")
        .arg(staging.path()))?;
    let fresh = staging.path().join(format!("{name}-{version}"));
    say("setup", format_args!("{name} {version}: applying {}", shown(workspace, &patch)));
    capture(
        Command::new("patch")
            .current_dir(&fresh)
            .args(["-p1", "--forward", "--no-backup-if-mismatch", "-i"])
            .arg(&patch),
    )
    .with_context(|| format!("{} does not apply to {name} {version}", shown(workspace, &patch)))?;
    for leftover in [".cargo_vcs_info.json", "Cargo.toml.orig"] {
        let _ = fs::remove_file(fresh.join(leftover));
    }
    fs::write(fresh.join(STAMP), stamp)?;

    fs::create_dir_all(workspace.path(FOLDER))?;
    if folder.exists() {
        fs::rename(&folder, staging.path().join("before"))?;
    }
    fs::rename(&fresh, &folder).with_context(|| format!("cannot put {} in place", folder.display()))?;
    say("setup", format_args!("{name} {version}: written to «{FOLDER}/{name}»"));
    Ok(())
}

struct Pinned {
    version: String,
    checksum: String,
}

impl Pinned {
    fn read(lock: &Path, name: &str) -> Result<Self> {
        let text = fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
        Self::find(&text, name).with_context(|| format!("{} pins no {name} with a checksum", lock.display()))
    }

    fn find(lock: &str, name: &str) -> Option<Self> {
        let name = format!("name = \"{name}\"");
        let package = lock.split("[[package]]").find(|package| package.lines().any(|line| line == name))?;
        let value = |key: &str| {
            let prefix = format!("{key} = \"");
            package.lines().find_map(|line| line.strip_prefix(&prefix)?.strip_suffix('"')).map(str::to_owned)
        };
        Some(Self { version: value("version")?, checksum: value("checksum")? })
    }
}

/// Lets cargo fetch the crate, and finds the archive that it keeps.
fn fetched(fetch: &Path, name: &str, pinned: &Pinned) -> Result<PathBuf> {
    let metadata = capture(cargo(fetch).args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata did not write JSON")?;
    let manifest = metadata
        .get("packages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|package| package["name"] == name && package["version"] == pinned.version.as_str())
        .and_then(|package| package["manifest_path"].as_str())
        .with_context(|| format!("cargo metadata does not list {name} {}", pinned.version))?;
    // …/registry/src/INDEX/NAME-VERSION/Cargo.toml stands beside …/registry/cache/INDEX/NAME-VERSION.crate.
    let source = Path::new(manifest).parent().context("a manifest without a folder")?;
    let index = source.parent().context("a source without an index")?;
    let registry = index.parent().and_then(Path::parent).context("an index without a registry")?;
    let index = index.file_name().context("an index without a name")?;
    let archive = registry.join("cache").join(index).join(format!("{name}-{}.crate", pinned.version));
    let bytes = fs::read(&archive).with_context(|| {
        format!("cannot read cargo's archive of {name}\nhint: is crates.io replaced by vendored sources? this step needs the archive itself")
    })?;
    let found = hex(&Sha256::digest(&bytes));
    if found != pinned.checksum {
        bail!(
            "{} is not what Cargo.lock pins: its SHA-256 is {found}, not {}\nhint: delete it and run this again",
            archive.display(),
            pinned.checksum
        );
    }
    Ok(archive)
}

fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(workspace.root()).unwrap_or(path).display().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Pinned;

    #[test]
    fn finds_the_pinned_version_and_its_checksum_among_others() {
        let lock = "[[package]]\nname = \"russh-util\"\nversion = \"1\"\nchecksum = \"no\"\n\n\
                    [[package]]\nname = \"russh\"\nversion = \"0.65.1\"\nchecksum = \"94be\"\n";
        let pinned = Pinned::find(lock, "russh").unwrap();
        assert_eq!((pinned.version.as_str(), pinned.checksum.as_str()), ("0.65.1", "94be"));
        assert!(Pinned::find(lock, "ssh-key").is_none());
    }

    #[test]
    fn a_lock_file_without_a_checksum_pins_nothing() {
        assert!(Pinned::find("[[package]]\nname = \"russh\"\nversion = \"0.65.1\"\n", "russh").is_none());
    }
}
