//! `portcullis revoke`: take a grant back; the portcullis drops.

use std::time::{Duration, Instant};

use api::Client;
use api::wire::{self, Grant, Session};

use crate::context::Context;
use crate::error::CliError;
use crate::show::field;
use crate::words::{count, milliseconds};
use crate::{ask, ids, pages, show};

/// The longest wait for the receipts of the dropped sessions. The drop itself waits for nobody.
const RECEIPTS: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// Revoke a grant: its live sessions are dropped at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The grant: its id, a unique beginning of it, or LOGIN@TARGET when only one is open there
    id: String,
    /// Why, for the person who is dropped and for the ledger
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::optional(args.reason.as_deref())?;
    let client = context.client().await?;
    let id = ids::anyones_grant(&client, &args.id).await?;
    let revoked = client.revoke(&id, &wire::Revoke { reason }).await?;
    let live = revoked.sessions;
    let grant = match live {
        0 => revoked,
        _ => dropped(&client, revoked).await?,
    };
    if context.output.is_json() {
        return context.output.json(&grant);
    }
    show::grant(context, &grant)?;
    if live > 0 {
        receipts(context, &client, &grant).await?;
    }
    Ok(())
}

/// The grant once the proxies have said that its sessions are gone.
async fn dropped(client: &Client, mut grant: Grant) -> Result<Grant, CliError> {
    let start = Instant::now();
    while grant.sessions > 0 && start.elapsed() < RECEIPTS {
        tokio::time::sleep(POLL).await;
        grant = client.get_grant(&grant.id).await?;
    }
    Ok(grant)
}

/// How many sessions were cut and dropped, and how long the slowest took, as the ledger has it.
async fn receipts(context: &Context, client: &Client, grant: &Grant) -> Result<(), CliError> {
    let sessions = pages::sessions(client, false).await?;
    let ended = || sessions.iter().filter(|session| ended_by_revocation(session, grant));
    let cuts = slowest(ended().filter_map(|session| session.cut_micros));
    if let Some((sessions, micros)) = cuts {
        let sessions = count(sessions, "session");
        field(context, "cut", format_args!("{sessions} within {}: nothing passed any more", milliseconds(micros)))?;
    }
    match slowest(ended().filter_map(|session| session.drop_micros)) {
        Some((sessions, micros)) => {
            let sessions = count(sessions, "session");
            field(context, "dropped", format_args!("{sessions} within {}: connections closed", milliseconds(micros)))
        }
        None => field(context, "dropped", "no receipt yet: portcullis sessions --all shows it when it comes"),
    }
}

/// Whether the revocation ended it: a grant is revoked once, and what was killed or expired before is no receipt of it.
fn ended_by_revocation(session: &Session, grant: &Grant) -> bool {
    // The wire has the end in words, which are those of the model.
    session.request == grant.id && session.end.as_deref().is_some_and(|end| end.starts_with("revoked by "))
}

/// How many there are, and the longest of them.
fn slowest(micros: impl Iterator<Item = u64>) -> Option<(usize, u64)> {
    micros.fold(None, |found, micros| {
        let (many, longest) = found.unwrap_or_default();
        Some((many + 1, micros.max(longest)))
    })
}

#[cfg(test)]
mod tests {
    use model::{Actor, SessionEnd, Timestamp};
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_revocation_ended_counts() {
        let grant: Grant = serde_json::from_value(json!({
            "id": "req-000000000000", "identity": "alice", "target": "web1", "login": "root", "state": "revoked",
            "policy": "p", "approvers": [], "starts": "2026-11-20T18:00:00Z", "ends": "2026-11-20T18:30:00Z",
            "sessions": 0,
        }))
        .unwrap();
        let session = |request: &str, end: Option<SessionEnd>| -> Session {
            serde_json::from_value(json!({
                "id": "ses-000000000000", "request": request, "identity": "alice", "target": "web1", "login": "root",
                "address": "127.0.0.1", "proxy": "proxy1", "opened": "2026-11-20T18:00:00Z",
                "end": end.map(|end| end.to_string()), "recordings": [],
            }))
            .unwrap()
        };
        let (by, at) = (Actor::Identity("bob".parse().unwrap()), Timestamp::from_seconds(0));
        let revoked = SessionEnd::Revoked { by: by.clone(), at, reason: None };
        let killed = SessionEnd::Cut { by, at, reason: "revoked by mistake".to_owned() };
        assert!(ended_by_revocation(&session("req-000000000000", Some(revoked.clone())), &grant));
        assert!(!ended_by_revocation(&session("req-000000000001", Some(revoked)), &grant));
        for end in [Some(killed), Some(SessionEnd::Expired), None] {
            assert!(!ended_by_revocation(&session("req-000000000000", end), &grant));
        }
    }
}
