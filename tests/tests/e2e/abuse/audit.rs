//! What `ssh-audit` says of the proxy: no failure, and no warning that nobody has explained.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Layout, PLACE, Site, run, tool};
use serde_json::Value;

use super::LIMIT;

/// What it warns of, and why it is so all the same. SECURITY.md says it at more length.
const WARNINGS: [(&str, &str, &str); 3] = [
    ("curve25519-sha256", NO_QUANTUM, "what clients before OpenSSH 9.9 have; newer ones get ML-KEM"),
    ("curve25519-sha256@libssh.org", NO_QUANTUM, "the same, as clients before OpenSSH 7.4 call it"),
    ("diffie-hellman-group16-sha512", NO_QUANTUM, "the one that is left to clients in FIPS mode"),
];
const NO_QUANTUM: &str = "does not provide protection against post-quantum attacks";

/// What it remarks, by its beginning, and why it is so all the same.
const NOTES: [(&str, &str); 2] = [
    (
        "Be aware that, while this target properly supports the strict key exchange",
        "a client without strict key exchange and with ChaCha20 is open to Terrapin wherever it goes; AES comes first",
    ),
    (
        "Potentially insufficient connection throttling detected",
        "connections that wait are counted, not those of a second; the dearest key exchange is left out instead",
    ),
];

#[test]
fn ssh_audit_finds_no_failure_and_nothing_that_is_not_explained() -> Result<()> {
    let site = Site::with(Layout::Apart, None)?;
    let mut command = Command::new(tool("python/bin/ssh-audit")?);
    command.args(["-j", "-p", &site.proxy_port().to_string(), "127.0.0.1"]).env("HOME", site.path(""));
    let audit = run(&mut command, LIMIT)?;
    let report: Value = serde_json::from_slice(&audit.stdout).with_context(|| format!("{audit:?}"))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();

    let mut seen = Vec::new();
    for kind in ["kex", "key", "enc", "mac"] {
        let algorithms = report.get(kind).map(list).unwrap_or_default();
        ensure!(!algorithms.is_empty(), "no {kind} in {report}");
        for algorithm in algorithms {
            let name = algorithm.get("algorithm").and_then(Value::as_str).context("a name")?.to_owned();
            let notes = |level: &str| algorithm.pointer(&format!("/notes/{level}")).map(list).unwrap_or_default();
            ensure!(notes("fail").is_empty(), "{name} fails: {:?}", notes("fail"));
            for warning in notes("warn") {
                let known = |(algorithm, text, _): &&(&str, &str, &str)| *algorithm == name && warning == *text;
                ensure!(WARNINGS.iter().any(|one| known(&one)), "nobody has explained: {name}, {warning}");
                seen.push(name.clone());
            }
        }
    }
    ensure!(seen.len() == WARNINGS.len(), "explained, and not warned of any more: {WARNINGS:?}, {seen:?}");
    for note in report.get("additional_notes").map(list).unwrap_or_default() {
        let note = note.as_str().context("a note")?.to_owned();
        ensure!(NOTES.iter().any(|(known, _)| note.starts_with(known)), "nobody has explained: {note}");
    }
    ensure!(report.get("cves").map(list).unwrap_or_default().is_empty(), "{report}");
    // 3 is a failure, 2 a warning; without a new one of either, the report is what is said above.
    ensure!(audit.status.code() == Some(2), "{audit:?}");
    Ok(())
}

/// OpenSSH 7.4, its likes, and what FIPS mode leaves; then what no client with a certificate is limited to.
#[test]
fn an_old_client_and_one_in_fips_mode_get_in() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    for (kex, gets_in) in [
        ("curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256", true),
        ("curve25519-sha256@libssh.org", true),
        ("ecdh-sha2-nistp256,diffie-hellman-group16-sha512,diffie-hellman-group14-sha256", true),
        ("ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521", false),
        ("diffie-hellman-group18-sha512,diffie-hellman-group14-sha256", false),
    ] {
        let ran = site.alice.ssh(&[&format!("-oKexAlgorithms={kex}"), PLACE, "echo in"])?;
        ensure!((ran.text() == "in\n") == gets_in, "{kex}: {ran:?}");
    }
    Ok(())
}
