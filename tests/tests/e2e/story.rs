//! The main job, end to end.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Background, Layout, PLACE, Site, text, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn asked_approved_used_recorded_replayed_proved() -> Result<()> {
    main_job(&Site::start()?)
}

/// The same with CA and proxy as two processes: the proxy has nothing but the API.
#[test]
fn the_same_with_ca_and_proxy_apart() -> Result<()> {
    main_job(&Site::with(Layout::Apart, None)?)
}

fn main_job(site: &Site) -> Result<()> {
    let grant = site.grant("30m")?;

    // Both ways in; the exit status, and the two streams apart.
    let ran = site.alice.ssh(&[PLACE, "echo out; echo err >&2; exit 7"])?;
    ensure!(ran.status.code() == Some(7), "{ran:?}");
    ensure!(ran.text() == "out\n" && ran.stderr.contains("err\n") && !ran.stderr.contains("out"), "{ran:?}");
    let ran = site.alice.portcullis(&["ssh", PLACE, "echo", "plus"])?.ok()?;
    ensure!(ran.text() == "plus\n", "{ran:?}");

    // What was done is recorded, and the ledger has the recording's digest.
    let closed = site.record(&grant, "recording.closed")?;
    let recording = text(&closed, "recording")
        .or_else(|_| text(closed.get("fact").unwrap_or(&serde_json::Value::Null), "recording"))?;
    let played = site.dana.portcullis(&["play", &recording, "--text"])?.ok()?;
    ensure!(played.text().contains("plus") || played.text().contains("out"), "{played:?}");
    site.dana.portcullis(&["recordings", "verify", "--all"])?.ok()?;

    // Someone else's recording is not for everyone.
    let refused = site.bob.portcullis(&["play", &recording, "--text"])?;
    ensure!(!refused.status.success(), "bob replays what he may not: {refused:?}");

    // The whole ledger verifies, from outside and from the segments themselves.
    let export = site.path("ledger.jsonl").display().to_string();
    let note = site.path("ledger.note").display().to_string();
    site.dana.portcullis(&["ledger", "export", "--out", &export, "--checkpoint", &note])?.ok()?;
    site.dana.portcullis(&["ledger", "verify", &export, "--checkpoint", &note])?.ok()?;
    site.carol.portcullis(&["ledger", "verify", &site.data().display().to_string()])?.ok()?;

    // A changed byte is found, and named.
    let lines = std::fs::read_to_string(&export)?;
    let changed = lines.replacen("a test", "a tEst", 1);
    ensure!(changed != lines, "the export does not hold the reason");
    std::fs::write(&export, changed)?;
    let found = site.dana.portcullis(&["ledger", "verify", &export, "--checkpoint", &note])?;
    ensure!(found.status.code() == Some(7), "a changed record verifies: {found:?}");
    Ok(())
}

#[test]
fn a_revoked_grant_drops_the_live_session_even_of_a_stopped_client_and_leaves_a_receipt() -> Result<()> {
    let site = Site::start()?;
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
    // A client that is suspended reads nothing and answers nothing.
    live.signal(rustix::process::Signal::STOP)?;
    site.bob.portcullis(&["revoke", &grant, "--reason", "enough"])?.ok()?;

    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("revoked") && ended.contains("bob") && ended.contains("dropped"), "{ended}");
    live.signal(rustix::process::Signal::CONT)?;
    ensure!(!live.end(SOON)?.success(), "the client ended well:\n{}", live.log());

    let refused = site.alice.ssh(&[PLACE, "true"])?;
    ensure!(!refused.status.success(), "alice is in again: {refused:?}");
    ensure!(refused.stderr.contains("no active grant for root@web1"), "{refused:?}");
    ensure!(refused.stderr.contains("portcullis request root@web1 --for 30m"), "{refused:?}");
    Ok(())
}

#[test]
fn one_exact_command_and_nothing_else() -> Result<()> {
    let site = Site::start()?;
    let asked = site.alice.json(&[
        "request",
        PLACE,
        "--for",
        "30m",
        "--reason",
        "a test",
        "--no-wait",
        "--command",
        "echo only this",
    ])?;
    let id = text(&asked, "id")?;
    // The reviewer sees that very string.
    let shown = site.bob.portcullis(&["requests", &id])?.ok()?;
    ensure!(shown.text().contains("echo only this"), "{shown:?}");
    site.bob.portcullis(&["approve", &id])?.ok()?;
    site.certify(&id)?;

    let ran = site.alice.ssh(&[PLACE, "echo only this"])?.ok()?;
    ensure!(ran.text() == "only this\n", "{ran:?}");
    for words in [&["echo only this; id"][..], &["echo only  this"], &[], &["-s", "sftp"]] {
        let arguments: Vec<&str> = match words {
            ["-s", subsystem] => vec!["-s", PLACE, subsystem],
            words => std::iter::once(PLACE).chain(words.iter().copied()).collect(),
        };
        let ran = site.alice.ssh(&arguments)?;
        ensure!(!ran.status.success() && !ran.text().contains("uid="), "{arguments:?} ran: {ran:?}");
    }
    Ok(())
}
