//! `cargo xtask bench`: what it costs, and how fast it drops, against direct ssh in the same run.

mod drop;
mod field;
mod load;
mod row;
mod sessions;
mod setup;
mod table;
mod transfer;

use std::fs;

use anyhow::{Result, bail};
use serde_json::Value;

use self::field::Field;
use self::row::Row;
use crate::run::{cargo, run, say};
use crate::setup as preparation;
use crate::site::Stage;
use crate::workspace::Workspace;

/// Every benchmark, in the order of the table.
const ORDER: [&str; 7] = ["download", "upload", "setup", "revoke-to-drop", "live-sessions", "issuance", "start"];

/// Runs the named benchmarks, or all, and writes the table.
pub(crate) fn bench(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let json = words.contains(&"--json");
    let names: Vec<&str> = words.iter().copied().filter(|word| *word != "--json").collect();
    if let Some(unknown) = names.iter().find(|name| !ORDER.contains(name)) {
        bail!("there is no benchmark «{unknown}»\nhint: there are {}", ORDER.join(", "));
    }
    preparation::to_run(workspace)?;
    say("bench", "building with the release profile");
    run(cargo(workspace.root()).args(["build", "--release", "--locked", "--package", "portcullis-cli"]))?;
    run(cargo(workspace.root()).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "portcullis-tests",
        "--bin",
        "load",
    ]))?;

    let mut field = Field::new(workspace.target().join("release"), Stage::set()?);
    let mut rows: Vec<Row> = Vec::new();
    for name in ORDER.iter().filter(|name| names.is_empty() || names.contains(name)) {
        say("bench", name);
        let measured = match *name {
            "download" => transfer::download(field.site()?),
            "upload" => transfer::upload(field.site()?),
            "setup" => setup::setup(field.site()?),
            "revoke-to-drop" => drop::revoke_to_drop(&mut field),
            "live-sessions" => sessions::live_sessions(&mut field),
            "issuance" => load::issuance(&mut field),
            _ => load::start(&mut field),
        }?;
        for row in &measured {
            say("bench", row.markdown());
        }
        rows.extend(measured);
    }
    table::update(&workspace.path("docs/performance.md"), &machine(), &rows)?;
    if json {
        println!("{}", Value::Array(rows.iter().map(Row::json).collect()));
    }
    Ok(())
}

/// What was measured on, in words.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Measured on {cores} cores ({}), client, proxy and server on one machine.", model.unwrap_or("of some kind"))
}
