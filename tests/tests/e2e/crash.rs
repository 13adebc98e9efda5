//! `kill -9` for the whole server while a session is live: nothing acknowledged is lost, and what was left open is closed.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Background, PLACE, Site, text, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_killed_server_loses_nothing_and_closes_what_it_left_open() -> Result<()> {
    let mut site = Site::start()?;
    let grant = site.grant("30m")?;
    let mut live = Background::start(
        "ssh",
        &mut site.alice.stock("ssh", &["-tt", PLACE, "echo it is $((40+2)); sleep 600"]),
        &site.path("ssh.log"),
    )?;
    wait_for("the session", SOON, || {
        live.check()?;
        Ok(live.log().contains("it is 42").then_some(()))
    })?;
    // A recorder flushes at least every second; the file says when it did.
    let started = site.record(&grant, "recording.started")?;
    wait_for("the recording to be flushed", SOON, || {
        let text = all_text(&site.data().join("recordings"))?;
        Ok(text.contains("it is 42").then_some(()))
    })?;

    site.kill_servers();
    ensure!(!live.end(SOON)?.success(), "the session outlived its proxy");
    site.restart_servers()?;

    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("proxy"), "{ended}");
    let closed = site.record(&grant, "recording.closed")?.to_string();
    ensure!(closed.contains("recovered"), "{closed}");
    let id = text(started.get("fact").unwrap_or(&started), "recording")?;
    let played = site.dana.portcullis(&["play", &id, "--text"])?.ok()?;
    ensure!(played.text().contains("it is 42"), "{played:?}");
    site.dana.portcullis(&["recordings", "verify", &id])?.ok()?;

    // The grant is still there, and so is access.
    site.alice.ssh(&[PLACE, "true"])?.ok()?;
    site.carol.portcullis(&["ledger", "verify", &site.data().display().to_string()])?.ok()?;
    Ok(())
}

fn all_text(folder: &std::path::Path) -> Result<String> {
    let mut text = String::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(text) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            text.push_str(&all_text(&path)?);
        } else {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()));
        }
    }
    Ok(text)
}
