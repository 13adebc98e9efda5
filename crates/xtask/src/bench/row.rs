//! One measured value, and the arithmetic on many.

use serde_json::{Value, json};

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
    /// From how many measurements.
    pub(crate) runs: usize,
}

impl Row {
    /// Value to baseline.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.baseline.filter(|baseline| *baseline > 0.0).map(|baseline| self.value / baseline)
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
        let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
        format!(
            "| {} | {} | {} {} | {} | {} | {} |",
            self.name,
            self.case,
            number(self.value),
            self.unit,
            optional(self.baseline),
            self.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            self.runs
        )
    }
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
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, median, percentile};

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
        let row = Row { name: "setup", case: "-J".into(), unit: "ms", value: 150.0, baseline: Some(100.0), runs: 5 };
        assert_eq!(row.json()["ratio"], 1.5);
        assert_eq!(row.markdown(), "| setup | -J | 150 ms | 100 | 1.50 | 5 |");
    }
}
