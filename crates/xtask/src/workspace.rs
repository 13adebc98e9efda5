//! Where things are, and what cargo knows about them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run::{capture, cargo};

/// The checkout.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that this program was built in.
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let root = Path::new(&here).join("../..");
        let root = root.canonicalize().with_context(|| format!("cannot find the checkout at {}", root.display()))?;
        Ok(Self { root })
    }

    /// Its root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Tools that `setup` installs for this checkout alone.
    pub(crate) fn tools(&self) -> PathBuf {
        self.path("target/tools")
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), |folder| self.root.join(folder))
    }

    /// What `cargo metadata` says about the workspace, with its resolved dependencies.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let text = capture(cargo(&self.root).args(["metadata", "--format-version", "1", "--locked"]))
            .context("the workspace does not resolve as Cargo.lock says")?;
        serde_json::from_str(&text).context("cargo metadata did not write JSON")
    }

    /// Files that git knows or would add, relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut git = std::process::Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = capture(&mut git)?;
        let mut files: Vec<String> = listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        files.retain(|name| self.root.join(name).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }
}
