//! Nothing in the repository names a place on someone's machine.

use std::fs;

use anyhow::Result;

use super::none;
use crate::workspace::Workspace;

/// Looks into every file that git knows.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut places = vec![format!("{}/", workspace.root().display())];
    if let Some(home) = std::env::var_os("HOME") {
        places.extend([".cargo", ".rustup"].map(|folder| format!("{}/{folder}", home.to_string_lossy())));
    }
    let mut findings = Vec::new();
    for file in workspace.files()? {
        let Ok(bytes) = fs::read(workspace.path(&file)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            if let Some(place) =
                places.iter().find(|place| line.contains(place.as_str())).cloned().or_else(|| home(line))
            {
                findings.push(format!("{file}:{}: names {place}", number + 1));
            }
        }
    }
    none(&findings)
}

/// A home folder with a name in it; the names of the people in the documentation are nobody's.
fn home(line: &str) -> Option<String> {
    [concat!("/ho", "me/"), concat!("/Us", "ers/")].into_iter().find_map(|parent| {
        let (_, rest) = line.split_once(parent)?;
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
        let nobody = ["", "alice", "bob", "carol", "demo"].contains(&name.as_str());
        (!nobody).then(|| format!("{parent}{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn a_real_home_is_found_and_an_example_is_not() {
        assert_eq!(home(concat!("cd /ho", "me/dave/src")), Some(concat!("/ho", "me/dave").to_owned()));
        assert_eq!(home(concat!("cd /ho", "me/alice/src")), None);
        assert_eq!(home("cd /srv"), None);
    }
}
