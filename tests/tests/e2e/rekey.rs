//! New keys while bytes pass both ways: on the way to the proxy and on the way to the target, asked for by either end of
//! each, by volume and by time; with each client.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Finished, Site, Way, run};

use crate::clients::{noise, redirected, rekeying, same};
use crate::stock::{LIMIT, site, ssh};

/// What passes each way through a client whose own limits are used.
const MANY: usize = 64 << 20;
/// What passes through each of the others.
const SOME: usize = 8 << 20;

/// With every cipher; and by time, while few bytes pass.
#[test]
fn a_client_that_asks_for_new_keys_gets_them() -> Result<()> {
    let (site, _) = site()?;
    fs::write(site.path("g"), noise(SOME))?;
    for way in Way::BOTH {
        for cipher in
            ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]
        {
            let cipher = format!("-oCiphers={cipher}");
            let ran = echoed(&site, &ssh(&site, way, &["-v", "-oRekeyLimit=1M", &cipher, "cat"])?, "g")
                .with_context(|| format!("{way:?}, {cipher}"))?;
            ensure!(exchanges(&ran) > 4, "{way:?}, {cipher}: {} exchanges", exchanges(&ran));
        }
        let slow = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; exit 4";
        let ran = run(&mut ssh(&site, way, &["-v", "-oRekeyLimit=default 1", slow])?, LIMIT)?;
        ensure!(ran.status.code() == Some(4) && ran.text() == "1\n2\n3\n4\n5\n6\n", "{way:?}: {ran:?}");
        ensure!(exchanges(&ran) > 2, "{way:?}: {} exchanges", exchanges(&ran));
    }
    Ok(())
}

/// The client, the proxy towards both, and the target: each asks whenever it likes, so that two ask at once.
#[test]
fn all_ends_ask_for_new_keys_at_once() -> Result<()> {
    let site = impatient("rekey-limit = 1048576\nrekey-time = \"1s\"\n")?;
    let web2 = site.server("web2", &["-t", "ed25519"], "RekeyLimit 1M 1\nLogLevel DEBUG1\n")?;
    site.grant_for("root@web2", "30m")?;
    fs::write(site.path("g"), noise(MANY))?;
    for way in Way::BOTH {
        let place = way.destination(&site)?.replace("web1", "web2");
        let before = web2.log().matches("SSH2_MSG_NEWKEYS received").count();
        let mut ssh = site.alice.stock("ssh", &["-v", "-oRekeyLimit=1M 1"]);
        ssh.args([&place, "cat"]);
        let ran = echoed(&site, &ssh, "g").with_context(|| format!("{way:?}\n{}", site.log()))?;
        let there = web2.log().matches("SSH2_MSG_NEWKEYS received").count() - before;
        ensure!(exchanges(&ran) > 20 && there > 20, "{way:?}: {} and {there} exchanges", exchanges(&ran));
    }
    Ok(())
}

/// The proxy alone asks, of clients that would not by themselves; and those that can ask, too.
#[test]
fn each_client_goes_on_under_new_keys() -> Result<()> {
    let site = impatient("rekey-limit = 1048576\n")?;
    site.grant("30m")?;
    fs::write(site.path("g"), noise(SOME))?;
    for way in Way::BOTH {
        let ran = echoed(&site, &ssh(&site, way, &["-v", "cat"])?, "g").with_context(|| format!("ssh, {way:?}"))?;
        ensure!(exchanges(&ran) > 4, "{way:?}: the proxy asked for {} exchanges", exchanges(&ran));
        for (name, command) in rekeying(&site, way)? {
            echoed(&site, &command, "g").with_context(|| format!("{name}, {way:?}\n{}", site.log()))?;
        }
    }
    Ok(())
}

/// A site whose proxy soon wants new keys.
fn impatient(settings: &str) -> Result<Site> {
    let mut site = Site::start()?;
    site.kill_servers();
    let file = site.folder().join("portcullis.toml");
    let written = fs::read_to_string(&file)?;
    let table = written.find("\n[proxy]\n").context("no table [proxy]")? + "\n[proxy]\n".len();
    let (before, after) = written.split_at(table);
    fs::write(&file, format!("{before}{settings}{after}"))?;
    site.restart_servers()?;
    Ok(site)
}

/// Runs `cat` with a file on its input: the same comes back.
fn echoed(site: &Site, command: &Command, file: &str) -> Result<Finished> {
    let (from, to) = (site.path(file), site.path("f"));
    let ran = run(&mut redirected(command, &from, Path::new(&to)), LIMIT)?.ok()?;
    same(&from, &to)?;
    Ok(ran)
}

fn exchanges(ran: &Finished) -> usize {
    ran.stderr.matches("SSH2_MSG_NEWKEYS received").count()
}
