//! What a load generator of the workspace measures or prepares: issuance, and a ledger of a million facts.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::field::{Field, grant_for};
use super::row::{Row, median};
use super::sizes::count;
use crate::site::{Ran, Server};

const CLIENTS: &str = "16";
const STARTS: usize = 5;
const LIMIT: Duration = Duration::from_secs(600);

/// Certificates a second, each durable before it is handed out, and how long one takes.
pub(crate) fn issuance(field: &mut Field) -> Result<Vec<Row>> {
    let load = field.binaries().join("load");
    let sizes = field.sizes();
    let site = field.site()?;
    let grant = grant_for(site, &site.alice, "demo@web1")?;
    let mut command = Command::new(load);
    command.args(["issuance", "--api", &site.server.api(), "--root"]).arg(site.server.data().join("tls-root.pem"));
    command.args(["--identity", site.alice.name(), "--key"]).arg(site.alice.key());
    command.args(["--grant", &grant, "--clients", CLIENTS, "--seconds", &sizes.seconds.to_string()]);
    let measured = report(&site.stage.finish(&mut command, b"", LIMIT)?)?;
    let runs =
        measured.get("certificates").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let row = |case: &str, unit: &'static str, key: &str| -> Result<Row> {
        let value = measured.get(key).and_then(Value::as_f64);
        let value = value.with_context(|| format!("the load generator did not say {key}"))?;
        Ok(Row::alone("issuance", case, unit, value, runs))
    };
    let clients = format!("{CLIENTS} clients");
    Ok(vec![
        row(&clients, "/s", "per_second")?,
        row(&format!("{clients}, p50"), "ms", "p50_ms")?,
        row(&format!("{clients}, p99"), "ms", "p99_ms")?,
    ])
}

/// From the start of `portcullis up` to everything answering, with many facts in the ledger: as it was laid down,
/// and with the indexes thrown away.
pub(crate) fn start(field: &mut Field) -> Result<Vec<Row>> {
    let (load, portcullis) = (field.binaries().join("load"), field.binaries().join("portcullis"));
    let facts = field.sizes().facts;
    let site = field.site()?;
    let server = Server::init(&site.stage, &portcullis, "million", &site.carol)?;
    let start = || -> Result<f64> { Ok(server.up(&site.stage)?.1.as_secs_f64()) };
    start()?;
    let mut command = Command::new(load);
    command.args(["facts", "--count", &facts.to_string(), "--data"]).arg(server.data());
    report(&site.stage.finish(&mut command, b"", LIMIT)?)?;

    let (mut usual, mut rebuilt) = (Vec::new(), Vec::new());
    // The first start catches the indexes up, and leaves a snapshot.
    start()?;
    for _ in 0..STARTS {
        usual.push(start()?);
        server.forget_index()?;
        rebuilt.push(start()?);
    }
    let row = |case: &str, seconds: &[f64]| -> Result<Row> {
        let value = median(seconds).context("nothing was measured")?;
        Ok(Row::alone("start", format!("{} facts, {case}", count(facts)), "s", value, STARTS))
    };
    Ok(vec![row("usual", &usual)?, row("indexes rebuilt", &rebuilt)?])
}

pub(crate) fn report(ran: &Ran) -> Result<Value> {
    ensure!(ran.status.success(), "the load generator failed ({})\n{}", ran.status, ran.text());
    serde_json::from_slice(&ran.stdout).context("the load generator did not print JSON")
}
