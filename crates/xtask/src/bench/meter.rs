//! Processor time of a process, user and system, from /proc (proc_pid_stat(5)).

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::site::Stage;

/// How long a process must have done nothing to be at rest.
const REST: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(30);

/// What a process and the children that it waited for have used since the start of the measurement.
pub(crate) struct Meter {
    process: u32,
    before: u64,
}

/// What is read of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Its own time and that of its children that have ended, in clock ticks.
    ticks: u64,
}

impl Meter {
    /// Starts once the process is at rest: what it still did for others is not counted.
    pub(crate) fn start(stage: &Stage, process: u32) -> Result<Self> {
        Ok(Self { process, before: at_rest(stage, process)? })
    }

    /// The seconds that were used, once the process is at rest again and none of its children is left.
    pub(crate) fn stop(self, stage: &Stage) -> Result<f64> {
        let ticks = at_rest(stage, self.process)?.saturating_sub(self.before);
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

fn at_rest(stage: &Stage, process: u32) -> Result<u64> {
    let mut since = Instant::now();
    let mut before = ticks(process)?;
    stage.wait("a server to come to rest", LIMIT, || {
        let now = ticks(process)?;
        // One tick is what a timer of a process that rests may cost.
        if now > before + 1 || (since.elapsed() >= REST && has_children(process)?) {
            (since, before) = (Instant::now(), now);
        }
        Ok((since.elapsed() >= REST).then_some(now))
    })
}

fn ticks(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"));
    let text = text.with_context(|| format!("process {process} is gone"))?;
    Ok(parse(&text).with_context(|| format!("/proc/{process}/stat is none"))?.ticks)
}

fn has_children(process: u32) -> Result<bool> {
    let stats = fs::read_dir("/proc")?.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    Ok(stats.filter_map(|text| parse(&text)).any(|stat| stat.parent == process))
}

fn parse(text: &str) -> Option<Stat> {
    // The name of the program may hold spaces and brackets; what follows the last bracket holds neither. The first field
    // there is the third of the page; the parent is the fourth, and utime, stime, cutime and cstime are 14 to 17.
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::{Stat, parse};

    #[test]
    fn the_time_of_a_process_is_its_own_and_that_of_its_dead() {
        let text = "14710 (sshd: a) (b) S 14700 14710 14710 0 -1 4194560 570 0 0 0 1 20 300 4000 20 0 1 0 1481067 1 2";
        assert_eq!(parse(text), Some(Stat { parent: 14_700, ticks: 4321 }));
        assert_eq!(parse("14710 (sshd) S 1"), None);
    }
}
