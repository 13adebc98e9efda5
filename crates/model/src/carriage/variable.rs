//! Names of environment variables.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
const LONGEST: usize = 128;

/// The name of an environment variable, or how names begin: `LANG`, `LC_*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VariablePattern(String);

/// A text that is no such pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no environment variable: write a name of A-Z, a-z, 0-9 and _, or its beginning and a *")]
pub struct VariablePatternError(String);

impl VariablePattern {
    /// What is passed on where a policy says nothing: language, time zone and colour, which decide nothing.
    #[must_use]
    pub fn usual() -> BTreeSet<Self> {
        ["LANG", "LANGUAGE", "LC_*", "TZ", "COLORTERM", "NO_COLOR"].map(|name| Self(name.to_owned())).into()
    }

    /// Whether it covers a variable.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.0,
        }
    }
}

impl fmt::Display for VariablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VariablePattern {
    type Err = VariablePatternError;

    fn from_str(text: &str) -> Result<Self, VariablePatternError> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // A lone star would pass on what decides how programs run: LD_PRELOAD, BASH_ENV, PATH.
        if start.is_empty() || text.len() > LONGEST || !start.chars().all(good) {
            return Err(VariablePatternError(text.chars().take(LONGEST).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VariablePattern {
    type Error = VariablePatternError;

    fn try_from(text: String) -> Result<Self, VariablePatternError> {
        text.parse()
    }
}

impl From<VariablePattern> for String {
    fn from(pattern: VariablePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_and_a_star_stands_for_what_follows() {
        let exact: VariablePattern = "LANG".parse().unwrap();
        assert!(exact.matches("LANG") && !exact.matches("LANGUAGE") && !exact.matches("lang"));
        let start: VariablePattern = "LC_*".parse().unwrap();
        assert!(start.matches("LC_ALL") && start.matches("LC_") && !start.matches("LC"));
    }

    #[test]
    fn what_names_everything_or_nothing_is_refused() {
        for text in ["", "*", "A=B", "A B", "L*G", "LC_**", "É"] {
            assert!(text.parse::<VariablePattern>().is_err(), "{text:?}");
        }
    }
}
