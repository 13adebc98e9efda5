//! The table in docs/performance.md, which no hand writes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::row::Row;

const BEGIN: &str = "<!-- written by cargo xtask bench: begin -->";
const END: &str = "<!-- written by cargo xtask bench: end -->";
const HEAD: &str = "| benchmark | case | value | direct ssh | ratio | runs |\n|---|---|---|---|---|---|\n";

/// Replaces the rows of the benchmarks that were run; the others stay as they were.
pub(crate) fn update(file: &Path, machine: &str, rows: &[Row]) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = replaced(&text, machine, rows).with_context(|| format!("{} has lost its markers", file.display()))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn replaced(text: &str, machine: &str, rows: &[Row]) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let measured = |line: &str| rows.iter().any(|row| line.starts_with(&format!("| {} |", row.name)));
    let kept = old.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| benchmark") && !measured(line));
    let mut lines: Vec<String> = kept.map(str::to_owned).chain(rows.iter().map(Row::markdown)).collect();
    lines.sort_by_key(|line| super::ORDER.iter().position(|name| line.starts_with(&format!("| {name} |"))));
    Some(format!("{before}{BEGIN}\n{machine}\n\n{HEAD}{}\n{END}{after}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced};
    use crate::bench::row::Row;

    #[test]
    fn rows_that_were_run_are_replaced_and_others_stay() {
        let row = |name, value| Row { name, case: "c".into(), unit: "ms", value, baseline: None, runs: 5 };
        let empty = format!("text\n{BEGIN}\n{END}\nmore\n");
        let first = replaced(&empty, "here", &[row("setup", 1.0), row("download", 2.0)]).unwrap();
        assert!(first.find("| download |") < first.find("| setup |"), "{first}");
        let second = replaced(&first, "here", &[row("setup", 3.0)]).unwrap();
        assert!(second.contains("| setup | c | 3.00 ms |") && !second.contains("| setup | c | 1.00 ms |"), "{second}");
        assert!(second.contains("| download | c | 2.00 ms |"), "{second}");
        assert!(second.starts_with("text\n") && second.ends_with("\nmore\n"), "{second}");
        assert_eq!(second.matches("| benchmark |").count(), 1);
    }
}
