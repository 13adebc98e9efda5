//! dropbear as the server: it knows no certificates, so the CA holds a key for it and signs each session's log-in. Every
//! client is carried to it as to sshd.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Dropbear, Layout, PLACE, Site, Way, run, text};
use serde_json::Value;

use super::openssh::OpenSsh;
use super::putty::Putty;
use super::scripted::Scripted;
use super::{LIMIT, carries_everything, dropbear};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn openssh_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &OpenSsh { site: &site, config: None })
}

/// With a plain key at one end and a target key at the other there is no certificate anywhere.
#[test]
fn dbclient_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &dropbear::Dropbear::new(&site)?)
}

#[test]
fn putty_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Putty::new(&site)?)
}

#[test]
fn asyncssh_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::asyncssh(&site))
}

#[test]
fn paramiko_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::paramiko(&site)?)
}

#[test]
fn node_ssh2_to_dropbear() -> Result<()> {
    let (site, _dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    carries_everything(&site, &grant, &Scripted::ssh2(&site)?)
}

#[test]
fn a_terminal_and_forwards_as_the_path_and_the_key_allow() -> Result<()> {
    let policy = r#"
        @id("asks") @permit_open("127.0.0.1:*")
        permit (principal, action == Action::"request", resource);
        @id("reviews")
        permit (principal in Group::"approvers", action == Action::"review", resource);
        @id("connects")
        permit (principal, action == Action::"connect", resource);
        @id("administers")
        permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
    "#;
    let (site, dropbear) = site(Some(policy), &["--forwards"])?;
    site.grant("30m")?;
    let to = format!("127.0.0.1:{}", site.web1.address().port());
    let direct = |way: Way| {
        let mut ssh = site.alice.stock("ssh", &["-o", "LogLevel=INFO", "-W", &to]);
        run(ssh.arg(way.destination(&site)?).stdin(Stdio::null()), SOON)
    };
    for way in Way::BOTH {
        let mut ssh = site.alice.stock("ssh", &["-tt"]);
        let ran = run(ssh.arg(way.destination(&site)?).arg("tty; exit 5"), SOON)?;
        ensure!(ran.text().contains("/dev/pts/") && ran.status.code() == Some(5), "{way:?}: {ran:?}");
        let ran = direct(way)?;
        ensure!(ran.text().contains("SSH-2.0-OpenSSH"), "{way:?}: {ran:?}");
    }
    // The line as it is printed without being asked for more: the server refuses too, whatever the path says.
    let line = site.carol.portcullis(&["target", "key", "web1"])?.ok()?.text();
    ensure!(line.starts_with("no-port-forwarding,no-agent-forwarding,no-X11-forwarding ssh-ed25519 "), "{line}");
    dropbear.authorize(line.trim())?;
    let ran = direct(Way::Jump)?;
    ensure!(!ran.text().contains("SSH-2.0-OpenSSH") && !ran.status.success(), "{ran:?}");
    Ok(())
}

/// No key yet, a key that is not there yet, one that is, another one, none.
#[test]
fn a_target_key_from_its_making_to_its_end() -> Result<()> {
    let site = Site::with(Layout::Apart, None)?;
    let dropbear = Dropbear::start(&site.path("dropbear"))?;
    let refused =
        site.carol.portcullis(&["target", "add", "web1", "--replace", "--login", "root", "--address", "a"])?;
    ensure!(refused.status.success(), "{refused:?}");
    let first = take_over(&site, &dropbear, &[])?;
    let grant = site.grant("30m")?;
    let ssh = || site.alice.ssh(&[PLACE, "echo in"]);

    let unknown = ssh()?;
    ensure!(
        !unknown.status.success() && unknown.stderr.contains("is it in the authorized_keys of root"),
        "{unknown:?}"
    );
    dropbear.authorize(&first)?;
    ensure!(ssh()?.ok()?.text() == "in\n", "{}", dropbear.log());
    let used = site.record(&grant, "target.key-used")?;
    ensure!(used.to_string().contains("\"login\":\"root\""), "{used}");
    let listed = site.carol.json(&["target", "list"])?;
    let key = fingerprint(&listed).context("no key is listed")?;
    ensure!(dropbear.log().contains(&key), "{key}: {}", dropbear.log());

    let rotated = site.carol.json(&["target", "key", "web1", "--rotate"])?;
    let second = text(&rotated, "authorized-keys")?;
    ensure!(second != first && !ssh()?.status.success(), "the old key still opens it");
    dropbear.authorize(&second)?;
    ensure!(ssh()?.ok()?.text() == "in\n", "{}", dropbear.log());

    let held = site.carol.portcullis(&["target", "add", "web1", "--replace", "--login", "root", "--address", "a"])?;
    ensure!(!held.status.success() && held.stderr.contains("--target-key"), "{held:?}");
    site.carol.portcullis(&["target", "key", "web1", "--destroy"])?.ok()?;
    let none = ssh()?;
    ensure!(!none.status.success() && none.stderr.contains("there is no target key for web1"), "{none:?}");
    // Who only looks makes none.
    let looked = site.carol.portcullis(&["target", "key", "web1"])?;
    let says = ["the key of web1 was destroyed at ", "portcullis target key web1 --new"];
    ensure!(!looked.status.success() && says.iter().all(|text| looked.stderr.contains(text)), "{looked:?}");
    ensure!(fingerprint(&site.carol.json(&["target", "list"])?).is_none(), "a key was made by looking");
    site.carol.portcullis(&["target", "key", "web1", "--new"])?.ok()?;
    let twice = site.carol.portcullis(&["target", "key", "web1", "--new"])?;
    ensure!(!twice.status.success() && twice.stderr.contains("--rotate"), "{twice:?}");
    site.carol.portcullis(&["target", "remove", "web1"])?.ok()?;
    let left = fs::read_dir(site.data().join("keys").join("targets"))?.count();
    ensure!(left == 0, "{left} files of keys are left");
    let told = site.carol.portcullis(&["ledger", "show", "--limit", "200"])?.ok()?.text();
    for what in ["makes the key of the target web1", "destroys the key of the target web1", "signs the log-in of ses-"]
    {
        ensure!(told.contains(what), "{what}: {told}");
    }
    site.carol.portcullis(&["ledger", "verify", &site.data().display().to_string()])?;
    Ok(())
}

/// What answers at its address must be it: nothing is asked of the CA for another host.
#[test]
fn another_host_in_its_place_gets_nothing() -> Result<()> {
    let (site, dropbear) = site(None, &[])?;
    let grant = site.grant("30m")?;
    let other = Dropbear::start(&site.path("other"))?;
    let line = site.carol.portcullis(&["target", "key", "web1"])?.ok()?.text();
    other.authorize(line.trim())?;
    let address = other.address().to_string();
    let host_key = dropbear.host_key().display().to_string();
    let words = ["target", "add", "web1", "--replace", "--login", "root", "--label", "env=prod", "--target-key"];
    site.carol.portcullis(&[&words[..], &["--address", &address, "--host-key", &host_key]].concat())?.ok()?;
    let refused = run(&mut site.alice.stock("ssh", &[PLACE, "echo in"]), LIMIT)?;
    ensure!(!refused.status.success() && refused.stderr.contains("not the pinned"), "{refused:?}");
    let used = site.dana.json(&["ledger", "show", "--request", &grant, "--kind", "target.key-used"])?;
    ensure!(used.as_array().is_some_and(Vec::is_empty), "{used}");
    Ok(())
}

/// A site whose web1 is a dropbear that knows the target key.
fn site(policy: Option<&str>, more: &[&str]) -> Result<(Site, Dropbear)> {
    let site = Site::with(Layout::Together, policy)?;
    let dropbear = Dropbear::start(&site.path("dropbear"))?;
    let line = take_over(&site, &dropbear, more)?;
    dropbear.authorize(&line)?;
    Ok((site, dropbear))
}

/// Puts dropbear into web1's place; returns the line for its `authorized_keys`.
fn take_over(site: &Site, dropbear: &Dropbear, more: &[&str]) -> Result<String> {
    let (address, host_key) = (dropbear.address().to_string(), dropbear.host_key().display().to_string());
    let words = ["target", "add", "web1", "--replace", "--login", "root", "--label", "env=prod", "--target-key"];
    let added = site.carol.json(&[&words[..], &["--address", &address, "--host-key", &host_key], more].concat())?;
    text(&added, "authorized-keys")
}

fn fingerprint(listed: &Value) -> Option<String> {
    let targets = listed.as_array()?;
    targets.iter().find_map(|target| target.get("target_key")?.as_str().map(str::to_owned))
}
