//! The tables in docs/performance.md, which no hand writes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::goals;
use super::row::Row;

/// What stands between two markers of the page.
struct Section {
    begin: &'static str,
    end: &'static str,
    head: &'static str,
}

const ROWS: Section = Section {
    begin: "<!-- written by cargo xtask bench: begin -->",
    end: "<!-- written by cargo xtask bench: end -->",
    head: "| benchmark | case | value | direct ssh | ratio | of ProxyJump | runs |\n|---|---|---|---|---|---|---|\n",
};

const GOALS: Section = Section {
    begin: "<!-- goals, written by cargo xtask bench: begin -->",
    end: "<!-- goals, written by cargo xtask bench: end -->",
    head: "| benchmark | case | goal | measured | |\n|---|---|---|---|---|\n",
};

/// Replaces the lines of the benchmarks that were run; the others stay as they were.
pub(crate) fn update(file: &Path, machine: &str, rows: &[Row]) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = updated(&text, machine, rows).with_context(|| format!("{} has lost its markers", file.display()))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn updated(text: &str, machine: &str, rows: &[Row]) -> Option<String> {
    let lines: Vec<String> = rows.iter().map(Row::markdown).collect();
    let text = ROWS.replaced(text, &format!("{machine}\n\n"), rows, lines)?;
    GOALS.replaced(&text, "", rows, goals::markdown(rows))
}

impl Section {
    fn replaced(&self, text: &str, above: &str, rows: &[Row], lines: Vec<String>) -> Option<String> {
        let Self { begin, end, head } = self;
        let (before, rest) = text.split_once(begin)?;
        let (old, after) = rest.split_once(end)?;
        let is_of = |line: &str, name: &str| line.starts_with(&format!("| {name} |"));
        let measured = |line: &str| rows.iter().any(|row| is_of(line, row.name));
        let known = |line: &str| super::ORDER.iter().position(|name| is_of(line, name));
        let kept = old.lines().filter(|line| known(line).is_some() && !measured(line));
        let mut lines: Vec<String> = kept.map(str::to_owned).chain(lines).collect();
        lines.sort_by_key(|line| known(line));
        Some(format!("{before}{begin}\n{above}{head}{}\n{end}{after}", lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::{GOALS, ROWS, updated};
    use crate::bench::row::Row;

    #[test]
    fn rows_that_were_run_are_replaced_and_others_stay() {
        let row = |name, value| Row::alone(name, "c", "ms", value, 5);
        let memory = |value| Row::alone("memory-per-session", "5,000 sessions", "KiB", value, 5000);
        let empty = format!("text\n{}\n{}\nmore\n{}\n{}\nend\n", ROWS.begin, ROWS.end, GOALS.begin, GOALS.end);
        let first = updated(&empty, "here", &[row("setup", 1.0), row("download", 2.0), memory(142.0)]).unwrap();
        assert!(first.find("| download |") < first.find("| setup |"), "{first}");
        assert!(first.contains("| ≤ 100 KiB | 142 KiB | **missed** |"), "{first}");
        let second = updated(&first, "there", &[row("setup", 3.0)]).unwrap();
        assert!(second.contains("| setup | c | 3.00 ms |") && !second.contains("| setup | c | 1.00 ms |"), "{second}");
        assert!(second.contains("| download | c | 2.00 ms |"), "{second}");
        assert!(second.contains("| ≤ 100 KiB | 142 KiB | **missed** |"), "{second}");
        assert!(second.contains("there\n") && !second.contains("here\n\n|--"), "{second}");
        assert!(second.starts_with("text\n") && second.contains("\nmore\n") && second.ends_with("\nend\n"), "{second}");
        assert_eq!(second.matches("| benchmark |").count(), 2);
        let third = updated(&second, "there", &[memory(90.0)]).unwrap();
        assert!(third.contains("| ≤ 100 KiB | 90.0 KiB | reached |") && !third.contains("missed"), "{third}");
    }

    #[test]
    fn the_page_can_be_written() {
        let page = include_str!("../../../../docs/performance.md");
        let row = Row::alone("memory-per-session", "5,000 sessions", "KiB", 90.0, 5000);
        let text = updated(page, "here", &[row]).unwrap();
        assert!(text.contains("| memory-per-session | 5,000 sessions | 90.0 KiB | – | – | – | 5000 |"), "{text}");
        assert!(text.contains("| memory-per-session | 5,000 sessions | ≤ 100 KiB | 90.0 KiB | reached |"), "{text}");
    }

    #[test]
    fn a_page_without_its_markers_is_left_alone() {
        assert_eq!(updated("text\n", "here", &[]), None);
    }
}
