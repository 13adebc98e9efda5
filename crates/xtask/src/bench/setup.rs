//! How long `ssh host true` takes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::field::{CIPHERS, Way};
use super::row::{Row, median};
use crate::site::Site;

const RUNS: usize = 30;
const LIMIT: Duration = Duration::from_secs(30);

/// From start to exit, each way in turn.
pub(crate) fn setup(site: &Site) -> Result<Vec<Row>> {
    let ways = [Way::Direct, Way::Login, Way::Jump];
    let mut times = ways.map(|_| Vec::new());
    let (cipher, _) = CIPHERS.first().context("no cipher")?;
    for _ in 0..RUNS {
        for (way, times) in ways.into_iter().zip(&mut times) {
            let ran = site.stage.finish(&mut way.ssh(site, cipher, "true"), b"", LIMIT)?;
            ensure!(ran.status.success(), "ssh by {} failed\n{}", way.name(), ran.text());
            times.push(ran.took.as_secs_f64() * 1000.0);
        }
    }
    let [direct, proxied @ ..] = &times;
    let baseline = median(direct);
    let row = |(way, times): (Way, &Vec<f64>)| {
        let value = median(times).context("nothing was measured")?;
        Ok(Row { name: "setup", case: way.name().to_owned(), unit: "ms", value, baseline, runs: RUNS })
    };
    Way::PROXIED.into_iter().zip(proxied).map(row).collect()
}
