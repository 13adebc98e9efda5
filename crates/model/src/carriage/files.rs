//! Paths of files on a target, as policies name them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::reach::{self, Below, Reach};

/// The longest pattern, in bytes.
const LONGEST: usize = 1024;

/// An absolute path with wildcards: `?`, `*` and `[a-z]` stay within a name, `**` crosses folders. `/srv/www/**` is everything
/// below the folder, and the folder itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

/// A text that is no such pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no pattern of paths: {why}")]
pub struct PathPatternError {
    shown: String,
    why: String,
}

impl PathPattern {
    /// Every file.
    #[must_use]
    pub fn everything() -> Self {
        Self("/**".to_owned())
    }

    pub(super) fn breadth(&self) -> usize {
        if self.0 == "/**" { 1000 } else { 1_usize.saturating_add(self.0.matches('*').count()) }
    }

    fn glob(text: &str) -> Result<Glob, PathPatternError> {
        let refused = |why: String| PathPatternError { shown: text.chars().take(LONGEST).collect(), why };
        if !text.starts_with('/') {
            return Err(refused("write it from the root, as in /srv/www/**".to_owned()));
        }
        if text.len() > LONGEST {
            return Err(refused(format!("it is longer than {LONGEST} bytes")));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || matches!(c, '{' | '}' | '\\' | ',')) {
            return Err(refused(format!("{bad:?} has no place in it")));
        }
        if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) && text != "/" {
            return Err(refused(
                "paths are judged without //, /./ and /../, and without a slash at the end".to_owned(),
            ));
        }
        if let Some(part) = text.split('/').find(|part| reach::glob(part).is_err()) {
            return Err(refused(format!("{part:?} is no name with wildcards")));
        }
        reach::glob(text).map_err(|error| refused(error.kind().to_string()))
    }
}

/// Patterns ready to judge paths.
#[derive(Clone, Debug)]
pub struct PathRule {
    all: bool,
    globs: GlobSet,
    /// There is a class among them, as `[!a]`, which in a glob matches a slash too: what the globs find is looked at again.
    classes: bool,
    reach: Reach,
}

impl PathRule {
    /// Prepares patterns. No patterns: no path.
    ///
    /// # Errors
    /// When the patterns together are beyond what can be prepared.
    pub fn new(patterns: &BTreeSet<PathPattern>) -> Result<Self, PathPatternError> {
        let mut builder = GlobSetBuilder::new();
        for PathPattern(text) in patterns {
            builder.add(PathPattern::glob(text)?);
            // The folder itself: whoever may have all that is in it may list it.
            if let Some(folder) = text.strip_suffix("/**").filter(|folder| !folder.is_empty()) {
                builder.add(PathPattern::glob(folder)?);
            }
        }
        let globs = builder
            .build()
            .map_err(|error| PathPatternError { shown: "these together".to_owned(), why: error.kind().to_string() })?;
        let reach = Reach::new(patterns.iter().map(|PathPattern(text)| text.as_str()));
        let classes = patterns.iter().any(|PathPattern(text)| text.contains('['));
        Ok(Self { all: patterns.contains(&PathPattern::everything()), globs, classes, reach })
    }

    /// Whether a path is covered: its bytes, from the root and without `.` and `..`. What does not begin at the root is
    /// covered only by [`PathPattern::everything`].
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        self.all
            || path.first() == Some(&b'/')
                && self.globs.is_match(Path::new(OsStr::from_bytes(path)))
                && (!self.classes || self.reach.covers(path))
    }

    /// Whether it covers every path.
    #[must_use]
    pub const fn covers_all(&self) -> bool {
        self.all
    }

    /// How much it covers of what is below a folder: its path's bytes, as with [`covers`](Self::covers).
    #[must_use]
    pub fn below(&self, folder: &[u8]) -> Below {
        if self.all { Below::All } else { self.reach.below(folder) }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        Self::glob(text).map(|_| Self(text.to_owned()))
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PathPatternError;

    fn try_from(text: String) -> Result<Self, PathPatternError> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(patterns: &[&str]) -> PathRule {
        PathRule::new(&patterns.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn a_folder_with_two_stars_is_all_that_is_in_it_and_itself() {
        let rule = rule(&["/srv/www/**"]);
        for path in ["/srv/www", "/srv/www/a", "/srv/www/a/b", "/srv/www/.hidden"] {
            assert!(rule.covers(path.as_bytes()), "{path}");
        }
        for path in ["/", "/srv", "/srv/wwwx", "/srv/www2/a", "/etc/passwd", "srv/www/a", "../srv/www/a", ""] {
            assert!(!rule.covers(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn one_star_stays_within_a_name() {
        let rule = rule(&["/var/log/*.log", "/etc/host?"]);
        assert!(rule.covers(b"/var/log/a.log") && rule.covers(b"/etc/hosts"));
        assert!(!rule.covers(b"/var/log/a/b.log") && !rule.covers(b"/etc/host/x") && !rule.covers(b"/etc/host/"));
    }

    #[test]
    fn a_class_stays_within_a_name_too() {
        let rule = rule(&["/srv/a[!b]c", "/data/[+-9]x/**", "/opt/**/[!.]*"]);
        for path in ["/srv/axc", "/srv/a]c", "/data/1x", "/data/1x/a/b", "/opt/a", "/opt/.a/b"] {
            assert!(rule.covers(path.as_bytes()), "{path}");
        }
        for path in ["/srv/a/c", "/srv/abc", "/data//x", "/data//x/a", "/opt/.a", "/opt/a/.b", "/opt"] {
            assert!(!rule.covers(path.as_bytes()), "{path}");
        }
        assert_eq!(rule.below(b"/srv/a"), Below::Nothing);
    }

    #[test]
    fn everything_is_everything_and_nothing_is_nothing() {
        assert!(rule(&["/**"]).covers(b"/") && rule(&["/**"]).covers(b"a") && rule(&["/**"]).covers(b"/a\xff\n"));
        assert!(!rule(&[]).covers(b"/") && !rule(&[]).covers(b"/a"));
    }

    #[test]
    fn bytes_that_are_no_text_are_covered_as_bytes() {
        assert!(rule(&["/srv/**"]).covers(b"/srv/\xff\xfe") && rule(&["/srv/*"]).covers(b"/srv/a\nb"));
    }

    #[test]
    fn what_would_never_match_is_refused() {
        for text in [
            "",
            "srv",
            "*",
            "/srv/",
            "/srv//a",
            "/srv/../etc",
            "/srv/./a",
            "/a{b,c}",
            "/a\\b",
            "/a[",
            "/a[b/c]",
            "/a\n",
        ] {
            assert!(text.parse::<PathPattern>().is_err(), "{text:?}");
        }
        for text in ["/", "/**", "/a[bc]", "/srv/**/x", "/ä"] {
            assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_path_outside_of_a_folder_is_covered(path in "(/[a-z.*]{0,3}){0,4}") {
            let covered = rule(&["/a/**"]).covers(path.as_bytes());
            prop_assert_eq!(covered, path == "/a" || path.starts_with("/a/"));
        }
    }
}
