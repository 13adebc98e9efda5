//! How long `ssh host true` takes.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::field::Ground;
use super::row::{Row, Times, compared};
use super::sizes::Sizes;
use super::way::{USUAL_CIPHER, Way, in_turn};

const LIMIT: Duration = Duration::from_secs(30);

/// From start to exit, each way in turn.
pub(crate) fn setup(ground: &Ground, sizes: Sizes) -> Result<Vec<Row>> {
    let mut times = Way::ALL.map(|way| (way, Vec::new()));
    for run in 0..sizes.setups {
        for (way, times) in in_turn(times.iter_mut(), run) {
            let mut ssh = way.ssh(&ground.site, USUAL_CIPHER);
            let ran = ground.site.stage.finish(ssh.args(["-T", "true"]), b"", LIMIT)?;
            ensure!(ran.status.success(), "ssh by {way} failed\n{}", ran.text());
            times.push(ran.took.as_secs_f64() * 1000.0);
        }
    }
    Ok(rows(&times))
}

/// The rows.
pub(crate) fn rows(times: &Times) -> Vec<Row> {
    compared("setup", "ms", 50.0, times, |way| way.to_string())
}
