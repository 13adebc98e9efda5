//! From an order to cut sessions and to closed sockets: the gate drops.

use anyhow::Result;

use super::field::Field;
use super::row::{Row, percentile};
use super::sessions::{Crowd, Place};
use super::sizes::{Sizes, count};

/// Sessions of as many grants as there are numbers; the first grant is revoked, or everything is locked.
struct Case {
    name: String,
    at: At,
    sessions: Vec<usize>,
    lock: bool,
    rounds: usize,
}

/// Where the sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Sshd,
    Stub,
}

/// All moments are facts of the ledger: when it was decided, when nothing passed any more, and when the proxy had closed
/// the person's socket.
pub(crate) fn revoke_to_drop(field: &mut Field) -> Result<Vec<Row>> {
    let sshd = Place::sshd(field)?;
    let stub = Place::stub(field)?;
    let mut all = Vec::new();
    for case in cases(field.sizes()) {
        let place = match case.at {
            At::Sshd => &sshd,
            At::Stub => &stub,
        };
        let (mut cuts, mut drops) = (Vec::new(), Vec::new());
        for _ in 0..case.rounds {
            let crowd = Crowd::gather_and_drop(field, place, &case.sessions, case.lock)?;
            cuts.extend(crowd.cut_ms);
            drops.extend(crowd.drop_ms);
        }
        all.extend(rows(&case, &cuts, &drops));
    }
    Ok(all)
}

fn cases(sizes: Sizes) -> [Case; 4] {
    let Sizes { small, usual, large, part, drops: rounds, .. } = sizes;
    let whole = |at, sessions| Case {
        name: format!("{} sessions", count(sessions)),
        at,
        sessions: vec![sessions],
        lock: false,
        rounds,
    };
    [
        whole(At::Sshd, small),
        whole(At::Stub, usual),
        Case {
            name: format!("{} of {} sessions", count(part), count(large)),
            sessions: vec![part, large.saturating_sub(part)],
            rounds: 1,
            ..whole(At::Stub, large)
        },
        Case { name: format!("a lock on {} sessions", count(large)), lock: true, rounds: 1, ..whole(At::Stub, large) },
    ]
}

fn rows(case: &Case, cuts: &[f64], drops: &[f64]) -> Vec<Row> {
    let percents = [("p50", 50.0), ("p99", 99.0), ("max", 100.0)];
    let moments = [("cut", cuts), ("dropped", drops)];
    let all = moments.into_iter().flat_map(|moment| percents.map(|percent| (moment, percent)));
    let rows = all.filter_map(|((moment, times), (word, percent))| {
        let name = format!("{}, {moment}, {word}", case.name);
        Some(Row::alone("revoke-to-drop", name, "ms", percentile(times, percent)?, times.len()))
    });
    rows.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Row, Sizes, cases, rows};

    /// As the benchmark would give them, had each drop taken a millisecond.
    pub(crate) fn made_up() -> Vec<Row> {
        cases(Sizes::FULL).iter().flat_map(|case| rows(case, &[1.0], &[1.0])).collect()
    }

    #[test]
    fn every_case_has_two_moments_with_three_percentiles() {
        let rows = made_up();
        assert_eq!(rows.len(), 4 * 2 * 3);
        assert_eq!(rows.first().map(|row| row.case.as_str()), Some("200 sessions, cut, p50"));
        assert_eq!(rows.last().map(|row| row.case.as_str()), Some("a lock on 5,000 sessions, dropped, max"));
    }
}
