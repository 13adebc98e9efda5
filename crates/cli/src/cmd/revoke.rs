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
        let sessions = pages::sessions(&client, false).await?;
        for (name, line) in receipts(&sessions, &grant, live) {
            field(context, name, line)?;
        }
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

/// How many of the `live` sessions were cut and dropped, and how long the slowest took, as far as the caller may know. Who may
/// revoke a grant may not always read its sessions, and so no receipt; that they have ended, the grant says.
fn receipts(sessions: &[Session], grant: &Grant, live: u32) -> Vec<(&'static str, String)> {
    let left = grant.sessions;
    let ended = || sessions.iter().filter(|session| ended_by_revocation(session, grant));
    let cuts = slowest(ended().filter_map(|session| session.cut_micros));
    let cut = cuts.map(|(sessions, micros)| {
        let sessions = count(sessions, "session");
        ("cut", format!("{sessions} within {}: nothing passed any more", milliseconds(micros)))
    });
    let drops = slowest(ended().filter_map(|session| session.drop_micros));
    let seen = sessions.iter().any(|session| session.request == grant.id);
    let dropped = match drops {
        Some((sessions, micros)) => {
            format!("{} within {}: connections closed", count(sessions, "session"), milliseconds(micros))
        }
        None if seen => "no receipt yet: portcullis sessions --all shows it when it comes".to_owned(),
        None if left > 0 => format!("{} not confirmed yet: portcullis grants {} counts them", many(left), grant.id),
        None => format!("{}; how fast is for who may see sessions", many(live)),
    };
    cut.into_iter().chain([("dropped", dropped)]).collect()
}

fn many(sessions: u32) -> String {
    count(usize::try_from(sessions).unwrap_or(usize::MAX), "session")
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

    fn grant(sessions: u32) -> Grant {
        serde_json::from_value(json!({
            "id": "req-000000000000", "identity": "alice", "target": "web1", "login": "root", "state": "revoked",
            "policy": "p", "approvers": [], "starts": "2026-11-20T18:00:00Z", "ends": "2026-11-20T18:30:00Z",
            "sessions": sessions,
        }))
        .unwrap()
    }

    fn session(request: &str, end: Option<SessionEnd>) -> Session {
        serde_json::from_value(json!({
            "id": "ses-000000000000", "request": request, "identity": "alice", "target": "web1", "login": "root",
            "address": "127.0.0.1", "proxy": "proxy1", "opened": "2026-11-20T18:00:00Z",
            "end": end.map(|end| end.to_string()), "recordings": [],
        }))
        .unwrap()
    }

    #[test]
    fn who_may_not_see_the_sessions_is_told_that_they_are_gone() {
        let said = |sessions: &[Session], left| receipts(sessions, &grant(left), 1);
        assert_eq!(said(&[], 0), [("dropped", "1 session; how fast is for who may see sessions".to_owned())]);
        assert!(said(&[], 1)[0].1.starts_with("1 session not confirmed yet"));
        let other = session("req-000000000001", None);
        assert_eq!(said(&[other], 0), said(&[], 0), "another's is no receipt");
        let by = Actor::Identity("bob".parse().unwrap());
        let end = SessionEnd::Revoked { by, at: Timestamp::from_seconds(0), reason: None };
        let mut own = session("req-000000000000", Some(end));
        assert!(said(&[own.clone()], 0)[0].1.starts_with("no receipt yet"));
        (own.cut_micros, own.drop_micros) = (Some(2000), Some(3000));
        let names: Vec<_> = said(&[own], 0).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cut", "dropped"]);
    }

    #[test]
    fn only_what_the_revocation_ended_counts() {
        let grant = grant(0);
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
