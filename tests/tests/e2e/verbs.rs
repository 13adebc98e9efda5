//! Verbs as people use them: what they say to somebody who is asked, who waits, and who is about to make a mistake.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Finished, PLACE, Site, run, text, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// alice asks for `root@web1`; the request is pending.
fn ask(site: &Site) -> Result<String> {
    text(&site.alice.json(&["request", PLACE, "--for", "30m", "--reason", "a test", "--no-wait"])?, "id")
}

fn refused(ran: &Finished, code: i32, words: &[&str]) -> Result<()> {
    ensure!(ran.status.code() == Some(code), "{ran:?}");
    for word in words {
        ensure!(ran.stderr.contains(word), "no {word:?} in {ran:?}");
    }
    Ok(())
}

/// Starts a command of alice's that waits for a decision, and has bob approve once it does.
fn waits_for_bob(site: &Site, id: &str, words: &[&str]) -> Result<Background> {
    let log = site.path(&format!("waits-for-{id}.log"));
    let mut waiting = Background::start("alice", &mut site.alice.command(words), &log)?;
    wait_for("alice to wait", SOON, || {
        waiting.check()?;
        Ok(waiting.log().contains("waiting; a reviewer runs").then_some(()))
    })?;
    site.bob.portcullis(&["approve", id, "--comment", "go ahead"])?.ok()?;
    let status = waiting.end(SOON)?;
    ensure!(status.success(), "{status}: {}", waiting.log());
    ensure!(waiting.log().contains("bob approved: go ahead"), "{}", waiting.log());
    Ok(waiting)
}

#[test]
fn approve_without_an_id_takes_the_only_request_that_waits_for_its_reviewer() -> Result<()> {
    let site = Site::start()?;
    refused(&site.bob.portcullis(&["approve", "--yes"])?, 4, &["no request waits for you"])?;
    let first = ask(&site)?;
    // In a script nobody can be asked, and her own is nothing that waits for alice.
    refused(&site.bob.portcullis(&["approve"])?, 2, &[&first, "nobody can be asked", "--yes"])?;
    refused(&site.alice.portcullis(&["approve", "--yes"])?, 4, &["no request waits for you"])?;
    let approved = site.bob.json(&["approve", "--yes"])?;
    ensure!(text(&approved, "id")? == first && text(&approved, "state")? == "approved", "{approved}");

    // Of two it takes none, and names both.
    let second = ask(&site)?;
    let third = ask(&site)?;
    refused(&site.bob.portcullis(&["approve", "--yes"])?, 2, &["2 requests wait for you", &second, &third])
}

#[test]
fn cert_and_ssh_wait_for_the_decision_and_go_on() -> Result<()> {
    let site = Site::start()?;
    let id = ask(&site)?;
    // Without --wait a script is told how to, and nothing is filed a second time.
    for verb in ["cert", "ssh"] {
        refused(&site.alice.portcullis(&[verb, PLACE])?, 1, &["still pending", &id, "--wait"])?;
    }
    let waited = waits_for_bob(&site, &id, &["cert", PLACE, "--wait"])?;
    let key = site.alice.certified_key(PLACE);
    ensure!(waited.log().contains(&key.display().to_string()) && key.is_file(), "{}", waited.log());
    site.alice.portcullis(&["release", &id])?.ok()?;

    let id = ask(&site)?;
    let waited = waits_for_bob(&site, &id, &["ssh", PLACE, "--wait", "echo", "I am in"])?;
    ensure!(waited.log().contains("I am in"), "{}", waited.log());
    ensure!(
        site.alice.json(&["requests", "--all"])?.as_array().is_some_and(|all| all.len() == 2),
        "one was filed twice"
    );
    Ok(())
}

