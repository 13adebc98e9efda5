//! `portcullis cert`: the certificate of a grant, into the agent or a file.

use std::path::PathBuf;

use api::wire::{GrantState, RequestState};

use crate::cmd::request::certificate;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::keyring::Place;
use crate::show::moment;
use crate::words::{clock, distance, listed};
use crate::{decision, ids, pages};

/// Get the certificate of an active grant, into the ssh-agent or a file; waits while its request is pending
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis cert root@web1
  portcullis cert req-x7 --out ./key      # writes ./key (0600) and ./key-cert.pub
  portcullis cert --list                  # the certificates that were issued to you")]
pub(crate) struct Args {
    /// The grant: an id, a unique beginning of one, or LOGIN@TARGET
    #[arg(required_unless_present = "list")]
    id: Option<String>,
    /// Write the key to FILE and its certificate to FILE-cert.pub, instead of into the agent
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    out: Option<PathBuf>,
    /// Into the agent, or fail
    #[arg(long)]
    agent: bool,
    /// Do not wait while the request is pending
    #[arg(long)]
    no_wait: bool,
    /// List the certificates that you may see
    #[arg(long, conflicts_with_all = ["id", "out", "agent", "no_wait"])]
    list: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let Some(text) = &args.id else { return list(context, &client).await };
    let id = ids::grant(&client, text).await.or_else(|error| match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => Err(error),
    });
    // A pending request is no grant yet, and its id may be shortened too.
    let id = match id {
        Ok(id) => id,
        Err(error) if error.kind() == Kind::NotFound && !text.contains('@') => ids::request(&client, text).await?,
        Err(error) => return Err(error),
    };
    let mut request = client.get_request(&id).await?;
    if request.state == RequestState::Pending {
        if args.no_wait {
            return Err(CliError::failed(
                format!("{id} is still pending"),
                format!("leave out --no-wait to wait for it; portcullis requests {id} shows what it lacks"),
            ));
        }
        request = decision::wait(context, &client, request, None).await?;
    }
    let request = decision::settle(request)?;
    let grant = client.get_grant(request.extends.as_ref().unwrap_or(&request.id)).await?;
    match grant.state {
        GrantState::Active => {}
        GrantState::Scheduled => {
            return Err(CliError::failed(
                format!("{} starts {}", grant.id, moment(context.now(), grant.starts.0)),
                "come back then: a certificate is issued under an active grant only",
            ));
        }
        GrantState::Expired | GrantState::Revoked | GrantState::Released => {
            return Err(CliError::failed(
                format!("{} is {} since {}", grant.id, grant.state, clock(grant.ends.0)),
                format!("ask again: portcullis request {}@{} --for 30m --reason \"why\"", grant.login, grant.target),
            ));
        }
    }
    let place = match (&args.out, args.agent) {
        (Some(path), _) => Place::File(path.clone()),
        (None, true) => Place::Agent,
        (None, false) => Place::Best,
    };
    let obtained = certificate(context, &client, &grant, &place).await?;
    match context.output.is_json() {
        true => context.output.json(&obtained.wire),
        false => context.output.line(obtained.identity_file.display()),
    }
}

async fn list(context: &Context, client: &api::Client) -> Result<(), CliError> {
    let certificates = pages::certificates(client).await?;
    if context.output.is_json() {
        return context.output.json(&certificates);
    }
    let now = context.now();
    let rows = certificates.iter().map(|certificate| {
        [
            certificate.serial.to_string(),
            certificate.profile.clone(),
            certificate.request.as_ref().map(ToString::to_string).unwrap_or_default(),
            listed(&certificate.principals),
            distance(now, certificate.valid_before.0),
            certificate.key.clone(),
        ]
    });
    context.output.table(
        ["SERIAL", "PROFILE", "GRANT", "PRINCIPALS", "ENDS", "KEY"],
        rows.collect(),
        "no certificate was issued that you may see",
    )
}
