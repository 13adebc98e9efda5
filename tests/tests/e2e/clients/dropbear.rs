//! Dropbear's `dbclient`. It knows no certificates, so it logs in with a registered key while a grant is active.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use portcullis_tests::{Site, Way, run};

use super::scripted::proxys_plain_key;
use super::{Client, LIMIT, carries_everything, redirected, text};

#[test]
fn dbclient() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let dropbear = Dropbear::new(&site)?;
    carries_everything(&site, &grant, &dropbear)
}

pub(super) struct Dropbear<'a> {
    site: &'a Site,
    /// The key in dropbear's own form.
    key: PathBuf,
}

impl<'a> Dropbear<'a> {
    pub(super) fn new(site: &'a Site) -> Result<Self> {
        Self::with_key(site, &site.alice.key())
    }

    /// The key in dropbear's own form, and the plain host key of the proxy.
    pub(super) fn with_key(site: &'a Site, key: &Path) -> Result<Self> {
        let own_form = key.with_extension("dropbear");
        let mut convert = Command::new("dropbearconvert");
        convert.args(["openssh", "dropbear"]).arg(key).arg(&own_form);
        run(&mut convert, LIMIT)?.ok()?;
        let key = proxys_plain_key(site)?;
        let known = format!("127.0.0.1 {key}\n[127.0.0.1]:{} {key}\nweb1 {key}\n", site.proxy_port());
        fs::write(site.alice.home().join(".ssh").join("known_hosts"), known)?;
        Ok(Self { site, key: own_form })
    }

    /// It goes there with these options, and with no command yet.
    pub(super) fn going(&self, way: Way, options: &[&str]) -> Command {
        // To jump it calls itself, by the name by which it was called, and looks nowhere for that.
        let mut dbclient = Command::new("/usr/bin/dbclient");
        dbclient.env("HOME", self.site.alice.home()).env_remove("SSH_AUTH_SOCK");
        dbclient.arg("-T").arg("-i").arg(&self.key).args(options);
        let port = self.site.proxy_port();
        match way {
            Way::Plus => dbclient.args(["-p", &port.to_string(), "root+web1@127.0.0.1"]),
            // Its own multihop syntax.
            Way::Jump => dbclient.arg(format!("jump=alice@127.0.0.1/{port},root@web1")),
        };
        dbclient
    }
}

impl Client for Dropbear<'_> {
    fn run(&self, way: Way, command: &str) -> Result<Command> {
        let mut dbclient = self.going(way, &[]);
        dbclient.arg(command);
        Ok(dbclient)
    }

    /// It brings no program to move files.
    fn transfers(&self) -> &'static [&'static str] {
        &["cat"]
    }

    fn put(&self, _: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        Ok(redirected(&self.run(way, &format!("cat > {}", text(to)))?, from, Path::new("/dev/null")))
    }

    fn get(&self, _: &str, way: Way, from: &Path, to: &Path) -> Result<Command> {
        Ok(redirected(&self.run(way, &format!("cat {}", text(from)))?, Path::new("/dev/null"), to))
    }
}
