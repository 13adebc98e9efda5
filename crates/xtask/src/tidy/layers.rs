//! Arrows point down only.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use super::none;

/// Every crate and its floor. A dependency must be on a lower one; neighbours do not know each other.
const FLOORS: [(&str, u8); 14] = [
    ("portcullis-model", 0),
    ("portcullis-policy", 1),
    ("portcullis-access", 1),
    ("portcullis-ledger", 1),
    ("portcullis-sftp", 1),
    ("portcullis-store", 2),
    ("portcullis-identity", 2),
    ("portcullis-api", 2),
    ("portcullis-recordings", 2),
    ("portcullis-ca", 3),
    ("portcullis-proxy", 3),
    ("portcullis-cli", 4),
    ("portcullis-tests", 5),
    ("portcullis-bench", 5),
];

/// Who must not come to know whom, not even through others.
const ABSENCES: [(&str, &[&str], &str); 1] = [(
    "portcullis-proxy",
    &["portcullis-ca", "portcullis-store", "portcullis-ledger", "portcullis-policy", "portcullis-access"],
    "the proxy holds no CA key, no ledger and no opinion: it asks the CA",
)];

/// Checks the graph of the workspace's own crates; what only tests need is left out.
pub(crate) fn check(metadata: &Value) -> Result<()> {
    none(&findings(&arrows(metadata)))
}

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn findings(arrows: &Arrows) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor);
    let mut findings = Vec::new();
    for (from, dependencies) in arrows {
        let Some(above) = floor(from) else {
            findings.push(format!("{from} has no floor yet: place it in crates/xtask/src/tidy/layers.rs"));
            continue;
        };
        for to in dependencies {
            if floor(to).is_some_and(|below| below >= above) {
                findings.push(format!("{from} depends on {to}, which does not stand below it"));
            }
        }
    }
    for (who, absent, reason) in ABSENCES {
        for known in reachable(arrows, who) {
            if absent.contains(&known.as_str()) {
                findings.push(format!("{who} depends on {known}; {reason}"));
            }
        }
    }
    findings
}

/// Which of the workspace's own crates depends on which, tests' dependencies aside.
fn arrows(metadata: &Value) -> Arrows {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let own: Vec<&Value> =
        packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| members.contains(id))).collect();
    let names: BTreeSet<&str> = own.iter().filter_map(|package| package["name"].as_str()).collect();
    own.iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
            let down = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .filter_map(|dependency| dependency["name"].as_str())
                .filter(|name| names.contains(name))
                .map(str::to_owned)
                .collect();
            (package["name"].as_str().unwrap_or_default().to_owned(), down)
        })
        .collect()
}

fn reachable(arrows: &Arrows, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(name) = next.pop() {
        for to in arrows.get(&name).into_iter().flatten() {
            if seen.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::{Arrows, findings};

    fn graph(arrows: &[(&str, &[&str])]) -> Arrows {
        let name = |short: &&str| format!("portcullis-{short}");
        arrows.iter().map(|(from, to)| (name(from), to.iter().map(name).collect())).collect()
    }

    #[test]
    fn down_is_allowed_and_up_and_sideways_are_not() {
        assert_eq!(findings(&graph(&[("ca", &["store", "policy", "model"]), ("store", &["ledger"])])), [""; 0]);
        assert_eq!(findings(&graph(&[("model", &["policy"])])).len(), 1);
        assert_eq!(findings(&graph(&[("policy", &["access"])])).len(), 1);
    }

    #[test]
    fn the_proxy_must_not_know_the_store_even_through_another() {
        let found = findings(&graph(&[("proxy", &["recordings"]), ("recordings", &["ledger"])]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("proxy depends on portcullis-ledger"), "{found:?}");
    }

    #[test]
    fn a_crate_without_a_floor_is_named() {
        assert!(findings(&graph(&[("common", &[])]))[0].contains("portcullis-common has no floor"));
    }
}
