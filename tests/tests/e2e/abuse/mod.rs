//! What an abuser tries: without a name at the door, with one behind it, and from a target. SECURITY.md has the table.

mod audit;
mod client;
mod door;
mod target;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Finished, Layout, PLACE, Site, Way, run, tool, wait_for};
use serde_json::{Value, json};

/// The longest that anything here may take, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(240);
/// By how much the proxy may grow while it is abused, in KiB. What it may hold for one channel is a window of 2 MiB each
/// way, and 4 MiB of answers for one connection; the rest is what the allocator keeps of a busy moment. The attacks
/// here offer several times as much.
const ROOM: u64 = 48 << 10;

/// A site whose proxy is a process of its own, and alice with a grant.
struct Siege {
    site: Site,
    grant: String,
    proxy: u32,
    before: u64,
}

impl Siege {
    fn start() -> Result<Self> {
        Self::with("", &[])
    }

    /// The same, with these settings of the proxy, and grants for these places besides.
    fn with(settings: &str, places: &[&str]) -> Result<Self> {
        let mut site = Site::with(Layout::Apart, None)?;
        if !settings.is_empty() {
            let file = site.folder().join("portcullis.toml");
            let text = fs::read_to_string(&file)?.replace("\n[proxy]\n", &format!("\n[proxy]\n{settings}\n"));
            ensure!(text.contains(settings), "{text}");
            fs::write(file, text)?;
            site.kill_servers();
            site.restart_servers()?;
        }
        let grant = site.grant("30m")?;
        // What every session needs is not counted.
        site.alice.ssh(&[PLACE, "head -c 20000000 /dev/zero"])?.ok()?;
        for place in places {
            site.grant_for(place, "30m")?;
        }
        let proxy = pid(&site.path("ready-1"))?;
        // From here on the high-water mark is counted anew (proc(5), clear_refs).
        fs::write(format!("/proc/{proxy}/clear_refs"), "5")?;
        let before = peak(proxy)?;
        Ok(Self { site, grant, proxy, before })
    }

    /// Where a client of our own goes, as alice.
    fn route(&self, target: &str) -> Result<String> {
        let key = self.site.alice.certified_key(&format!("root@{target}"));
        let certificate = format!("{}-cert.pub", key.display());
        let known_hosts = self.site.alice.folder().join("known_hosts");
        let more = json!({ "key": key, "certificate": certificate, "known_hosts": known_hosts });
        Ok(Way::Plus.route(&self.site, target, &more)?.to_string())
    }

    /// Has the client that keeps to no rule do this; returns what it says of it.
    fn abuse(&self, target: &str, verb: &str) -> Result<Finished> {
        let mut command = Command::new(tool("python/bin/python3")?);
        command.arg(script("client.py")).args([&self.route(target)?, verb]);
        command.env("HOME", self.site.alice.home()).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("SSH_AUTH_SOCK");
        run(&mut command, LIMIT)?.ok().with_context(|| format!("{verb}\n{}", self.site.log()))
    }

    /// Facts of this kind under a grant.
    fn facts(&self, grant: &str, kind: &str) -> Result<Vec<Value>> {
        let page = self.site.dana.json(&["ledger", "show", "--request", grant, "--kind", kind])?;
        Ok(page.as_array().cloned().or_else(|| page.get("records")?.as_array().cloned()).unwrap_or_default())
    }

    /// The ledger knows how each session under this grant ended, and there were so many at least.
    fn every_end_is_a_fact(&self, grant: &str, sessions: usize) -> Result<()> {
        wait_for("the ends of all sessions", Duration::from_secs(90), || {
            let (opened, ended) = (self.facts(grant, "session.opened")?, self.facts(grant, "session.ended")?);
            Ok((opened.len() >= sessions && opened.len() == ended.len()).then_some(()))
        })
        .with_context(|| self.site.log())
    }

    /// The proxy is there, has not grown beyond all bounds, and lets people in as before.
    fn stands(&self) -> Result<()> {
        let now = peak(self.proxy)?;
        ensure!(now < self.before + ROOM, "{} KiB before, {now} KiB at most", self.before);
        let ran = self.site.alice.ssh(&[PLACE, "echo in"])?;
        ensure!(ran.text() == "in\n", "{ran:?}\n{}", self.site.log());
        ensure!(!self.site.log().contains("panicked"), "{}", self.site.log());
        Ok(())
    }
}

/// A script that stands beside this file.
fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/abuse").join(name)
}

/// The process that was told to make this file.
fn pid(ready: &Path) -> Result<u32> {
    let ready = ready.display().to_string();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended in between has none.
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.split(|byte| *byte == 0).any(|word| word == ready.as_bytes()) {
            return Ok(pid);
        }
    }
    anyhow::bail!("no process for {ready}")
}

/// The most resident memory that a process had, in KiB.
fn peak(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no high-water mark")?;
    Ok(line.split_whitespace().next().context("a number")?.parse()?)
}

/// What a person was shown may move no cursor and clear no screen.
fn harmless(text: &str) -> Result<()> {
    ensure!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r')), "{text:?}");
    ensure!(text.len() < 4096, "{} bytes: {text:.500}", text.len());
    Ok(())
}
