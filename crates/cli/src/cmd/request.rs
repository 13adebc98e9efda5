//! `portcullis request`: ask for access, wait for the decision, and hold the certificate.

use std::path::PathBuf;

use api::Client;
use api::wire::{self, Grant, GrantState, RequestState, Time};
use model::{Span, Timestamp};

use crate::context::Context;
use crate::error::CliError;
use crate::keyring::{self, Place};
use crate::show::moment;
use crate::words::{clock, shell_word};
use crate::{ask, code, decision, ids, show, words};

/// Ask for access; waits for the decision and then gets the certificate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis request root@web1 --for 30m --reason \"deploy 4.2\"
  portcullis request db@db1 --command \"pg_dump app\" -r \"weekly dump\" \\
      --ticket OPS-7
  portcullis request root@web1 --for 1h --at 2026-11-21T22:00:00Z \\
      -r \"maintenance\" --no-wait")]
pub(crate) struct Args {
    /// The account and the server, as root@web1
    #[arg(value_name = "LOGIN@TARGET")]
    place: words::Place,
    /// For how long, as 30m or 1h30m, counted from the approval
    #[arg(long = "for", value_name = "TIME", default_value = "30m")]
    duration: Span,
    /// Why; reviewers and the ledger read it (asked for on a terminal)
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// A ticket in another system
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// Only this one exact command may be run
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Not before this moment, as 2026-11-21T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Do not wait for the decision
    #[arg(long)]
    no_wait: bool,
    /// Wait at most this long
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait")]
    timeout: Option<Span>,
    /// Do not get a certificate once approved
    #[arg(long)]
    no_cert: bool,
    /// Write the key to FILE and its certificate to FILE-cert.pub, instead of into the agent
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_cert", "no_wait"])]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::reason(context, args.reason.as_deref())?;
    let client = context.client().await?;
    let body = wire::FileRequest {
        target: args.place.target.clone(),
        login: args.place.login.clone(),
        duration: args.duration.seconds(),
        reason,
        ticket: args.ticket.clone(),
        command: args.command.clone(),
        start: args.at.map(Time),
    };
    held(context, &client, args).await;
    code::offer(context, &client, &body).await;
    let key = context.idempotency_key();
    let filed = code::with(context, &client, || async { Ok(client.file_request(&body, &key).await?) }).await?;
    if args.no_wait && filed.state == RequestState::Pending {
        return match context.output.is_json() {
            true => context.output.json(&filed),
            false => {
                show::request(context, &filed)?;
                context.output.note(format_args!("go on once it is approved: portcullis cert {} --wait", filed.id));
                Ok(())
            }
        };
    }
    let approved = decision::wait(context, &client, filed, args.timeout.map(Span::to_std)).await?;
    match &approved.grant {
        Some(grant) if !args.no_cert && !args.no_wait && grant.state == GrantState::Active => {
            let place = args.out.clone().map_or(Place::Best, Place::File);
            certificate(context, &client, grant, &place).await?;
        }
        Some(grant) if grant.state == GrantState::Scheduled => context.output.note(format_args!(
            "it starts {}; get the certificate then: portcullis cert {}",
            moment(context.now(), grant.starts.0),
            grant.id
        )),
        Some(_) | None => {}
    }
    match context.output.is_json() {
        true => context.output.json(&approved),
        false => show::request(context, &approved),
    }
}

/// Says which grant the caller has there already. Only a note: what fails here must not stand in the way.
async fn held(context: &Context, client: &Client, args: &Args) {
    let own = ids::own_grants(client, &args.place).await.unwrap_or_default();
    // A grant for one exact command is more time only for that command.
    let same = |grant: &&Grant| grant.state == GrantState::Active && grant.command == args.command;
    if let Some(grant) = own.iter().rev().find(same) {
        context.output.note(format_args!(
            "you have {} for {} until {}; to go on longer: portcullis extend {} --for {}",
            grant.id,
            args.place,
            clock(grant.ends.0),
            grant.id,
            args.duration
        ));
    }
}

/// Obtains the certificate of an active grant and says how to connect.
pub(crate) async fn certificate(
    context: &Context,
    client: &Client,
    grant: &Grant,
    place: &Place,
) -> Result<keyring::Obtained, CliError> {
    let obtained = keyring::obtain(context, client, grant, place).await?;
    let until = moment(context.now(), obtained.wire.valid_before.0);
    let output = &context.output;
    match obtained.in_agent {
        true => output.note(format_args!("certificate {} is in the ssh-agent until {until}", obtained.wire.serial)),
        false => output.note(format_args!(
            "certificate {} is in {} until {until}",
            obtained.wire.serial,
            keyring::beside(&obtained.identity_file, "-cert.pub").display(),
        )),
    }
    let mut spot = format!("{}@{}", grant.login, grant.target);
    if let Some(command) = &grant.command {
        spot = format!("{spot} {}", shell_word(command));
    }
    output
        .note(format_args!("connect: portcullis ssh {spot}   (or ssh {spot}, once portcullis ssh-config --write ran)"));
    Ok(obtained)
}
