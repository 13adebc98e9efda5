//! Another key for a CA while real clients and a real server use the old one: nobody is dropped, and what the old key signed
//! is worth nothing once it is retired.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Finished, Layout, PLACE, Site, wait_for};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

fn rotate(site: &Site, ca: &str, step: &str) -> Result<Value> {
    rotate_with(site, ca, step, &[])
}

fn rotate_with(site: &Site, ca: &str, step: &str, options: &[&str]) -> Result<Value> {
    let states = site.carol.json(&[&["ca", "rotate", ca, step, "--yes"], options].concat())?;
    states.get(0).cloned().context("no state")
}

/// carol is refused a step, in words that have this.
fn is_not_taken(site: &Site, step: &[&str], why: &str) -> Result<()> {
    let refused = site.carol.portcullis(&[&["ca", "rotate"], step].concat())?;
    ensure!(!refused.status.success() && refused.stderr.contains(why), "{why}: {refused:?}");
    Ok(())
}

/// One of the fingerprints that a step answered with.
fn key(state: &Value, field: &str) -> String {
    state.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// carol enrols web1 again: what its sshd trusts and shows is what the CA says now.
fn enrol(site: &Site) -> Result<()> {
    let folder = site.web1.folder();
    let host_key = folder.join("host_key.pub").display().to_string();
    let enrolled = site.carol.json(&["target", "enrol", "web1", "--host-key", &host_key])?;
    let files = enrolled.get("files").and_then(Value::as_array).context("no files")?;
    for (path, name) in [("portcullis_user_ca.pub", "user_ca.pub"), ("-cert.pub", "host_key-cert.pub")] {
        let file = files.iter().find(|file| key(file, "path").ends_with(path)).context("no such file")?;
        fs::write(folder.join(name), key(file, "text"))?;
    }
    site.web1.reload()
}

/// alice runs a command on web1, as soon as what was changed is in force.
fn gets_in(site: &Site) -> Result<Finished> {
    wait_for("a way in", SOON, || {
        let ran = site.alice.ssh(&["-v", PLACE, "echo in"])?;
        Ok((ran.text() == "in\n").then_some(ran))
    })
    .with_context(|| format!("{}\n{}", site.log(), site.web1.log()))
}

/// alice is refused for this reason, as soon as what was changed is in force.
fn is_refused(site: &Site, why: &str) -> Result<()> {
    let mut last = String::new();
    wait_for(why, SOON, || {
        let ran = site.alice.ssh(&[PLACE, "echo in"])?;
        last = format!("{ran:?}");
        Ok((!ran.status.success() && ran.stderr.contains(why)).then_some(()))
    })
    .with_context(|| format!("{last}\n{}", site.log()))
}

#[test]
fn the_user_ca_is_replaced_while_a_proxy_is_away() -> Result<()> {
    let mut site = Site::with(Layout::Apart, None)?;
    let grant = site.grant("50m")?;
    let mut live = site.live_session()?;
    let refused = site.alice.portcullis(&["ca", "rotate", "user", "--stage"])?;
    ensure!(!refused.status.success(), "{refused:?}");

    let staged = rotate(&site, "user", "--stage")?;
    let (old, new) = (key(&staged, "signs"), key(&staged, "next"));
    enrol(&site)?;
    ensure!(fs::read_to_string(site.web1.folder().join("user_ca.pub"))?.lines().count() == 2, "it trusts both");
    gets_in(&site)?;

    // The proxy hears nothing of what comes now.
    site.freeze(1, true)?;
    rotate(&site, "user", "--activate")?;
    site.freeze(1, false)?;
    gets_in(&site)?;
    let shown = site.carol.portcullis(&["ca", "rotate", "user"])?.ok()?.text();
    ensure!(shown.contains(&old) && shown.contains(&new) && shown.contains("ca rotate user --retire"), "{shown}");
    ensure!(site.web1.log().contains(&new), "no session came with the new key: {}", site.web1.log());

    site.freeze(1, true)?;
    is_not_taken(&site, &["user", "--retire", "--fingerprint", &new], "and not SHA256:")?;
    is_not_taken(&site, &["user", "--retire"], "nobody can be asked")?;
    is_not_taken(&site, &["user", "--retire", "--yes"], "alice")?;
    rotate_with(&site, "user", "--retire", &["--force", "--fingerprint", old.get(..20).unwrap_or_default()])?;
    site.freeze(1, false)?;
    is_refused(&site, "Permission denied")?;
    site.certify(&grant)?;
    gets_in(&site)?;
    enrol(&site)?;
    let trusted = fs::read_to_string(site.web1.folder().join("user_ca.pub"))?;
    ensure!(trusted.lines().count() == 1, "{trusted}");
    gets_in(&site)?;
    live.check()?;
    let told = site.dana.json(&["ledger", "show", "--kind", "ca.retired"])?.to_string();
    ensure!(told.contains(&old) && told.contains("carol"), "{told}");

    site.kill_servers();
    site.restart_servers()?;
    gets_in(&site)?;
    Ok(())
}

#[test]
fn the_host_ca_is_replaced_and_a_server_that_was_left_out_is_not_believed() -> Result<()> {
    let site = Site::start()?;
    site.grant("50m")?;
    let mut live = site.live_session()?;
    let staged = rotate(&site, "host", "--stage")?;
    gets_in(&site)?;
    let activated = rotate(&site, "host", "--activate")?;
    ensure!(activated.get("left").is_some_and(|left| left.to_string().contains("web1")), "{activated}");
    gets_in(&site)?;
    is_not_taken(&site, &["host", "--retire", "--yes"], "web1")?;
    let retired = rotate_with(&site, "host", "--retire", &["--force"])?;
    ensure!(key(&retired, "signs") == key(&staged, "next"), "{retired}");
    is_refused(&site, &format!("is signed by {}, which is not this site's host CA", key(&staged, "signs")))?;
    enrol(&site)?;
    gets_in(&site)?;
    live.check()?;

    // The other way round, as it is meant: nobody is refused at any time.
    rotate(&site, "host", "--stage")?;
    rotate(&site, "host", "--activate")?;
    enrol(&site)?;
    let ready = site.carol.json(&["ca", "rotate", "host"])?;
    ensure!(!ready.to_string().contains("web1"), "{ready}");
    gets_in(&site)?;
    rotate(&site, "host", "--retire")?;
    site.alice.ssh(&[PLACE, "true"])?.ok()?;
    live.check()
}

#[test]
fn the_front_ca_is_replaced_for_who_has_learnt_the_next_one() -> Result<()> {
    let site = Site::start()?;
    site.grant("50m")?;
    let mut live = site.live_session()?;
    let known_hosts = site.alice.folder().join("known_hosts");
    let before = fs::read_to_string(&known_hosts)?;
    rotate(&site, "front", "--stage")?;
    site.alice.portcullis(&["ssh-config", "--write"])?.ok()?;
    let both = fs::read_to_string(&known_hosts)?;
    ensure!(both.lines().count() == 2 * before.lines().count(), "{both}");
    site.alice.ssh(&[PLACE, "true"])?.ok()?;

    let activated = rotate(&site, "front", "--activate")?;
    let (new, old) = (key(&activated, "signs"), key(&activated, "previous"));
    let mut last = String::new();
    wait_for("the new key's certificates", SOON, || {
        let ran = site.alice.ssh(&["-v", PLACE, "true"])?.ok()?;
        let shown: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("Server host certificate:")).collect();
        last = shown.join("\n");
        Ok((last.contains(&new) && !last.contains(&old)).then_some(()))
    })
    .with_context(|| format!("{new}, not {old}:\n{last}"))?;
    fs::write(&known_hosts, &before)?;
    is_refused(&site, "Host key verification failed")?;
    fs::write(&known_hosts, &both)?;
    rotate(&site, "front", "--retire")?;
    site.alice.ssh(&[PLACE, "true"])?.ok()?;
    site.alice.portcullis(&["ssh-config", "--write"])?.ok()?;
    ensure!(fs::read_to_string(&known_hosts)?.lines().count() == before.lines().count());
    gets_in(&site)?;
    live.check()
}
