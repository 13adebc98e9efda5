//! How far patterns reach below a folder.
//!
//! Whoever gives a folder another name, or makes a link to it, gives everything in it another name as well.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobMatcher};

/// How much of what is below a folder is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Below {
    /// Nothing, whatever is there.
    Nothing,
    /// Perhaps something, or something that is not all.
    Some,
    /// All of it.
    All,
}

/// Patterns, name by name.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    patterns: Vec<Vec<Part>>,
}

/// What stands between two slashes of a pattern.
#[derive(Clone, Debug)]
enum Part {
    Name(GlobMatcher),
    /// `**`
    Any,
}

/// A pattern, or a part of one: what stands for a character stands for none that separates names, classes excepted.
pub(super) fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).backslash_escape(false).build()
}

impl Reach {
    /// Of patterns that were read before.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let parts = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(Part::read).collect();
        Self { patterns: patterns.map(parts).collect() }
    }

    pub(super) fn below(&self, folder: &[u8]) -> Below {
        if folder.first() != Some(&b'/') {
            return Below::Nothing;
        }
        let names: Vec<&[u8]> = folder.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        self.patterns.iter().map(|parts| below(parts, &names)).max().unwrap_or(Below::Nothing)
    }

    /// Whether one of them covers a path, name by name. A folder before `/**` is covered too.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').skip(1).collect();
        self.patterns.iter().any(|parts| covers(parts, &names))
    }
}

impl Part {
    fn read(text: &str) -> Self {
        // What cannot be read by itself is refused before it gets here.
        match glob(text) {
            Ok(glob) if text != "**" => Self::Name(glob.compile_matcher()),
            Ok(_) | Err(_) => Self::Any,
        }
    }
}

/// Whether a pattern covers the path of these names.
fn covers(parts: &[Part], names: &[&[u8]]) -> bool {
    // How many names the parts so far may have used up: with many `**`, trying one after the other would take for ever.
    let mut used = vec![false; names.len() + 1];
    if let Some(none) = used.first_mut() {
        *none = true;
    }
    for part in parts {
        match part {
            Part::Any => {
                let first = used.iter().position(|used| *used).unwrap_or(used.len());
                used.iter_mut().skip(first).for_each(|used| *used = true);
            }
            Part::Name(glob) => {
                let fits = names.iter().map(|name| glob.is_match(Path::new(OsStr::from_bytes(name))));
                let next = used.iter().zip(fits).map(|(used, fits)| *used && fits);
                used = std::iter::once(false).chain(next).collect();
            }
        }
    }
    used.last() == Some(&true)
}

/// What one pattern covers below a folder of these names.
fn below(parts: &[Part], names: &[&[u8]]) -> Below {
    let mut names = names.iter();
    let mut parts = parts.iter();
    while let Some(part) = parts.next() {
        match part {
            // A pattern that ends in two stars covers all that follows; behind any others something may be covered.
            Part::Any => return if parts.next().is_none() { Below::All } else { Below::Some },
            Part::Name(glob) => match names.next() {
                Some(name) if glob.is_match(Path::new(OsStr::from_bytes(name))) => {}
                Some(_) => return Below::Nothing,
                None => return Below::Some,
            },
        }
    }
    Below::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_covered_wholly_in_part_or_not() {
        let reach = Reach::new(["/srv/in/**", "/var/log/*.log", "/data/*/pub/**", "/opt/**/x"].into_iter());
        for (folder, expected) in [
            ("/", Below::Some),
            ("/srv", Below::Some),
            ("/srv/in", Below::All),
            ("/srv/in/a/b", Below::All),
            ("/srv/inn", Below::Nothing),
            ("/var", Below::Some),
            ("/var/log", Below::Some),
            ("/var/log/a.log", Below::Nothing),
            ("/data", Below::Some),
            ("/data/a", Below::Some),
            ("/data/a/pub", Below::All),
            ("/data/a/secret", Below::Nothing),
            ("/opt/y", Below::Some),
            ("/etc", Below::Nothing),
            ("srv/in", Below::Nothing),
        ] {
            assert_eq!(reach.below(folder.as_bytes()), expected, "{folder}");
        }
        assert_eq!(Reach::new(["/**"].into_iter()).below(b"/"), Below::All);
        assert_eq!(Reach::new(std::iter::empty()).below(b"/"), Below::Nothing);
    }

    #[test]
    fn names_are_covered_one_by_one_whatever_stands_between() {
        let covers = |pattern: &str, path: &str| Reach::new([pattern].into_iter()).covers(path.as_bytes());
        for (pattern, path) in
            [("/a/**", "/a"), ("/a/**/b", "/a/b"), ("/a/**/b", "/a/x/y/b"), ("/**/b", "/b"), ("/**", "/a/b")]
        {
            assert!(covers(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("/a/**/b", "/a"), ("/a/**/b", "/a/b/c"), ("/a", "/a/b"), ("/a/*", "/a"), ("/**/b", "/a")]
        {
            assert!(!covers(pattern, path), "{pattern} {path}");
        }
        assert!(!covers(&"/**/a".repeat(200), &"/a".repeat(199)));
    }
}
