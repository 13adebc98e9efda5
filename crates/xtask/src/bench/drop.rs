//! From a revocation to closed sockets, with many live sessions of one grant.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::field::{CIPHERS, Way, grant};
use super::row::{Row, percentile};
use crate::site::Site;
use crate::site::json::list;

const SESSIONS: usize = 200;
const ROUNDS: usize = 5;
/// How many connect at a time.
const AT_ONCE: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);

/// Both moments are facts of the ledger: when the revocation was decided, and when the proxy had closed the sockets.
pub(crate) fn revoke_to_drop(site: &Site) -> Result<Vec<Row>> {
    let mut drops = Vec::new();
    for _ in 0..ROUNDS {
        drops.extend(round(site)?);
    }
    let cases = [("p50", 50.0), ("p99", 99.0), ("max", 100.0)];
    let row = |(case, percent): (&str, f64)| {
        let value = percentile(&drops, percent).context("nothing was measured")?;
        let case = format!("{SESSIONS} sessions, {case}");
        Ok(Row { name: "revoke-to-drop", case, unit: "ms", value, baseline: None, runs: drops.len() })
    };
    cases.into_iter().map(row).collect()
}

fn round(site: &Site) -> Result<Vec<f64>> {
    let Site { bob, stage, .. } = site;
    let grant = grant(site)?;
    let mut clients = Clients(Vec::new());
    while clients.0.len() < SESSIONS {
        let started: Vec<Child> =
            (0..AT_ONCE.min(SESSIONS - clients.0.len())).map(|_| connect(site)).collect::<Result<_>>()?;
        clients.0.extend(started);
        let from = clients.0.len().saturating_sub(AT_ONCE);
        for client in clients.0.iter_mut().skip(from) {
            let output = client.stdout.take().context("a session has no output")?;
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line)?;
            ensure!(line == "up\n", "a session did not begin");
        }
        ensure!(!stage.interrupted(), "interrupted");
    }
    bob.run(stage, &["revoke", &grant, "--reason", "bench"])?;
    for client in &mut clients.0 {
        stage.wait("the end of every session", LIMIT, || Ok(client.try_wait()?))?;
    }
    stage.wait("a receipt for every session", LIMIT, || {
        let sessions = bob.json(stage, &["sessions", "--all"])?;
        let drops: Vec<f64> = list(&sessions)
            .iter()
            .filter(|session| session["request"] == grant.as_str())
            .filter_map(|session| session["drop_micros"].as_f64().map(|micros| micros / 1000.0))
            .collect();
        Ok((drops.len() == SESSIONS).then_some(drops))
    })
}

fn connect(site: &Site) -> Result<Child> {
    let (cipher, _) = CIPHERS.first().context("no cipher")?;
    let mut ssh = Way::Login.ssh(site, cipher, "echo up; exec sleep 3600");
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot start ssh")
}

/// Live clients; none of them outlives the round.
struct Clients(Vec<Child>);

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}
