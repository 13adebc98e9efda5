//! Forwards, from the annotation of a policy to the fact in the ledger.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Layout, Site, Way, run};

const SOON: Duration = Duration::from_secs(90);

/// A site whose only path lets web1 connect to its own sshd, and listen on a port of its choice.
fn site() -> Result<Site> {
    // The port is known when the site is there, so the policy is by range.
    let policy = r#"
        @id("asks") @permit_open("127.0.0.1:1024-65535") @permit_listen("localhost:*")
        permit (principal, action == Action::"request", resource);
        @id("reviews")
        permit (principal in Group::"approvers", action == Action::"review", resource);
        @id("connects")
        permit (principal, action == Action::"connect", resource);
        @id("administers")
        permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
    "#;
    Site::with(Layout::Apart, Some(policy))
}

#[test]
fn a_path_that_has_forwards_opens_them_and_the_ledger_tells_of_them() -> Result<()> {
    let site = site()?;
    site.grant("30m")?;
    let port = site.web1.address().port();
    for way in Way::BOTH {
        let place = way.destination(&site)?;
        let direct = |to: &str| {
            let mut ssh = site.alice.stock("ssh", &["-o", "LogLevel=INFO", "-W", to]);
            ssh.arg(&place).stdin(std::process::Stdio::null());
            run(&mut ssh, SOON)
        };
        let ran = direct(&format!("127.0.0.1:{port}"))?;
        ensure!(ran.text().contains("SSH-2.0-OpenSSH"), "{way:?}: {ran:?}");
        let ran = direct(&format!("localhost:{port}"))?;
        ensure!(ran.stderr.contains("a connection to localhost:") && ran.stderr.contains("@permit_open"), "{ran:?}");
        let mut ssh = site.alice.stock("ssh", &["-o", "LogLevel=INFO", "-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-R", "0:127.0.0.1:1"]).arg(&place).arg("echo in");
        let ran = run(&mut ssh, SOON)?;
        ensure!(ran.text().contains("in") && ran.stderr.contains("Allocated port"), "{way:?}: {ran:?}");
    }
    let told = site.carol.portcullis(&["ledger", "show", "--limit", "200"])?.ok()?.text();
    for what in [
        format!("a connection to 127.0.0.1:{port}"),
        "a listener on localhost:".to_owned(),
        format!("refuses a connection to localhost:{port}"),
        "by the end of the session".to_owned(),
    ] {
        ensure!(told.contains(&what), "{what}: {told}");
    }
    Ok(())
}
