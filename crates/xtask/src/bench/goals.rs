//! What is to be reached: data first, and below how it is held against what was measured.

use super::row::{Row, number};

use Bound::{AtLeast, AtMost, Below};
use Measure::{OfDirect, OfProxyJump, Value};

/// With recording, metering, policy and flow control on.
const GOALS: &[Goal] = &[
    Goal("download", "login+target, aes128-gcm", OfDirect, AtLeast(0.9)),
    Goal("download", "login+target, aes256-gcm", OfDirect, AtLeast(0.9)),
    Goal("download", "login+target, chacha20", OfDirect, AtLeast(0.8)),
    Goal("download", "login+target, aes128-gcm", OfProxyJump, AtLeast(1.25)),
    Goal("download", "login+target, aes256-gcm", OfProxyJump, AtLeast(1.25)),
    Goal("download", "login+target, chacha20", OfProxyJump, AtLeast(1.25)),
    Goal("download", "-J, aes128-gcm", OfProxyJump, AtLeast(1.0)),
    Goal("download", "-J, aes256-gcm", OfProxyJump, AtLeast(1.0)),
    Goal("download", "-J, chacha20", OfProxyJump, AtLeast(1.0)),
    Goal("upload", "login+target, aes128-gcm", OfDirect, AtLeast(0.75)),
    Goal("upload", "login+target, aes256-gcm", OfDirect, AtLeast(0.75)),
    Goal("upload", "login+target, chacha20", OfDirect, AtLeast(0.8)),
    Goal("upload", "login+target, aes128-gcm", OfProxyJump, AtLeast(1.25)),
    Goal("upload", "login+target, aes256-gcm", OfProxyJump, AtLeast(1.25)),
    Goal("upload", "login+target, chacha20", OfProxyJump, AtLeast(1.25)),
    Goal("upload", "-J, aes128-gcm", OfProxyJump, AtLeast(1.0)),
    Goal("upload", "-J, aes256-gcm", OfProxyJump, AtLeast(1.0)),
    Goal("upload", "-J, chacha20", OfProxyJump, AtLeast(1.0)),
    Goal("cpu-per-gib", "login+target, aes128-gcm, down", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "login+target, aes128-gcm, up", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "login+target, aes256-gcm, down", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "login+target, aes256-gcm, up", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "-J, aes128-gcm, down", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "-J, aes128-gcm, up", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "-J, aes256-gcm, down", Value, AtMost(1.4)),
    Goal("cpu-per-gib", "-J, aes256-gcm, up", Value, AtMost(1.4)),
    Goal("setup", "login+target", OfDirect, AtMost(0.8)),
    Goal("setup", "-J", OfProxyJump, AtMost(0.5)),
    Goal("keystroke", "login+target, added p50", Value, AtMost(200.0)),
    Goal("keystroke", "login+target, added p99", Value, AtMost(2000.0)),
    Goal("keystroke", "-J, added p50", Value, AtMost(200.0)),
    Goal("keystroke", "-J, added p99", Value, AtMost(2000.0)),
    Goal("memory-per-session", "5,000 sessions", Value, AtMost(100.0)),
    Goal("live-sessions", "5,000 sessions, memory", Value, Below(700.0)),
    Goal("sessions-per-second", "5,000 sessions", Value, AtLeast(150.0)),
    Goal("sessions-per-second", "5,000 sessions, set-up, p99", Value, Below(1000.0)),
    Goal("revoke-to-drop", "100 of 5,000 sessions, cut, p99", Value, Below(10.0)),
    Goal("revoke-to-drop", "100 of 5,000 sessions, dropped, p99", Value, Below(10.0)),
    Goal("revoke-to-drop", "a lock on 5,000 sessions, cut, p99", Value, Below(250.0)),
    Goal("revoke-to-drop", "a lock on 5,000 sessions, dropped, p99", Value, Below(250.0)),
];

/// Of which benchmark, in which case, what, and how much. The unit is the row's.
struct Goal(&'static str, &'static str, Measure, Bound);

/// What of a row is held against the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Value,
    OfDirect,
    OfProxyJump,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// A line of the second table in docs/performance.md for each goal of the benchmarks that were run.
pub(crate) fn markdown(rows: &[Row]) -> Vec<String> {
    let run = GOALS.iter().filter(|Goal(name, ..)| rows.iter().any(|row| row.name == *name));
    run.map(|goal| goal.markdown(rows)).collect()
}

