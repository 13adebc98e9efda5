//! The file of the proxy's host key, replaced while everything runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Layout, PLACE, Site, run, wait_for};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

fn keygen(path: &Path, passphrase: &str) -> Result<String> {
    let mut command = Command::new("ssh-keygen");
    run(command.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path), SOON)?.ok()?;
    let shown = run(Command::new("ssh-keygen").arg("-lf").arg(path.with_extension("pub")), SOON)?.ok()?;
    Ok(shown.text().split(' ').nth(1).context("no fingerprint")?.to_owned())
}

/// What the CA knows of the proxy, once this holds.
fn proxy(site: &Site, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(what, SOON, || {
        let status = site.carol.json(&["status"])?;
        Ok(status.get("proxies").and_then(|all| all.get(0)).filter(|proxy| holds(proxy)).cloned())
    })
    .with_context(|| site.log())
}

fn said<'a>(proxy: &'a Value, field: &str) -> &'a str {
    proxy.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn a_host_key_is_taken_up_from_its_file_and_a_bad_one_is_not() -> Result<()> {
    let mut site = Site::with(Layout::Apart, None)?;
    site.grant("30m")?;
    let words = [PLACE, "echo begun; sleep 600"];
    let mut live = Background::start("ssh", &mut site.alice.stock("ssh", &words[..]), &site.path("ssh.log"))?;
    wait_for("the session", SOON, || Ok(live.log().contains("begun").then_some(())))?;

    let first = proxy(&site, "the proxy says how it does", |proxy| proxy.get("feed_age").is_some())?;
    let old = said(&first, "host_key").to_owned();
    let age = first.get("feed_age").and_then(Value::as_u64).context("no age")?;
    ensure!(age < 30_000 && old.starts_with("SHA256:"), "{first}");
    let shown = site.carol.portcullis(&["status"])?.ok()?.text();
    ensure!(
        shown.contains("knows of revocations up to") && shown.contains(&old) && shown.contains(": well"),
        "{shown}"
    );

    let file = site.data().join("proxy").join("host-key");
    let good = fs::read_to_string(&file)?;
    let sealed = site.path("sealed");
    keygen(&sealed, "a passphrase")?;
    for (content, mode, why) in [
        (&good[..good.len() / 2], 0o600, "cannot be read as an OpenSSH private key"),
        (&fs::read_to_string(&sealed)?, 0o600, "is sealed under a passphrase"),
        (&good, 0o644, "can be read by others than its owner"),
    ] {
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        let bad = proxy(&site, why, |proxy| said(proxy, "host_key_error").contains(why))?;
        ensure!(said(&bad, "host_key") == old, "{bad}");
        site.alice.ssh(&[PLACE, "true"])?.ok()?;
        let shown = site.carol.portcullis(&["status"])?.ok()?.text();
        ensure!(shown.contains("changed host key of") && shown.contains(why), "{shown}");
        ensure!(site.log().contains(why), "{}", site.log());
    }
    let dana = site.dana.json(&["status"])?.to_string();
    ensure!(dana.contains("host_key_refused") && !dana.contains("host_key_error"), "{dana}");

    let new = site.path("new-host-key");
    let fingerprint = keygen(&new, "")?;
    fs::rename(&new, &file)?;
    let taken = proxy(&site, "the new key is shown", |proxy| said(proxy, "host_key") == fingerprint)?;
    ensure!(taken.get("host_key_error").is_none(), "{taken}");
    let ran = site.alice.ssh(&["-v", PLACE, "echo in"])?;
    ensure!(ran.text() == "in\n" && ran.stderr.contains(&fingerprint) && !ran.stderr.contains(&old), "{ran:?}");
    let certified = site.dana.json(&["ledger", "show", "--kind", "certificate.intended"])?.to_string();
    ensure!(certified.contains(&fingerprint), "the ledger does not know the new key: {certified}");
    live.check()?;

    // What stands in the file counts at the next start, too.
    site.kill_servers();
    site.restart_servers()?;
    let again = site.alice.ssh(&["-v", PLACE, "echo in"])?;
    ensure!(again.text() == "in\n" && again.stderr.contains(&fingerprint), "{again:?}");
    Ok(())
}
