//! `cargo xtask`: everything that is done to this repository.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod fuzz;
mod run;
mod setup;
mod site;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
cargo xtask COMMAND

  setup               make a clone ready: the patched crates, packages and tools that are missing
  test [FILTER]       setup, tidy and every test; with FILTER only the tests whose name contains it
  tidy                formatting, clippy, docs, the order of the layers, purity, file sizes, dependencies
  demo [--keep]       the whole story against a real sshd; --keep leaves it running to try by hand
  bench [NAME…|proxy] [--json] [--quick]
                      measure, and write docs/performance.md; without NAME all, proxy for what a session costs;
                      --quick tries it with little, and writes nothing
  fuzz [TARGET…] [--minutes 10] [--jobs 1] [--list]
                      feed the parsers with what nobody thought of, each for so long and so many at a time; without
                      TARGET all; what is found stays in target/fuzz-found, and begins the next run
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find()?;
    match arguments.as_slice() {
        [] | ["help" | "-h" | "--help"] => print!("{USAGE}"),
        ["setup"] => setup::everything(&workspace)?,
        ["test"] => return test::test(&workspace, None),
        ["test", filter] => return test::test(&workspace, Some(filter)),
        ["tidy"] => return tidy::tidy(&workspace),
        ["demo"] => demo::demo(&workspace, false)?,
        ["demo", "--keep"] => demo::demo(&workspace, true)?,
        ["bench", rest @ ..] => bench::bench(&workspace, rest)?,
        ["fuzz", rest @ ..] => fuzz::fuzz(&workspace, rest)?,
        other => bail!("unknown command «{}»\n\n{USAGE}", other.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
