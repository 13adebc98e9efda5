//! Stock ssh to `root@web1`, and a connection that others go through.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Site, Way, run, wait_for};
use serde_json::Value;

/// The longest that one step may take, on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A site with an active grant.
pub(crate) fn site() -> Result<(Site, String)> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    Ok((site, grant))
}

/// The command for stock ssh, this way. Options are the words in front that begin with a dash, each whole in one word.
pub(crate) fn ssh(site: &Site, way: Way, words: &[&str]) -> Result<Command> {
    let mut command = site.alice.stock("ssh", &[]);
    let (options, rest) = words.split_at(words.iter().take_while(|word| word.starts_with('-')).count());
    command.args(options).arg(way.destination(site)?).args(rest);
    Ok(command)
}

/// A connection that others go through.
pub(crate) struct Master<'a> {
    site: &'a Site,
    way: Way,
    /// The client that has it.
    pub(crate) process: Background,
}

impl<'a> Master<'a> {
    /// Starts it, without a channel of its own.
    pub(crate) fn start(site: &'a Site, way: Way) -> Result<Self> {
        Self::with(site, way, &[])
    }

    /// Starts it with more options.
    pub(crate) fn with(site: &'a Site, way: Way, options: &[&str]) -> Result<Self> {
        let socket = socket(site, way);
        let process = Background::start(
            "the master",
            &mut ssh(site, way, &[&["-MN", &socket], options].concat())?,
            &site.path("master.log"),
        )?;
        let mut master = Self { site, way, process };
        wait_for("the master", LIMIT, || {
            master.process.check()?;
            Ok(run(&mut master.muxed(&["-Ocheck"])?, LIMIT)?.status.success().then_some(()))
        })?;
        Ok(master)
    }

    /// The command for ssh through it.
    pub(crate) fn muxed(&self, words: &[&str]) -> Result<Command> {
        let socket = socket(self.site, self.way);
        ssh(self.site, self.way, &[&["-oControlMaster=no", &socket], words].concat())
    }

    /// Gives it an order, which it must obey; returns what it said.
    pub(crate) fn order(&self, words: &[&str]) -> Result<String> {
        Ok(run(&mut self.muxed(words)?, LIMIT)?.ok().with_context(|| format!("{words:?}, {:?}", self.way))?.text())
    }
}

/// Where ssh meets the master of this way.
pub(crate) fn socket(site: &Site, way: Way) -> String {
    format!("-oControlPath={}", site.path(&format!("mux-{way:?}")).display())
}

/// The facts of a kind that the ledger has under a grant, in order.
pub(crate) fn facts(site: &Site, grant: &str, kind: &str) -> Result<Vec<Value>> {
    let page = site.dana.json(&["ledger", "show", "--request", grant, "--kind", kind])?;
    let records = page.as_array().with_context(|| format!("no array: {page}"))?;
    Ok(records.iter().map(|record| record.get("fact").unwrap_or(record).clone()).collect())
}

/// Waits until so many facts of a kind hold what is asked of them.
pub(crate) fn facts_where(
    site: &Site,
    grant: &str,
    kind: &str,
    count: usize,
    holds: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>> {
    let mut last = Vec::new();
    let found = wait_for(&format!("{count} facts {kind}"), LIMIT, || {
        last = facts(site, grant, kind)?;
        let found: Vec<_> = last.iter().filter(|fact| holds(fact)).cloned().collect();
        Ok((found.len() >= count).then_some(found))
    });
    let found = found.with_context(|| format!("there are {last:#?}"))?;
    ensure!(found.len() == count, "{} facts {kind} instead of {count}: {found:#?}", found.len());
    Ok(found)
}
