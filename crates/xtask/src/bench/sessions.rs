//! Many live sessions, which the load generator holds from one process.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::field::{Field, grant_for};
use super::load::report;
use super::row::{Row, percentile};
use super::sizes::count;
use crate::run::capture;
use crate::site::{Background, Site, free_port};

const LIMIT: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(20);
/// How many sessions are being set up at a time.
const AT_ONCE: &str = "32";

/// How many sessions a second come up, one after the other with no pause, and what an idle one costs in memory. The
/// server is CA and proxy in one process, as `portcullis up` runs them.
pub(crate) fn live_sessions(field: &mut Field) -> Result<Vec<Row>> {
    let place = Place::stub(field)?;
    field.ground()?.site.restart()?;
    let sessions = field.sizes().large;
    let crowd = Crowd::gather_and_drop(field, &place, &[sessions], false)?;
    Ok(rows(sessions, &crowd))
}

fn rows(sessions: usize, crowd: &Crowd) -> Vec<Row> {
    let case = |what: &str| format!("{} sessions{what}", count(sessions));
    let row = |name, what, unit, value| Row::alone(name, case(what), unit, value, sessions);
    let mut rows = vec![
        row("memory-per-session", "", "KiB", crowd.memory_per_session_kib),
        row("live-sessions", ", memory", "MiB", crowd.memory_mib),
        row("sessions-per-second", "", "/s", crowd.per_second),
    ];
    for (what, percent) in [(", set-up, p50", 50.0), (", set-up, p99", 99.0)] {
        let value = percentile(&crowd.setup_ms, percent);
        rows.extend(value.map(|value| row("sessions-per-second", what, "ms", value)));
    }
    rows
}

/// Where the sessions go.
pub(crate) struct Place {
    target: &'static str,
    command: &'static str,
    _stub: Option<Background>,
}

impl Place {
    /// The real sshd.
    pub(crate) fn sshd(field: &mut Field) -> Result<Self> {
        field.site()?;
        Ok(Self { target: "web1", command: "echo up; exec sleep 3600", _stub: None })
    }

    /// The load generator's target, which holds thousands of sessions and trusts the session certificate as sshd does.
    pub(crate) fn stub(field: &mut Field) -> Result<Self> {
        let load = field.binaries().join("load");
        let Site { carol, server, stage, .. } = field.site()?;
        let (folder, address) = (stage.folder("stub")?, format!("127.0.0.1:{}", free_port()?));
        let key = folder.join("host_key");
        if !key.exists() {
            capture(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "stub", "-f"]).arg(&key))?;
        } else {
            carol.run(stage, &["target", "remove", "stub"])?;
        }
        let mut command = Command::new(load);
        command.args(["target", "--listen", &address, "--principal", "demo@stub", "--host-key"]).arg(&key);
        command.arg("--user-ca").arg(server.data().join("keys").join("user-ca.pub"));
        let mut stub = Background::start(stage, "stub", &mut command)?;
        stage.wait("the stub target to listen", SOON, || {
            stub.check()?;
            Ok(TcpStream::connect(&address).ok())
        })?;
        let mut add = carol.portcullis(&["target", "add", "stub", "--login", "demo", "--label", "env=prod", "--pin"]);
        add.args(["--address", &address, "--host-key"]).arg(key.with_extension("pub"));
        carol.finish(stage, &mut add)?;
        Ok(Self { target: "stub", command: "hold", _stub: Some(stub) })
    }
}

/// What was measured of many sessions, from their first byte to their drop. None of them is left.
pub(crate) struct Crowd {
    pub(crate) per_second: f64,
    pub(crate) memory_mib: f64,
    pub(crate) memory_per_session_kib: f64,
    pub(crate) setup_ms: Vec<f64>,
    pub(crate) cut_ms: Vec<f64>,
    pub(crate) drop_ms: Vec<f64>,
}

impl Crowd {
    /// Opens sessions of as many grants as there are numbers, and revokes the first grant, or locks everything.
    pub(crate) fn gather_and_drop(field: &mut Field, place: &Place, sessions: &[usize], lock: bool) -> Result<Self> {
        let load = field.binaries().join("load");
        let site = field.site()?;
        let Site { alice, bob, server, stage, .. } = site;
        let at = format!("demo@{}", place.target);
        let grants = sessions.iter().map(|_| grant_for(site, alice, &at)).collect::<Result<Vec<_>>>()?;
        let parts: Vec<String> = grants.iter().zip(sessions).map(|(grant, count)| format!("{grant}:{count}")).collect();
        let order = match grants.first() {
            Some(grant) if !lock => format!("revoke:{grant}"),
            _ => "lock".to_owned(),
        };
        let mut command = Command::new(load);
        command.args(["sessions", "--api", &server.api(), "--root"]).arg(server.data().join("tls-root.pem"));
        command.args(["--proxy", &server.proxy(), "--user", &format!("demo+{}", place.target)]);
        command.args(["--command", place.command, "--grants", &parts.join(","), "--order", &order]);
        command.args(["--identity", alice.name(), "--key"]).arg(alice.key());
        command.args(["--reviewer", bob.name(), "--reviewer-key"]).arg(bob.key());
        command.args(["--at-once", AT_ONCE, "--pid", &site.process().to_string()]);
        let said = report(&stage.finish(&mut command, b"", LIMIT)?)?;
        // A grant that is left over would count among those that a person may hold.
        for grant in grants.iter().skip(usize::from(!lock)) {
            bob.run(stage, &["revoke", grant, "--reason", "bench"])?;
        }
        Self::read(&said).context("the load generator did not say everything")
    }

    fn read(said: &Value) -> Option<Self> {
        let number = |key: &str| said.get(key)?.as_f64();
        let list = |key: &str| said.get(key)?.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
        Some(Self {
            per_second: number("per_second")?,
            memory_mib: number("memory_mib")?,
            memory_per_session_kib: number("memory_per_session_kib")?,
            setup_ms: list("setup_ms")?,
            cut_ms: list("cut_ms")?,
            drop_ms: list("drop_ms")?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Crowd, Row, rows};
    use crate::bench::sizes::Sizes;

    /// As the benchmark would give them.
    pub(crate) fn made_up() -> Vec<Row> {
        let crowd = Crowd {
            per_second: 200.0,
            memory_mib: 600.0,
            memory_per_session_kib: 90.0,
            setup_ms: vec![1.0, 2.0, 3.0],
            cut_ms: Vec::new(),
            drop_ms: Vec::new(),
        };
        rows(Sizes::FULL.large, &crowd)
    }

    #[test]
    fn a_crowd_has_a_row_for_each_of_its_names() {
        let rows = made_up();
        let found: Vec<_> = rows.iter().map(|row| (row.name, row.case.as_str(), row.value)).collect();
        assert_eq!(
            found,
            [
                ("memory-per-session", "5,000 sessions", 90.0),
                ("live-sessions", "5,000 sessions, memory", 600.0),
                ("sessions-per-second", "5,000 sessions", 200.0),
                ("sessions-per-second", "5,000 sessions, set-up, p50", 2.0),
                ("sessions-per-second", "5,000 sessions, set-up, p99", 3.0),
            ]
        );
    }
}
