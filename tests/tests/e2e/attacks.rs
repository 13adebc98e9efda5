//! What a stolen laptop, an insider and an outsider try.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{PLACE, Site, run};

const SOON: Duration = Duration::from_secs(60);

/// A person's certificate opens the proxy and no server, even for someone who reaches the server directly.
#[test]
fn a_persons_certificate_does_not_open_a_target() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    site.alice.ssh(&[PLACE, "true"])?.ok()?;
    let key = site.alice.certified_key(PLACE);
    let port = site.web1.address().port().to_string();
    let mut direct = std::process::Command::new("ssh");
    direct.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
    direct.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", &port, "-i"]);
    direct.arg(&key).arg("-o").arg(format!("CertificateFile={}-cert.pub", key.display()));
    direct.args(["root@127.0.0.1", "true"]);
    let refused = run(&mut direct, SOON)?;
    ensure!(!refused.status.success() && refused.stderr.contains("Permission denied"), "{refused:?}");
    Ok(())
}

/// A certificate for one place opens no other: not another login, not another server.
#[test]
fn a_certificate_for_one_place_opens_no_other() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let proxy = format!("{}", site.proxy_port());
    let key = site.alice.certified_key(PLACE);
    for place in ["daemon+web1", "root+web2", "root", "root+", "+web1", "root+web1+web1", "root%web1"] {
        let mut command = site.alice.stock("ssh", &["-p", &proxy, "-l", place, "-i"]);
        command.arg(&key).arg("-o").arg(format!("CertificateFile={}-cert.pub", key.display()));
        command.args(["-o", "IdentitiesOnly=yes", "127.0.0.1", "id"]);
        let refused = run(&mut command, SOON)?;
        ensure!(!refused.status.success() && !refused.text().contains("uid="), "{place}: {refused:?}");
    }
    Ok(())
}

/// A key without a certificate, also a registered one, opens nothing.
#[test]
fn a_plain_key_opens_nothing() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let proxy = format!("{}", site.proxy_port());
    let mut command = site.alice.stock("ssh", &["-p", &proxy, "-o", "IdentitiesOnly=yes", "-i"]);
    command.arg(site.alice.key()).args(["-o", "CertificateFile=none", "root+web1@127.0.0.1", "id"]);
    let refused = run(&mut command, SOON)?;
    ensure!(!refused.status.success() && !refused.text().contains("uid="), "{refused:?}");
    Ok(())
}

/// What goes round the recorder is refused: forwards, an agent, X11.
#[test]
fn forwards_are_refused() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let port = site.web1.address().port();
    // The proxy's own loopback is not reachable through a jump either.
    let ran = site.alice.ssh(&["-W", &format!("127.0.0.1:{port}"), PLACE])?;
    ensure!(!ran.text().contains("SSH-2.0-OpenSSH"), "a forward went through: {ran:?}");
    let ran = site.alice.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", PLACE, "echo in"])?;
    ensure!(!ran.status.success() && !ran.text().contains("in"), "a remote forward was granted: {ran:?}");
    let ran = site.alice.ssh(&["-A", PLACE, "echo agent=$SSH_AUTH_SOCK"])?;
    ensure!(ran.text().trim() == "agent=", "an agent was forwarded: {ran:?}");
    Ok(())
}

/// The files that hold secrets are for their owner alone.
#[test]
fn secrets_are_private() -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let site = Site::start()?;
    site.grant("30m")?;
    for path in [
        site.data().join("keys").join("user-ca"),
        site.data().join("keys").join("host-ca"),
        site.data().join("keys").join("ledger"),
        site.data().join("proxy").join("host-key"),
        site.alice.certified_key(PLACE),
        site.alice.folder().join("token"),
    ] {
        let mode = std::fs::metadata(&path)?.mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", path.display());
    }
    let log = site.log();
    let token = std::fs::read_to_string(site.alice.folder().join("token"))?;
    let secret = token.split(['"', '\n', ' ']).find(|word| word.starts_with("pct_")).unwrap_or("pct_");
    ensure!(secret.len() > 20 && !log.contains(secret), "a token is in the log, or none was found in {token:?}");
    Ok(())
}
