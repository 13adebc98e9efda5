//! How fast bytes pass, down and up, and what that costs in processor time between the two ends.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::field::Ground;
use super::meter::Meter;
use super::row::{Row, Times, compared};
use super::sizes::Sizes;
use super::way::{CIPHERS, Way, in_turn};
use crate::site::Stage;

const GIB: f64 = (1_u64 << 30) as f64;
const LIMIT: Duration = Duration::from_secs(300);

/// Where the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `ssh host 'head -c N /dev/zero'`
    Down,
    /// `head -c N /dev/zero | ssh host 'cat >/dev/null'`
    Up,
}

/// The rows `download` or `upload`, and `cpu-per-gib` of that direction: each way in turn within a run. The seconds are
/// those of the whole ssh, from start to exit.
pub(crate) fn transfer(ground: &Ground, sizes: Sizes, direction: Direction) -> Result<Vec<Row>> {
    let stage = &ground.site.stage;
    let mut all = Vec::new();
    for (cipher, _) in CIPHERS {
        let mut speeds = Way::ALL.map(|way| (way, Vec::new()));
        let mut costs = Way::ALL.map(|way| (way, Vec::new()));
        for run in 0..sizes.transfers {
            for ((way, speeds), (_, costs)) in in_turn(speeds.iter_mut().zip(&mut costs), run) {
                let meter = ground.process(*way).map(|process| Meter::start(stage, process)).transpose()?;
                let mut ssh = way.ssh(&ground.site, cipher);
                let seconds = direction.move_bytes(stage, &mut ssh, sizes.bytes)?;
                speeds.push(sizes.bytes as f64 / 1e6 / seconds);
                if let Some(meter) = meter {
                    costs.push(meter.stop(stage)? / (sizes.bytes as f64 / GIB));
                }
            }
        }
        all.extend(rows(direction, cipher, &speeds, &costs));
    }
    Ok(all)
}

/// The rows of one cipher.
pub(crate) fn rows(direction: Direction, cipher: &str, speeds: &Times, costs: &Times) -> Vec<Row> {
    let (name, word) = match direction {
        Direction::Down => ("download", "down"),
        Direction::Up => ("upload", "up"),
    };
    let mut rows = compared(name, "MB/s", 50.0, speeds, |way| format!("{way}, {cipher}"));
    rows.extend(compared("cpu-per-gib", "s", 50.0, costs, |way| format!("{way}, {cipher}, {word}")));
    rows
}

impl Direction {
    /// Moves the bytes, and says how many seconds that took.
    fn move_bytes(self, stage: &Stage, ssh: &mut Command, bytes: u64) -> Result<f64> {
        match self {
            Self::Down => {
                ssh.args(["-T", &format!("head -c {bytes} /dev/zero")]);
                timed(stage, ssh.stdin(Stdio::null()).stdout(File::create("/dev/null")?))
            }
            Self::Up => {
                let mut source = Command::new("head")
                    .args(["-c", &bytes.to_string(), "/dev/zero"])
                    .stdout(Stdio::piped())
                    .spawn()
                    .context("cannot start head")?;
                let input = source.stdout.take().context("head has no output")?;
                let taken = timed(stage, ssh.args(["-T", "cat >/dev/null"]).stdin(input).stdout(Stdio::null()));
                // The read end must be closed here too, or head waits for a reader that is gone.
                ssh.stdin(Stdio::null());
                source.wait()?;
                taken
            }
        }
    }
}

/// Seconds from start to successful end.
fn timed(stage: &Stage, command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start ssh")?;
    let status = stage.wait("a transfer", LIMIT, || Ok(child.try_wait()?));
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ensure!(status?.success(), "a transfer failed");
    Ok(start.elapsed().as_secs_f64())
}
