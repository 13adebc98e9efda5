//! How far patterns reach below a folder.
//!
//! Whoever gives a folder another name, or makes a link to it, gives everything in it another name as well.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

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
    /// `**`, or what cannot be read by itself.
    Any,
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
}

impl Part {
    fn read(text: &str) -> Self {
        let glob =
            (text != "**").then(|| GlobBuilder::new(text).literal_separator(true).backslash_escape(false).build());
        match glob {
            Some(Ok(glob)) => Self::Name(glob.compile_matcher()),
            Some(Err(_)) | None => Self::Any,
        }
    }
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
    fn what_cannot_be_read_by_itself_may_be_anything() {
        // A class with a slash in it is no part of one name.
        assert_eq!(Reach::new(["/srv/[a/b]/c"].into_iter()).below(b"/srv/x/y/z"), Below::Some);
    }
}
