//! Time: sessions end when their grant ends, and go on when it is extended.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Background, Layout, PLACE, Site, text, wait_for};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_session_ends_with_its_grant() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("6s")?;
    let mut live = Background::start(
        "ssh",
        &mut site.alice.stock("ssh", &[PLACE, "echo begun; sleep 600"]),
        &site.path("ssh.log"),
    )?;
    ensure!(!live.end(SOON)?.success(), "the client ended well");
    ensure!(live.log().contains("begun") && live.log().contains("portcullis request"), "{}", live.log());
    let ended = site.record(&grant, "session.ended")?.to_string();
    ensure!(ended.contains("expired"), "{ended}");
    // The deadline is kept to 100 ms, by the ledger's own times.
    let approved = site.record(&grant, "request.approved")?;
    let ends = number(&approved, "ends")?;
    let dropped = number(&serde_json::from_str(&ended)?, "dropped")?;
    ensure!(dropped >= ends, "dropped before its time: {dropped} < {ends}");
    Ok(())
}

#[test]
fn an_extended_grant_carries_the_live_session_on() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("20s")?;
    let live = Background::start(
        "ssh",
        &mut site.alice.stock("ssh", &[PLACE, "echo begun; sleep 24; echo still here"]),
        &site.path("ssh.log"),
    );
    let mut live = live?;
    wait_for("the session", SOON, || Ok(live.log().contains("begun").then_some(())))?;
    let asked = site.alice.json(&["extend", &grant, "--for", "10m", "--reason", "not done yet", "--no-wait"])?;
    site.bob.portcullis(&["approve", &text(&asked, "id")?])?.ok()?;
    let ended = live.end(SOON)?;
    ensure!(ended.success() && live.log().contains("still here"), "{ended}: {}", live.log());
    Ok(())
}

#[test]
fn nobody_approves_their_own_request_and_only_reviewers_review() -> Result<()> {
    // alice may review in general; for herself it must not help.
    let policy = r#"
@id("all-ask") @max_duration("1h") @approvals("1")
permit (principal, action == Action::"request", resource);
@id("all-review")
permit (principal in Group::"engineers", action == Action::"review", resource);
@id("all-connect")
permit (principal, action == Action::"connect", resource);
@id("admins")
permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
"#;
    let site = Site::with(Layout::Together, Some(policy))?;
    let asked = site.alice.json(&["request", PLACE, "--for", "10m", "--reason", "a test", "--no-wait"])?;
    let id = text(&asked, "id")?;
    for (person, name) in [(&site.alice, "alice"), (&site.bob, "bob")] {
        let refused = person.portcullis(&["approve", &id])?;
        ensure!(!refused.status.success(), "{name} approved it: {refused:?}");
    }
    let shown = site.alice.json(&["requests", &id])?;
    ensure!(text(&shown, "state")? == "pending", "{shown}");
    Ok(())
}

/// The number under this key, wherever it stands.
fn number(value: &serde_json::Value, key: &str) -> Result<u64> {
    fn find(value: &serde_json::Value, key: &str) -> Option<u64> {
        let fields = value.as_object()?;
        let here = fields.get(key).and_then(serde_json::Value::as_u64);
        here.or_else(|| fields.values().find_map(|value| find(value, key)))
    }
    find(value, key).ok_or_else(|| anyhow::anyhow!("no number {key:?} in {value}"))
}
