//! From an order to cut sessions and to closed sockets: the gate drops.

use anyhow::{Context as _, Result};

use super::field::Field;
use super::row::{Row, percentile};
use super::sessions::{Crowd, Place};

/// How often the small cases are measured.
const ROUNDS: usize = 5;

/// All moments are facts of the ledger: when it was decided, when nothing passed any more, and when the proxy had closed
/// the person's socket.
pub(crate) fn revoke_to_drop(field: &mut Field) -> Result<Vec<Row>> {
    let sshd = Place::sshd(field)?;
    let stub = Place::stub(field)?;
    let mut rows = Vec::new();
    rows.extend(case(field, "200 sessions", &sshd, &[200], false, ROUNDS)?);
    rows.extend(case(field, "1,000 sessions", &stub, &[1000], false, ROUNDS)?);
    rows.extend(case(field, "100 of 5,000 sessions", &stub, &[100, 4900], false, 1)?);
    rows.extend(case(field, "a lock on 5,000 sessions", &stub, &[5000], true, 1)?);
    Ok(rows)
}

/// Sessions of as many grants as there are numbers; the first grant is revoked, or everything is locked.
fn case(
    field: &mut Field,
    name: &str,
    place: &Place,
    sessions: &[usize],
    lock: bool,
    rounds: usize,
) -> Result<Vec<Row>> {
    let (mut cuts, mut drops) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let crowd = Crowd::gather_and_drop(field, place, sessions, lock)?;
        cuts.extend(crowd.cut_ms);
        drops.extend(crowd.drop_ms);
    }
    let percents = [("p50", 50.0), ("p99", 99.0), ("max", 100.0)];
    let moments = [("cut", &cuts), ("dropped", &drops)];
    let rows =
        moments.into_iter().flat_map(|(moment, times)| percents.map(|(word, percent)| (moment, times, word, percent)));
    rows.map(|(moment, times, word, percent)| {
        let value = percentile(times, percent).context("nothing was measured")?;
        let case = format!("{name}, {moment}, {word}");
        Ok(Row { name: "revoke-to-drop", case, unit: "ms", value, baseline: None, runs: times.len() })
    })
    .collect()
}
