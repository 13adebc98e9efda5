//! Clients that send and receive while keys are exchanged again. What each is asked by the proxy, those that have a setting
//! ask by themselves as well.

use std::fs;
use std::process::Command;

use anyhow::Result;
use portcullis_tests::{Site, Way};

use super::Client as _;
use super::dropbear::Dropbear;
use super::putty::{Putty, host};
use super::scripted::Scripted;

/// Each client with its name, about to run `cat`.
pub(crate) fn rekeying(site: &Site, way: Way) -> Result<Vec<(&'static str, Command)>> {
    let putty = Putty::new(site)?;
    // Only a stored session can say it.
    let sessions = site.alice.home().join(".putty").join("sessions");
    fs::create_dir_all(&sessions)?;
    fs::write(sessions.join("impatient"), "Protocol=ssh\nRekeyBytes=1M\nRekeyTime=1\n")?;
    let mut plink = putty.program("plink", way);
    plink.args(["-load", "impatient", "-ssh", host(way), "cat"]);
    Ok(vec![
        ("PuTTY", plink),
        ("dropbear", Dropbear::new(site)?.run(way, "cat")?),
        ("asyncssh", Scripted::asyncssh(site).call(way, &["echo", "cat"])?),
        ("paramiko", Scripted::paramiko(site)?.call(way, &["echo", "cat"])?),
        ("ssh2", Scripted::ssh2(site)?.call(way, &["echo", "cat"])?),
    ])
}
