//! `cargo xtask fuzz`: every parser of ours, fed with bytes that nobody thought of.

mod log;
mod target;

use std::collections::VecDeque;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::log::Log;
use self::target::Target;
use crate::run::{run, say};
use crate::setup;
use crate::workspace::Workspace;

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Options<'a> {
    /// No names: all.
    names: Vec<&'a str>,
    list: bool,
    minutes: f64,
    jobs: usize,
}

/// The command.
pub(crate) fn fuzz(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    let known = target::all(workspace)?;
    if options.list {
        for target in known {
            println!("{:<14} {}", target.name, target.about);
        }
        return Ok(());
    }
    let chosen = choose(known, &options.names)?;
    setup::to_build(workspace)?;
    let program = setup::cargo_fuzz(workspace)?;
    for target in &chosen {
        say("fuzz", format_args!("{}: building", target.name));
        run(&mut target.build(workspace, &program))?;
    }
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let done = all(workspace, chosen, time, options.jobs)?;
    println!("{}", Log::HEADING);
    let mut found = Vec::new();
    for (target, log) in &done {
        println!("{}", log.line(&target.name));
        found.extend(log.found.iter().map(|input| target.again(workspace, input)));
    }
    match found.is_empty() && done.iter().all(|(_, log)| log.ended_well()) {
        true => Ok(()),
        false => bail!("an input was found that a parser does not take as it should:\n  {}", found.join("\n  ")),
    }
}

/// Runs the targets, so many at a time, in their order.
fn all(workspace: &Workspace, targets: Vec<Target>, time: Duration, jobs: usize) -> Result<Vec<(Target, Log)>> {
    let waiting = Mutex::new(targets.into_iter().enumerate().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((place, target)) = next() {
                    say("fuzz", format_args!("{}: running for {} s", target.name, time.as_secs()));
                    let log = target.run(workspace, time);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, target, log));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, ..)| *place);
    done.into_iter().map(|(_, target, log)| log.map(|log| (target, log))).collect()
}

fn choose(known: Vec<Target>, names: &[&str]) -> Result<Vec<Target>> {
    if let Some(unknown) = names.iter().find(|name| known.iter().all(|target| target.name != **name)) {
        let known: Vec<_> = known.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no target «{unknown}»; known: {}", known.join(", "));
    }
    Ok(known.into_iter().filter(|target| names.is_empty() || names.contains(&target.name.as_str())).collect())
}

impl<'a> Options<'a> {
    fn read(words: &[&'a str]) -> Result<Self> {
        let mut options = Self { names: Vec::new(), list: false, minutes: 10.0, jobs: 1 };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a number"));
            match word {
                "--list" => options.list = true,
                "--minutes" => {
                    let minutes = value()?.parse().ok().filter(|minutes| (0.0..=100_000.0).contains(minutes));
                    options.minutes = minutes.context("--minutes takes a number of minutes")?;
                }
                "--jobs" => {
                    let jobs = value()?.parse().ok().filter(|jobs| *jobs > 0);
                    options.jobs = jobs.context("--jobs takes how many targets run at a time")?;
                }
                option if option.starts_with('-') => bail!("there is no option {option}"),
                name => options.names.push(name),
            }
        }
        Ok(options)
    }
}

/// A folder that is there.
fn folder(path: &std::path::Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_names_come_in_any_order() {
        let options = Options::read(&["sftp", "--minutes", "0.5", "scp", "--jobs", "2"]).unwrap();
        assert_eq!(options, Options { names: vec!["sftp", "scp"], list: false, minutes: 0.5, jobs: 2 });
        for words in [&["--minutes"][..], &["--minutes", "-1"], &["--jobs", "0"], &["--for", "1"]] {
            assert!(Options::read(words).is_err(), "{words:?}");
        }
    }
}
