//! What libFuzzer says of a run.

use std::path::PathBuf;

/// The end of a run, in numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    runs: u64,
    a_second: u64,
    coverage: u64,
    corpus: u64,
    /// Inputs that broke the target.
    pub(super) found: Vec<String>,
    code: Option<i32>,
    file: PathBuf,
}

impl Log {
    /// Above the lines.
    pub(super) const HEADING: &str = "target                runs    exec/s  coverage  corpus  found";

    /// Takes the numbers out of what it said.
    pub(super) fn read(text: &str, code: Option<i32>, file: PathBuf) -> Self {
        let mut log = Self { code, file, ..Self::default() };
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let [name, value] = pair else { continue };
                // "corp: 46/2301b"
                let value = value.split('/').next().and_then(|value| value.parse().ok());
                match (*name, value) {
                    ("cov:", Some(value)) => log.coverage = value,
                    ("corp:", Some(value)) => log.corpus = value,
                    ("stat::number_of_executed_units:", Some(value)) => log.runs = value,
                    ("stat::average_exec_per_sec:", Some(value)) => log.a_second = value,
                    _ => {}
                }
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                log.found.push(path.trim().to_owned());
            }
        }
        log
    }

    /// Whether its time was up, and nothing else ended it.
    pub(super) fn ended_well(&self) -> bool {
        self.code == Some(0)
    }

    /// One line about the target of this name.
    pub(super) fn line(&self, name: &str) -> String {
        let Self { runs, a_second, coverage, corpus, .. } = self;
        let found = match (self.found.len(), self.ended_well()) {
            (0, true) => "nothing".to_owned(),
            (0, false) => format!("it broke off: {}", self.file.display()),
            (count, _) => format!("{count}"),
        };
        format!("{name:<14} {runs:>11} {a_second:>9} {coverage:>9} {corpus:>7}  {found}")
    }
}

#[cfg(test)]
mod tests {
    use super::Log;

    #[test]
    fn the_numbers_are_those_of_the_end() {
        let text = "#2\tINITED cov: 88 ft: 100 corp: 1/1b exec/s: 0 rss: 36Mb\n\
                    #524288\tpulse  cov: 144 ft: 302 corp: 46/2301b lim: 4096 exec/s: 262144 rss: 60Mb\n\
                    Done 700000 runs in 3 second(s)\n\
                    stat::number_of_executed_units: 700000\nstat::average_exec_per_sec:     233333\n";
        let log = Log::read(text, Some(0), "log".into());
        assert_eq!((log.runs, log.a_second, log.coverage, log.corpus), (700_000, 233_333, 144, 46));
        assert!(log.ended_well() && log.line("scp").ends_with("46  nothing"), "{}", log.line("scp"));
    }

    #[test]
    fn what_broke_it_is_named() {
        let text = "artifact_prefix='/x/'; Test unit written to /x/crash-0a\nBase64: ZA==\n";
        let log = Log::read(text, Some(77), "log".into());
        assert_eq!(log.found, ["/x/crash-0a"]);
        assert!(!log.ended_well() && log.line("scp").ends_with("  1"));
        assert!(Log::read("", None, "log".into()).line("scp").contains("broke off"));
    }
}
