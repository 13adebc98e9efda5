//! What we build upon: where it comes from, under which licence, in how many versions.
//!
//! `cargo deny` looks at all of it when it is there. Without it, sources and licences are checked from cargo's own
//! metadata against the same `deny.toml`; security advisories need its database and are left to a networked CI.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::none;
use crate::run::{run, say, which};
use crate::setup::PATCHED;
use crate::workspace::Workspace;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Runs `cargo deny` if it can be found, and otherwise what can be said without it.
pub(crate) fn check(workspace: &Workspace, metadata: &Value) -> Result<()> {
    if let Some(program) = deny(workspace) {
        let mut command = Command::new(program);
        command.current_dir(workspace.root()).args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
        return run(&mut command);
    }
    say("tidy", "dependencies: cargo-deny is not installed: licences and sources are checked from cargo's metadata,");
    say("tidy", "dependencies: bans only as far as deny.toml names them; advisories not at all");
    let text = fs::read_to_string(workspace.path("deny.toml")).context("cannot read deny.toml")?;
    let rules = Rules::read(&text);
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let members = metadata["workspace_members"].as_array().map(Vec::as_slice).unwrap_or_default();
    for package in metadata["packages"].as_array().into_iter().flatten().filter(|p| !members.contains(&p["id"])) {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        versions.entry(name).or_default().push(version);
        match package["source"].as_str() {
            Some(CRATES_IO) => {}
            // From a folder: written by `setup` from the registry's source and a patch.
            None if PATCHED.contains(&name) => {}
            other => findings.push(format!("{name} {version} comes from {}", other.unwrap_or("a folder"))),
        }
        match package["license"].as_str() {
            Some(licence) if rules.allows(licence) => {}
            Some(licence) => {
                findings.push(format!("{name} {version} is under «{licence}», which deny.toml does not allow"))
            }
            None => findings.push(format!("{name} {version} names no licence")),
        }
        if rules.denied.iter().any(|denied| denied == name) {
            findings.push(format!("{name} is banned in deny.toml"));
        }
    }
    let twice = versions.values().filter(|versions| versions.len() > 1).count();
    say("tidy", format_args!("dependencies: {} crates, {twice} of them in more than one version", versions.len()));
    none(&findings)
}

fn deny(workspace: &Workspace) -> Option<PathBuf> {
    let own = workspace.tools().join("bin/cargo-deny");
    if own.is_file() { Some(own) } else { which("cargo-deny") }
}

/// As much of `deny.toml` as is needed here: the allowed licences and the banned names.
struct Rules {
    allowed: Vec<String>,
    denied: Vec<String>,
}

impl Rules {
    fn read(text: &str) -> Self {
        let mut rules = Self { allowed: Vec::new(), denied: Vec::new() };
        let (mut section, mut list) = ("", "");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                (section, list) = (name, "");
            } else if let Some(key) = line.strip_suffix("= [") {
                list = key.trim();
            } else if line == "]" {
                list = "";
            } else if let Some(value) = first_string(line) {
                match (section, list) {
                    ("licenses", "allow") => rules.allowed.push(value.to_owned()),
                    ("bans", "deny") => rules.denied.push(value.to_owned()),
                    _ => {}
                }
            }
        }
        rules
    }

    /// Whether an SPDX expression can be satisfied with what is allowed: one alternative of every part.
    fn allows(&self, expression: &str) -> bool {
        let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
        // Parentheses are flattened: "(A OR B) AND C" asks for one of A and B, and for C.
        flat.split(" AND ")
            .all(|part| part.split(" OR ").any(|licence| self.allowed.iter().any(|a| a == licence.trim())))
    }
}

fn first_string(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('"')?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::Rules;

    #[test]
    fn reads_its_part_of_the_deny_file() {
        let rules = Rules::read(
            "[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\",\n]\n[bans]\ndeny = [\n  { crate = \"openssl\", reason = \"no\" },\n]\n",
        );
        assert_eq!(rules.denied, ["openssl"]);
        assert!(rules.allows("MIT OR Apache-2.0"));
        assert!(rules.allows("(Apache-2.0 OR MIT) AND ISC"));
        assert!(!rules.allows("MIT AND OpenSSL"));
        assert!(!rules.allows("GPL-3.0"));
    }
}
