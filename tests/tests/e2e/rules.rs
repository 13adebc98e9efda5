//! Live sessions are judged again: when a lock falls, when policy or directory change.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{PLACE, Site, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_lock_drops_the_live_refuses_the_new_and_lifts() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let mut live = site.live_session()?;
    let lock = site.carol.json(&["lock", "identity:alice", "--reason", "laptop stolen"])?;
    ensure!(!live.end(SOON)?.success(), "the session went on");
    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("locked"), "{ended}");
    let refused = site.alice.ssh(&[PLACE, "true"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("laptop stolen"), "{refused:?}");

    let id = portcullis_tests::text(&lock, "id")?;
    site.carol.portcullis(&["unlock", &id])?.ok()?;
    // Whoever had the laptop has the old certificate: it stays dead. A new one takes a login.
    let refused = site.alice.ssh(&[PLACE, "true"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("portcullis cert"), "{refused:?}");
    site.certify(&grant)?;
    site.alice.ssh(&[PLACE, "true"])?.ok()?;
    Ok(())
}

#[test]
fn a_policy_that_no_longer_allows_a_session_ends_it_and_a_broken_one_changes_nothing() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let mut live = site.live_session()?;
    let file = site.folder().join("policy.cedar");
    let policy = fs::read_to_string(&file)?;

    // A file with a mistake is refused whole, and the old policy stays in force.
    fs::write(&file, policy.replace("Action::\"connect\"", "Action::\"conect\""))?;
    wait_for("the refusal of the broken policy", SOON, || {
        let status = site.carol.json(&["status"])?;
        Ok(status.get("policy_error").filter(|error| error.is_string()).map(drop))
    })?;
    live.check()?;
    site.alice.ssh(&[PLACE, "true"])?.ok()?;

    let strict =
        format!("{policy}\n@id(\"nobody-connects\")\nforbid (principal, action == Action::\"connect\", resource);\n");
    fs::write(&file, strict)?;
    ensure!(!live.end(SOON)?.success(), "the session went on");
    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("cut"), "{ended}");
    let refused = site.alice.ssh(&[PLACE, "true"])?;
    ensure!(!refused.status.success(), "{refused:?}");
    Ok(())
}

#[test]
fn a_person_who_leaves_the_directory_is_out_at_once() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let mut live = site.live_session()?;
    let file = site.folder().join("directory.toml");
    let directory = fs::read_to_string(&file)?;
    let start = directory.find("[[identity]]\nname = \"alice\"").expect("alice is in the directory");
    let end = directory[start + 1..].find("\n[[").map_or(directory.len(), |at| start + 1 + at);
    fs::write(&file, format!("{}{}", &directory[..start], &directory[end..]))?;
    ensure!(!live.end(SOON)?.success(), "the session went on");
    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("cut"), "{ended}");
    let refused = site.alice.portcullis(&["whoami"])?;
    ensure!(!refused.status.success(), "her token lives on: {refused:?}");
    Ok(())
}
