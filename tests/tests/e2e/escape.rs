//! In a session with a terminal: the time that is left, and more of it, with nothing but the keyboard.

use anyhow::{Result, ensure};
use portcullis_tests::{Layout, PLACE, Site, text};

use crate::desk::{Terminal, pending};

#[test]
fn more_time_is_asked_for_in_the_session_approved_and_had() -> Result<()> {
    let site = Site::with(Layout::Apart, None)?;
    let grant = site.grant("10m")?;
    // With a certificate, so without a pass.
    let mut alice = Terminal::with(&site.alice.stock("ssh", &["-t", PLACE]))?;
    alice.shows(&format!("recorded, {grant}"))?;
    alice.shows("portcullis: ctrl-] ? for help")?;
    alice.types("echo in $((6*7))\r")?;
    alice.shows("in 42")?;
    alice.types("\r\u{1d}t")?;
    alice.shows("portcullis: root@web1 has ")?;
    alice.shows(&format!(" with {grant}"))?;

    alice.types("\r\u{1d}e")?;
    alice.shows(&format!("portcullis: more time for {grant}, which has "))?;
    alice.shows("takes 1 approval by approvers; at most ")?;
    alice.shows("; ctrl-c gives up")?;
    alice.shows("for how much longer? [30m] ")?;
    alice.types("20m\r")?;
    alice.shows("why? ")?;
    alice.types("the backup still runs\r")?;
    alice.shows(&format!("portcullis: 20m more for {grant} was asked for: "))?;
    let id = pending(&site)?;
    alice.shows(&id)?;
    // The session goes on, and knows that it waits.
    alice.types("echo on $((6*7))\r")?;
    alice.shows("on 42")?;
    alice.types("\r\u{1d}t")?;
    alice.shows(&format!("more was asked for, and {id} is pending"))?;

    // It is a request like any other, and says through whom it came.
    let shown = site.bob.json(&["requests", &id])?;
    ensure!(text(&shown, "extends")? == grant && text(&shown, "reason")? == "the backup still runs", "{shown}");
    let filed = site.record(&id, "request.filed")?.to_string();
    ensure!(filed.contains("through") && filed.contains("proxy"), "{filed}");
    ensure!(!site.alice.portcullis(&["approve", &id])?.status.success(), "she approves her own");
    site.bob.portcullis(&["approve", &id])?.ok()?;
    alice.shows(&format!("portcullis: {grant} was extended: this session on root@web1 lasts until "))?;
    site.record(&grant, "grant.extended")?;

    // A second one is denied.
    alice.types("\r\u{1d}e\ronce more\r")?;
    let id = pending(&site)?;
    site.bob.portcullis(&["deny", &id, "--reason", "enough"])?.ok()?;
    alice.shows(&format!("portcullis: more time for {grant} was denied"))?;
    alice.types("exit 3\r")?;
    ensure!(alice.ends()? == 3, "{}", alice.said());
    Ok(())
}