impl Goal {
    fn markdown(&self, rows: &[Row]) -> String {
        let Self(name, case, measure, bound) = self;
        let row = rows.iter().find(|row| row.name == *name && row.case == *case);
        let unit = row.map_or("", |row| row.unit);
        let wanted = measure.shown(bound.limit(), unit);
        let (found, verdict) = match row.and_then(|row| measure.of(row)) {
            Some(found) => (measure.shown(found, unit), if bound.holds(found) { "reached" } else { "**missed**" }),
            None => ("–".to_owned(), "not measured"),
        };
        format!("| {name} | {case} | {} {wanted} | {found} | {verdict} |", bound.sign())
    }
}

impl Measure {
    fn of(self, row: &Row) -> Option<f64> {
        match self {
            Value => Some(row.value),
            OfDirect => row.ratio(),
            OfProxyJump => row.of_proxy_jump(),
        }
    }

    /// With a digit more than the table has, so that what missed by little is not shown as what was wanted.
    fn shown(self, value: f64, unit: &str) -> String {
        match self {
            Value => format!("{} {unit}", number(value)).trim_end().to_owned(),
            OfDirect => format!("{value:.3} × direct"),
            OfProxyJump => format!("{value:.3} × ProxyJump"),
        }
    }
}

impl Bound {
    fn limit(self) -> f64 {
        match self {
            AtLeast(limit) | AtMost(limit) | Below(limit) => limit,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            AtLeast(_) => "≥",
            AtMost(_) => "≤",
            Below(_) => "<",
        }
    }

    fn holds(self, value: f64) -> bool {
        match self {
            AtLeast(limit) => value >= limit,
            AtMost(limit) => value <= limit,
            Below(limit) => value < limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, GOALS, Goal, Measure, markdown};
    use crate::bench::row::Row;
    use crate::bench::transfer::Direction;
    use crate::bench::way::{CIPHERS, Way};
    use crate::bench::{ORDER, drop, keystroke, sessions, setup, transfer};

    #[test]
    fn every_goal_is_of_a_row_that_is_measured() {
        let all = Way::ALL.map(|way| (way, vec![1.0]));
        let mut rows =
            [setup::rows(&all), keystroke::rows(&all), drop::tests::made_up(), sessions::tests::made_up()].concat();
        for direction in [Direction::Down, Direction::Up] {
            rows.extend(CIPHERS.iter().flat_map(|(cipher, _)| transfer::rows(direction, cipher, &all, &all)));
        }
        let unmeasured: Vec<_> = markdown(&rows).into_iter().filter(|line| line.contains("not measured")).collect();
        assert!(unmeasured.is_empty(), "{unmeasured:#?}");
        assert_eq!(markdown(&rows).len(), GOALS.len());
        assert!(GOALS.iter().all(|Goal(name, ..)| ORDER.contains(name)));
    }

    #[test]
    fn a_goal_is_reached_or_missed_by_what_was_measured() {
        let row = Row { baseline: Some(100.0), proxy_jump: Some(400.0), ..Row::alone("setup", "-J", "ms", 200.0, 5) };
        let line = |measure, bound| Goal("setup", "-J", measure, bound).markdown(std::slice::from_ref(&row));
        assert_eq!(
            line(Measure::OfProxyJump, Bound::AtMost(0.5)),
            "| setup | -J | ≤ 0.500 × ProxyJump | 0.500 × ProxyJump | reached |"
        );
        assert_eq!(
            line(Measure::OfDirect, Bound::AtMost(1.999)),
            "| setup | -J | ≤ 1.999 × direct | 2.000 × direct | **missed** |"
        );
        assert_eq!(line(Measure::Value, Bound::Below(200.0)), "| setup | -J | < 200 ms | 200 ms | **missed** |");
        assert_eq!(line(Measure::Value, Bound::AtLeast(200.0)), "| setup | -J | ≥ 200 ms | 200 ms | reached |");
        let other = Goal("setup", "login+target", Measure::Value, Bound::AtMost(1.0));
        assert!(other.markdown(&[row]).ends_with("| – | not measured |"));
    }

    #[test]
    fn goals_of_what_was_not_run_are_not_judged() {
        assert!(markdown(&[Row::alone("start", "1 M facts, usual", "s", 1.0, 5)]).is_empty());
    }
}
