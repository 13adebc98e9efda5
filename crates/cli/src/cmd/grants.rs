//! `portcullis grants`: who may do what now.

use api::wire::GrantState;

use crate::context::Context;
use crate::error::CliError;
use crate::words::{distance, listed};
use crate::{ids, pages, show};

/// List the grants that are active or scheduled, or show one in full
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show this grant in full: an id, a unique beginning of one, or LOGIN@TARGET
    id: Option<String>,
    /// Ended ones too
    #[arg(long, short, conflicts_with_all = ["id", "state"])]
    all: bool,
    /// Only mine
    #[arg(long, short, conflicts_with = "id")]
    mine: bool,
    /// Only those in this state
    #[arg(long, value_name = "STATE", conflicts_with = "id",
        value_parser = ["scheduled", "active", "expired", "revoked", "released"])]
    state: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    if let Some(text) = &args.id {
        let id = ids::grant(&client, text).await?;
        let grant = client.get_grant(&id).await?;
        return match context.output.is_json() {
            true => context.output.json(&grant),
            false => show::grant(context, &grant),
        };
    }
    let mut grants = pages::grants(&client, args.state.as_deref(), args.mine).await?;
    if args.state.is_none() && !args.all {
        grants.retain(|grant| matches!(grant.state, GrantState::Active | GrantState::Scheduled));
    }
    if context.output.is_json() {
        return context.output.json(&grants);
    }
    let now = context.now();
    let rows = grants.iter().map(|grant| {
        let when = match grant.state {
            GrantState::Scheduled => format!("starts {}", distance(now, grant.starts.0)),
            GrantState::Active => format!("ends {}", distance(now, grant.ends.0)),
            GrantState::Expired | GrantState::Revoked | GrantState::Released => {
                format!("ended {}", distance(now, grant.ends.0))
            }
        };
        [
            grant.id.to_string(),
            grant.identity.to_string(),
            format!("{}@{}", grant.login, grant.target),
            grant.state.to_string(),
            when,
            grant.sessions.to_string(),
            listed(&grant.approvers),
            grant.policy.clone(),
        ]
    });
    let headers = ["ID", "WHO", "WHAT", "STATE", "WHEN", "SESSIONS", "APPROVED BY", "POLICY"];
    context.output.table(headers, rows.collect(), "no grant is active (portcullis grants --all shows the ended ones)")
}
