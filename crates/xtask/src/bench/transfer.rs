//! How fast bytes pass, down and up, recording on.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::field::{CIPHERS, Way};
use super::row::{Row, median};
use crate::site::Site;

const BYTES: u64 = 1 << 30;
const RUNS: usize = 5;
const LIMIT: Duration = Duration::from_secs(300);

/// `ssh host 'head -c N /dev/zero'`
pub(crate) fn download(site: &Site) -> Result<Vec<Row>> {
    measure("download", |way, cipher| {
        let mut ssh = way.ssh(site, cipher, &format!("head -c {BYTES} /dev/zero"));
        ssh.stdin(Stdio::null()).stdout(File::create("/dev/null")?);
        timed(site, &mut ssh)
    })
}

/// `head -c N /dev/zero | ssh host 'cat >/dev/null'`
pub(crate) fn upload(site: &Site) -> Result<Vec<Row>> {
    measure("upload", |way, cipher| {
        let mut source = Command::new("head")
            .args(["-c", &BYTES.to_string(), "/dev/zero"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start head")?;
        let bytes = source.stdout.take().context("head has no output")?;
        let mut ssh = way.ssh(site, cipher, "cat >/dev/null");
        let taken = timed(site, ssh.stdin(bytes).stdout(Stdio::null()));
        // It ends with its reader at the latest.
        source.wait()?;
        taken
    })
}

/// The rows of one direction, each way in turn within a run.
fn measure(name: &'static str, transfer: impl Fn(Way, &str) -> Result<f64>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (cipher, _) in CIPHERS {
        let ways = [Way::Direct, Way::Login, Way::Jump];
        let mut speeds = ways.map(|_| Vec::new());
        for _ in 0..RUNS {
            for (way, speeds) in ways.into_iter().zip(&mut speeds) {
                speeds.push(BYTES as f64 / 1e6 / transfer(way, cipher)?);
            }
        }
        let [direct, proxied @ ..] = &speeds;
        let baseline = median(direct);
        for (way, speeds) in Way::PROXIED.into_iter().zip(proxied) {
            let value = median(speeds).context("nothing was measured")?;
            let case = format!("{}, {cipher}", way.name());
            rows.push(Row { name, case, unit: "MB/s", value, baseline, runs: RUNS });
        }
    }
    Ok(rows)
}

/// Seconds from start to successful end.
fn timed(site: &Site, command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start ssh")?;
    let status = site.stage.wait("a transfer", LIMIT, || Ok(child.try_wait()?));
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ensure!(status?.success(), "a transfer failed");
    Ok(start.elapsed().as_secs_f64())
}
