//! What `cargo xtask bench` was asked for.

use anyhow::{Result, bail};

use super::ORDER;
use super::sizes::Sizes;

/// The benchmarks that concern a session through the proxy, by one name.
const PROXY: (&str, [&str; 9]) = (
    "proxy",
    [
        "download",
        "upload",
        "cpu-per-gib",
        "setup",
        "keystroke",
        "memory-per-session",
        "live-sessions",
        "sessions-per-second",
        "revoke-to-drop",
    ],
);

/// The words behind `bench`, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The benchmarks to run.
    pub(crate) names: Vec<&'static str>,
    /// How much of each.
    pub(crate) sizes: Sizes,
    /// Whether the rows are printed as JSON.
    pub(crate) json: bool,
    /// Whether the tables are written.
    pub(crate) written: bool,
}

impl Asked {
    /// `[NAME…] [--json] [--quick]`; without a name all, and what is quick is not written down.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let (mut json, mut quick, mut names) = (false, false, Vec::new());
        let (group, members) = PROXY;
        for word in words {
            match *word {
                "--json" => json = true,
                "--quick" => quick = true,
                name if name == group => names.extend(members),
                name => match ORDER.into_iter().find(|known| *known == name) {
                    Some(known) => names.push(known),
                    None => bail!(
                        "there is no benchmark «{name}»\nhint: there are {}; {group} for {}",
                        ORDER.join(", "),
                        members.join(", ")
                    ),
                },
            }
        }
        if names.is_empty() {
            names.extend(ORDER);
        }
        let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
        Ok(Self { names, sizes, json, written: !quick })
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, ORDER, PROXY, Sizes};

    #[test]
    fn one_name_is_a_group_and_no_name_is_all() {
        assert_eq!(Asked::parse(&["proxy"]).unwrap().names, PROXY.1);
        assert_eq!(Asked::parse(&["setup", "start"]).unwrap().names, ["setup", "start"]);
        assert_eq!(Asked::parse(&[]).unwrap().names, ORDER);
        assert!(PROXY.1.iter().all(|name| ORDER.contains(name)));
    }

    #[test]
    fn what_is_quick_is_not_written_down() {
        let asked = Asked::parse(&["--quick", "setup", "--json"]).unwrap();
        assert_eq!(asked, Asked { names: vec!["setup"], sizes: Sizes::QUICK, json: true, written: false });
        assert!(Asked::parse(&["setup"]).unwrap().written);
    }

    #[test]
    fn an_unknown_word_is_refused() {
        let error = Asked::parse(&["keystrokes"]).unwrap_err().to_string();
        assert!(error.contains("«keystrokes»") && error.contains("keystroke,"), "{error}");
        assert!(Asked::parse(&["--fast"]).is_err());
    }
}
