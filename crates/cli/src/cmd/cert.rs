//! `portcullis cert`: the certificate of a grant, into the agent or a file.

use std::path::PathBuf;

use api::Client;
use api::wire::{Certificate, Request, RequestState};
use model::Timestamp;

use crate::cmd::request::certificate;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::keyring::Place;
use crate::words::{distance, listed};
use crate::{decision, ids, pages, words};

/// Get the certificate of an active grant, into the ssh-agent or a file; can wait while its request is pending
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis cert root@web1
  portcullis cert root@web1 --wait    # it is pending: wait, then go on
  portcullis cert req-x7 --out ./key  # writes ./key (0600), ./key-cert.pub
  portcullis cert --list              # those that were issued to you

Without --wait, a pending request is asked about on a terminal and refused in
a script (exit code 1).")]
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
    /// Wait for the decision while the request is pending
    #[arg(long)]
    wait: bool,
    /// List the certificates that you may see
    #[arg(long, conflicts_with_all = ["id", "out", "agent", "wait"])]
    list: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let Some(text) = &args.id else { return list(context, &client).await };
    let mut request = sought(&client, text).await?;
    if request.state == RequestState::Pending {
        let again = format!("portcullis cert {text}");
        request = decision::offer(context, &client, request, args.wait, &again).await?;
    }
    let request = decision::settle(request)?;
    let grant = client.get_grant(request.extends.as_ref().unwrap_or(&request.id)).await?;
    decision::active(context, &grant)?;
    let place = match (&args.out, args.agent) {
        (Some(path), _) => Place::File(path.clone()),
        (None, true) => Place::Agent,
        (None, false) => Place::Best,
    };
    let obtained = certificate(context, &client, &grant, &place).await?;
    context.output.answer(&obtained.wire, |_| context.output.line(obtained.identity_file.display()))
}

/// The request that is meant, whether it is a grant already or still pending.
async fn sought(client: &Client, text: &str) -> Result<Request, CliError> {
    if let Some(place) = words::Place::typed(text) {
        return match ids::own_grant(client, &place).await? {
            Some(grant) => Ok(client.get_request(&grant.id).await?),
            None => match ids::own_pending(client, &place).await? {
                Some(pending) => Ok(pending),
                None => Err(ids::no_grant(client, &place).await),
            },
        };
    }
    let id = match ids::grant(client, text).await {
        Ok(id) => id,
        // A pending request is no grant yet, and its id may be shortened too.
        Err(error) if error.kind() == Kind::NotFound => ids::request(client, text).await?,
        Err(error) => return Err(error),
    };
    Ok(client.get_request(&id).await?)
}

async fn list(context: &Context, client: &Client) -> Result<(), CliError> {
    let certificates = pages::certificates(client).await?;
    let headers = ["SERIAL", "PROFILE", "GRANT", "PRINCIPALS", "ENDS", "KEY"];
    let now = context.now();
    context.output.list(&certificates, headers, |one| row(now, one), "no certificate was issued that you may see")
}

fn row(now: Timestamp, certificate: &Certificate) -> [String; 6] {
    [
        certificate.serial.to_string(),
        certificate.profile.clone(),
        certificate.request.as_ref().map(ToString::to_string).unwrap_or_default(),
        listed(&certificate.principals),
        distance(now, certificate.valid_before.0),
        certificate.key.clone(),
    ]
}
