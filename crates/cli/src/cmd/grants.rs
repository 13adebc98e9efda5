//! `portcullis grants`: who may do what now.

use api::wire::{Grant, GrantState};
use model::Timestamp;

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
        return context.output.answer(&client.get_grant(&id).await?, |grant| show::grant(context, grant));
    }
    let mut grants = pages::grants(&client, args.state.as_deref(), args.mine).await?;
    if args.state.is_none() && !args.all {
        grants.retain(|grant| matches!(grant.state, GrantState::Active | GrantState::Scheduled));
    }
    let headers = ["ID", "WHO", "WHAT", "STATE", "WHEN", "SESSIONS", "APPROVED BY", "POLICY"];
    let nothing = "no grant is active (portcullis grants --all shows the ended ones)";
    let now = context.now();
    context.output.list(&grants, headers, |grant| row(now, grant), nothing)
}

fn row(now: Timestamp, grant: &Grant) -> [String; 8] {
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
}
