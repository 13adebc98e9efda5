//! `cargo xtask bench`: what it costs, and how fast it drops, against direct ssh and OpenSSH's own jump host in the same
//! run.

mod asked;
mod drop;
mod field;
mod goals;
mod jump;
mod keystroke;
mod load;
mod meter;
mod row;
mod sessions;
mod setup;
mod sizes;
mod table;
mod transfer;
mod way;

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use self::asked::Asked;
use self::field::Field;
use self::row::Row;
use self::transfer::Direction;
use crate::run::{cargo, run, say};
use crate::setup as preparation;
use crate::site::Stage;
use crate::workspace::Workspace;

/// Every benchmark, in the order of the table.
const ORDER: [&str; 11] = [
    "download",
    "upload",
    "cpu-per-gib",
    "setup",
    "keystroke",
    "memory-per-session",
    "live-sessions",
    "sessions-per-second",
    "revoke-to-drop",
    "issuance",
    "start",
];

/// What is measured together, and the benchmarks that it gives rows of.
const MEASUREMENTS: [(&[&str], Measure); 8] = [
    (&["download", "cpu-per-gib"], |field| {
        let sizes = field.sizes();
        transfer::transfer(field.ground()?, sizes, Direction::Down)
    }),
    (&["upload", "cpu-per-gib"], |field| {
        let sizes = field.sizes();
        transfer::transfer(field.ground()?, sizes, Direction::Up)
    }),
    (&["setup"], |field| {
        let sizes = field.sizes();
        setup::setup(field.ground()?, sizes)
    }),
    (&["keystroke"], |field| {
        let sizes = field.sizes();
        keystroke::keystroke(field.ground()?, sizes)
    }),
    (&["revoke-to-drop"], drop::revoke_to_drop),
    (&["memory-per-session", "live-sessions", "sessions-per-second"], sessions::live_sessions),
    (&["issuance"], load::issuance),
    (&["start"], load::start),
];

type Measure = fn(&mut Field) -> Result<Vec<Row>>;

/// Runs the named benchmarks, or all, and writes the tables.
pub(crate) fn bench(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let asked = Asked::parse(words)?;
    preparation::to_run(workspace)?;
    build(workspace)?;
    let begin = Instant::now();
    let mut field = Field::new(workspace.target().join("release"), asked.sizes, Stage::set()?);
    let mut rows: Vec<Row> = Vec::new();
    for (names, measure) in MEASUREMENTS {
        let names: Vec<&str> = names.iter().copied().filter(|name| asked.names.contains(name)).collect();
        if names.is_empty() {
            continue;
        }
        say("bench", names.join(", "));
        let start = Instant::now();
        let measured = measure(&mut field)?.into_iter().filter(|row| names.contains(&row.name));
        for row in measured {
            say("bench", row.markdown());
            rows.push(row);
        }
        say("bench", format_args!("that took {} s", start.elapsed().as_secs()));
    }
    for goal in goals::markdown(&rows) {
        say("goal", goal);
    }
    say("bench", format_args!("all took {} s", begin.elapsed().as_secs()));
    if asked.written {
        table::update(&workspace.path("docs/performance.md"), &machine(words), &rows)?;
    }
    if asked.json {
        println!("{}", Value::Array(rows.iter().map(Row::json).collect()));
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<()> {
    say("bench", "building with the release profile");
    for package in [&["portcullis-cli"][..], &["portcullis-tests", "--bin", "load"]] {
        run(cargo(workspace.root()).args(["build", "--release", "--locked", "--package"]).args(package))?;
    }
    Ok(())
}

/// By what and on what it was measured, in words.
fn machine(words: &[&str]) -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let (processors, memory, kernel) =
        (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/proc/sys/kernel/osrelease"));
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    // ssh says its version on standard error.
    let ssh = Command::new("ssh").arg("-V").output().map(|output| output.stderr).unwrap_or_default();
    let ssh = String::from_utf8_lossy(&ssh).into_owned();
    let command = ["cargo", "xtask", "bench"].iter().chain(words).copied().collect::<Vec<_>>().join(" ");
    format!(
        "Last run: `{command}`, on {} cores ({}) with {} GiB, Linux {}, {}; client, proxy and server on one machine.",
        std::thread::available_parallelism().map_or(0, usize::from),
        model.map_or("of some kind", |(_, name)| name),
        kib.map_or(0, |kib: u64| kib.div_ceil(1 << 20)),
        kernel.trim(),
        ssh.split(',').next().unwrap_or_default().trim(),
    )
}

#[cfg(test)]
mod tests {
    use super::{MEASUREMENTS, ORDER};

    #[test]
    fn every_benchmark_is_measured() {
        let measured: Vec<&str> = MEASUREMENTS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        assert!(ORDER.iter().all(|name| measured.contains(name)));
        assert!(measured.iter().all(|name| ORDER.contains(name)));
    }
}
