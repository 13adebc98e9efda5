//! One measured value, and the arithmetic on many.

use serde_json::{Value, json};

use super::way::Way;

/// What was measured, each way.
pub(crate) type Times = [(Way, Vec<f64>)];

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Which benchmark.
    pub(crate) name: &'static str,
    /// The way in, the cipher, or the percentile.
    pub(crate) case: String,
    /// Of value and baseline.
    pub(crate) unit: &'static str,
    /// Through Portcullis.
    pub(crate) value: f64,
    /// The same by direct ssh, measured in turn in the same run.
    pub(crate) baseline: Option<f64>,
    /// The same through OpenSSH's own jump host.
    pub(crate) proxy_jump: Option<f64>,
    /// From how many measurements.
    pub(crate) runs: usize,
}

impl Row {
    /// A row that is compared with nothing.
    pub(crate) fn alone(
        name: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        value: f64,
        runs: usize,
    ) -> Self {
        Self { name, case: case.into(), unit, value, baseline: None, proxy_jump: None, runs }
    }

    /// Value to baseline.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.to(self.baseline)
    }

    /// Value to what OpenSSH's own jump host reaches.
    pub(crate) fn of_proxy_jump(&self) -> Option<f64> {
        self.to(self.proxy_jump)
    }

    fn to(&self, other: Option<f64>) -> Option<f64> {
        other.filter(|other| *other > 0.0).map(|other| self.value / other)
    }

    /// As `--json` prints it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "case": self.case,
            "unit": self.unit,
            "value": rounded(self.value),
            "baseline": self.baseline.map(rounded),
            "ratio": self.ratio().map(rounded),
            "runs": self.runs,
        })
    }

    /// As a line of the table in docs/performance.md.
    pub(crate) fn markdown(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let ratio = |value: Option<f64>| or_dash(value.map(|ratio| format!("{ratio:.2}")));
        format!(
            "| {} | {} | {} {} | {} | {} | {} | {} |",
            self.name,
            self.case,
            number(self.value),
            self.unit,
            or_dash(self.baseline.map(number)),
            ratio(self.ratio()),
            ratio(self.of_proxy_jump()),
            self.runs
        )
    }
}

/// A row for each way but the direct one, which all are compared with. A way that was not measured has none.
pub(crate) fn compared(
    name: &'static str,
    unit: &'static str,
    percent: f64,
    measured: &Times,
    case: impl Fn(Way) -> String,
) -> Vec<Row> {
    let of = |wanted| measured.iter().find(|(way, _)| *way == wanted).and_then(|(_, all)| percentile(all, percent));
    let (baseline, jump) = (of(Way::Direct), of(Way::ProxyJump));
    let others = measured.iter().filter(|(way, _)| *way != Way::Direct);
    let rows = others.filter_map(|(way, all)| {
        let proxy_jump = jump.filter(|_| *way != Way::ProxyJump);
        let value = percentile(all, percent)?;
        Some(Row { name, case: case(*way), unit, value, baseline, proxy_jump, runs: all.len() })
    });
    rows.collect()
}

/// The middle of some measurements; `None` of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

/// The smallest measurement that at least so many of a hundred do not exceed (nearest rank); `None` of none.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Three digits that count are what such a measurement has.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Row, compared, median, percentile};
    use crate::bench::way::{Recording, Way};

    #[test]
    fn percentiles_are_measurements_that_occurred() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(percentile(&values, 99.0), Some(5.0));
        assert_eq!(percentile(&values, 100.0), Some(5.0));
        assert_eq!(percentile(&values, 1.0), Some(1.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_ratio_is_to_the_baseline() {
        let row = Row { baseline: Some(100.0), proxy_jump: Some(300.0), ..Row::alone("setup", "-J", "ms", 150.0, 5) };
        assert_eq!(
            row.json(),
            json!({ "name": "setup", "case": "-J", "unit": "ms", "value": 150.0, "baseline": 100.0, "ratio": 1.5, "runs": 5 })
        );
        assert_eq!(row.markdown(), "| setup | -J | 150 ms | 100 | 1.50 | 0.50 | 5 |");
        let alone = Row::alone("issuance", "16 clients", "/s", 1796.4, 3);
        assert_eq!(alone.markdown(), "| issuance | 16 clients | 1796 /s | – | – | – | 3 |");
    }

    #[test]
    fn each_way_is_compared_with_direct_ssh_and_with_the_jump_host() {
        let login = Way::Login(Recording::Off);
        let times = [
            (Way::Direct, vec![10.0, 30.0, 20.0]),
            (Way::ProxyJump, vec![40.0]),
            (login, vec![25.0, 24.0]),
            (Way::Jump(Recording::Strict), vec![]),
        ];
        let rows = compared("setup", "ms", 50.0, &times, |way| way.to_string());
        let jump = Row { baseline: Some(20.0), ..Row::alone("setup", "ProxyJump", "ms", 40.0, 1) };
        let login = Row::alone("setup", "login+target unrecorded", "ms", 24.0, 2);
        assert_eq!(rows, [jump, Row { baseline: Some(20.0), proxy_jump: Some(40.0), ..login }]);
    }
}
