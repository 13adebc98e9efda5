//! Every crate takes the workspace's lints and its one version of each dependency, and forbids unsafe code.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::none;
use crate::workspace::Workspace;

/// Checks each member's manifest and the first lines of each of its crate roots.
pub(crate) fn check(workspace: &Workspace, metadata: &Value) -> Result<()> {
    let members = metadata["workspace_members"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten().filter(|p| members.contains(&p["id"])) {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        findings.extend(manifest_findings(&text).into_iter().map(|finding| format!("{name}: {finding}")));
        for target in package["targets"].as_array().into_iter().flatten() {
            let kind = target.pointer("/kind/0").and_then(Value::as_str).unwrap_or_default();
            if !matches!(kind, "lib" | "bin") {
                continue;
            }
            let root = Path::new(target["src_path"].as_str().unwrap_or_default());
            let source = fs::read_to_string(root).with_context(|| format!("cannot read {}", root.display()))?;
            if !source.contains("#![forbid(unsafe_code)]") {
                findings.push(format!("{name}: {} lacks #![forbid(unsafe_code)]", relative(workspace, root)));
            }
        }
    }
    none(&findings)
}

fn relative(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(workspace.root()).unwrap_or(path).display().to_string()
}

fn manifest_findings(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut section = "";
    let mut lints = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section == "lints" {
            lints |= line == "workspace = true";
        } else if section.ends_with("dependencies") && !inherits(line) {
            findings.push(format!("«{line}»: its version belongs into the root's [workspace.dependencies]"));
        } else if section.contains("dependencies.") {
            findings.push(format!("[{section}]: write it on one line, with workspace = true"));
        }
    }
    if !lints {
        findings.push("the manifest lacks [lints] workspace = true".to_owned());
    }
    findings
}

fn inherits(line: &str) -> bool {
    line.contains(".workspace = true") || line.contains("workspace = true,") || line.contains("workspace = true }")
}

#[cfg(test)]
mod tests {
    use super::manifest_findings;

    #[test]
    fn a_version_of_ones_own_and_missing_lints_are_found() {
        let sound = "[lints]\nworkspace = true\n\n[dependencies]\nserde.workspace = true\n\
                     tokio = { workspace = true, features = [\"net\"] }\n";
        assert_eq!(manifest_findings(sound), [""; 0]);
        assert_eq!(manifest_findings("[dev-dependencies]\nserde = \"1\"\n").len(), 2);
    }
}