#[test]
fn an_export_replaces_a_file_only_when_told_and_what_may_not_be_replayed_is_skipped() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    site.alice.ssh(&[PLACE, "echo recorded words"])?.ok()?;
    let closed = site.record(&grant, "recording.closed")?;
    let recording = text(closed.get("fact").context("a record without a fact")?, "recording")?;

    let file = site.path("there.jsonl");
    fs::write(&file, "precious")?;
    let out = file.display().to_string();
    let export = ["recordings", "export", &recording, "--out", &out];
    refused(&site.dana.portcullis(&export)?, 2, &["is there already", "--force"])?;
    ensure!(fs::read_to_string(&file)? == "precious", "it was touched");
    site.dana.portcullis(&[&export[..], &["--force"]].concat())?.ok()?;
    ensure!(fs::read_to_string(&file)?.contains("recorded words"), "it was not replaced");
    site.dana.portcullis(&["recordings", "verify", &recording, "--file", &out])?.ok()?;
    // Whoever may not replay it replaces nothing with nothing.
    let before = fs::read_to_string(&file)?;
    let refusal = site.carol.portcullis(&[&export[..], &["--force"]].concat())?;
    ensure!(!refusal.status.success() && fs::read_to_string(&file)? == before, "{refusal:?}");

    let skipped = site.carol.portcullis(&["recordings", "verify", "--all"])?;
    ensure!(skipped.text().contains("skipped"), "{skipped:?}");
    refused(&skipped, 1, &["1 of 1 recording skipped", "--digests", "--requester"])?;
    let json = site.carol.portcullis(&["recordings", "verify", "--all", "--json"])?;
    ensure!(json.status.code() == Some(1) && json.text().contains("\"verified\":null"), "{json:?}");
    site.carol.portcullis(&["recordings", "verify", "--all", "--digests"])?.ok()?;
    Ok(())
}

#[test]
fn a_second_lock_and_the_removal_of_a_server_in_use_are_warned_of() -> Result<()> {
    let site = Site::start()?;
    let ended = site.grant("30m")?;
    site.bob.portcullis(&["revoke", &ended])?.ok()?;
    let grant = site.grant("30m")?;
    let place = ["lock", "identity:alice", "--reason", "laptop stolen"];
    let first = site.carol.portcullis(&place)?.ok()?;
    ensure!(!first.stderr.contains("careful"), "{first:?}");
    let second = site.dana.portcullis(&place)?.ok()?;
    ensure!(second.stderr.contains("careful: identity:alice is locked already"), "{second:?}");
    ensure!(second.stderr.contains("laptop stolen"), "{second:?}");

    let removed = site.carol.portcullis(&["target", "remove", "web1"])?.ok()?;
    ensure!(removed.stderr.contains(&format!("careful: alice still has {grant} for root@web1")), "{removed:?}");
    ensure!(!removed.stderr.contains(&ended), "what was revoked opens nothing: {removed:?}");
    ensure!(removed.text().contains("web1 is off the list"), "{removed:?}");

    // Its sshd still shows the certificate that it was given, and nobody looked: so nothing is claimed of it.
    let address = site.web1.address().to_string();
    let again = site.carol.portcullis(&["target", "add", "web1", "--address", &address, "--login", "root"])?.ok()?;
    ensure!(again.stderr.contains("unless web1 has a certificate of the host CA already"), "{again:?}");
    Ok(())
}

#[test]
fn a_session_is_killed_once_and_the_second_time_one_is_told_where_it_went() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let command = &mut site.alice.stock("ssh", &[PLACE, "echo begun; sleep 600"]);
    let mut live = Background::start("ssh", command, &site.path("ssh.log"))?;
    wait_for("the session", SOON, || {
        live.check()?;
        Ok(live.log().contains("begun").then_some(()))
    })?;
    let sessions = site.carol.json(&["sessions"])?;
    let session = text(sessions.get(0).context("no session is live")?, "id")?;
    site.carol.portcullis(&["kill", &session, "--reason", "a test"])?.ok()?;
    ensure!(!live.end(SOON)?.success(), "the session went on");
    site.carol.portcullis(&["sessions", &session])?.ok()?;
    refused(&site.carol.portcullis(&["kill", &session])?, 1, &["portcullis sessions --all"])
}

#[test]
fn stock_ssh_at_the_port_of_the_api_is_told_where_it_is() -> Result<()> {
    let site = Site::start()?;
    let port = site.api().rsplit(':').next().unwrap_or_default().to_owned();
    let mut ssh = std::process::Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-p", &port, "root@127.0.0.1", "true"]);
    refused(&run(&mut ssh, SOON)?, 255, &["this is the API of Portcullis", "portcullis ssh"])?;
    // It goes on for those who speak its language.
    site.carol.portcullis(&["status"])?.ok()?;

    // A second server on the same data says once what is wrong.
    let mut second = std::process::Command::new(Site::binary());
    second.arg("--config").arg(site.folder().join("portcullis.toml")).arg("up");
    second.env("PORTCULLIS_PASSPHRASE", portcullis_tests::PASSPHRASE);
    let second = run(&mut second, SOON)?;
    ensure!(second.stderr.matches("stop ").count() == 1, "{second:?}");
    refused(&second, 1, &["is in use by process", "stop that one first", "portcullis status"])
}
