//! `cargo xtask setup`: makes a bare clone ready. Each step looks first and does nothing when there is nothing to do.

mod clients;
mod packages;
mod patched;
mod tools;

use anyhow::Result;

pub(crate) use self::patched::CRATES as PATCHED;
pub(crate) use self::tools::cargo_fuzz;
use crate::run::say;
use crate::workspace::Workspace;

/// Everything that any of the commands needs.
pub(crate) fn everything(workspace: &Workspace) -> Result<()> {
    to_build(workspace)?;
    packages::install(&packages::FOR_TESTS)?;
    packages::privilege_separation()?;
    packages::fuse()?;
    packages::mounts()?;
    packages::network()?;
    tools::install(workspace)?;
    clients::install(workspace)?;
    say("setup", "ready");
    Ok(())
}

/// What the workspace needs to resolve and build.
pub(crate) fn to_build(workspace: &Workspace) -> Result<()> {
    patched::write(workspace)
}

/// What the demo and the benchmarks need besides: a real ssh and a real sshd.
pub(crate) fn to_run(workspace: &Workspace) -> Result<()> {
    to_build(workspace)?;
    packages::install(&packages::FOR_DEMO)
}
