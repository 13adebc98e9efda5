//! `portcullis target key`: the key of a server that knows no certificates.

use api::Client;
use api::wire::{self, MakeTargetKey};
use model::{TargetAuth, TargetName};

use crate::context::Context;
use crate::error::CliError;
use crate::show::moment;
use crate::words::listed;

/// What such a server must not do for whoever logs in, as dropbear and OpenSSH both write it. Neither is asked for what
/// the proxy decides: these hold where somebody has the proxy in their hands.
const NO_FORWARDS: &str = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding";

/// Print the line for the authorized_keys of a server that knows no certificates
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    name: TargetName,
    /// Make the key, where there is none
    #[arg(long, conflicts_with_all = ["rotate", "destroy"])]
    new: bool,
    /// Make a new key; the old one is destroyed, and lets nobody in any more
    #[arg(long)]
    rotate: bool,
    /// Destroy the key: nobody gets in there until there is another
    #[arg(long, conflicts_with = "rotate")]
    destroy: bool,
    /// Leave out the options that forbid forwards there
    #[arg(long, conflicts_with = "destroy")]
    forwards: bool,
}

/// Which key is printed. Nobody makes one by looking.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// The one that there is.
    There,
    /// The one that there is, or else one that is made.
    Any,
    /// One that is made, where there is none.
    New,
    /// One that takes the place of another.
    Rotated,
}

/// Runs the verb.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    if args.destroy {
        return destroy(context, &client, &args.name).await;
    }
    let target = super::find(&client, &args.name).await?;
    let which = match (args.new, args.rotate) {
        (true, _) => Which::New,
        (false, true) => Which::Rotated,
        (false, false) => Which::There,
    };
    show(context, &client, &target, which, args.forwards).await
}

/// Prints the line that the server must know.
pub(super) async fn show(
    context: &Context,
    client: &Client,
    target: &wire::TargetView,
    which: Which,
    forwards: bool,
) -> Result<(), CliError> {
    let key = key(context, client, &target.name, which).await?;
    let line = line(&key.public_key, forwards);
    let output = &context.output;
    if output.is_json() {
        return output.json(&serde_json::json!({ "target": target, "key": key, "authorized-keys": line }));
    }
    output.line(&line)?;
    let name = &target.name;
    output.note(format_args!(
        "this line goes into the authorized_keys of {} on {name}: ~/.ssh/authorized_keys, on OpenWrt\n\
         /etc/dropbear/authorized_keys. No other key should stand there, and nobody else may write the file.",
        listed(&target.logins)
    ));
    if matches!(which, Which::Rotated) {
        output.note(format_args!("the old key is destroyed: until this one stands there, nobody gets in"));
    }
    Ok(())
}

async fn key(context: &Context, client: &Client, name: &TargetName, which: Which) -> Result<wire::TargetKey, CliError> {
    let rotate = match which {
        Which::There => return Ok(client.target_key(name).await?),
        Which::Any => false,
        Which::New => match client.target_key(name).await {
            Ok(there) => {
                let made = moment(context.now(), there.made.0);
                let hint = format!("portcullis target key {name} prints it, and --rotate puts another in its place");
                return Err(CliError::failed(format!("{name} has a key already, which was made {made}"), hint));
            }
            Err(error) if error.code() == Some("no-target-key") => false,
            Err(error) => return Err(error.into()),
        },
        Which::Rotated => true,
    };
    Ok(client.make_target_key(name, &MakeTargetKey { rotate }).await?)
}

/// What enrolling such a server is.
pub(super) async fn instead(
    context: &Context,
    client: &Client,
    target: &wire::TargetView,
    apply: bool,
) -> Result<(), CliError> {
    if apply {
        let hint = format!("put the line of portcullis target key {} there yourself", target.name);
        return Err(CliError::usage(format!("{} takes a target key: --apply does not write it", target.name), hint));
    }
    show(context, client, target, Which::There, false).await
}

/// How proxies log in to a server, in a list.
pub(super) fn how(target: &wire::TargetView) -> String {
    match (target.auth, &target.target_key) {
        (TargetAuth::Certificate, _) => "certificate".to_owned(),
        (TargetAuth::TargetKey, Some(key)) => key.clone(),
        // Whoever may not administer sees neither its addresses nor its key.
        (TargetAuth::TargetKey, None) if target.addresses.is_empty() => "target key".to_owned(),
        (TargetAuth::TargetKey, None) => "no key yet".to_owned(),
    }
}

async fn destroy(context: &Context, client: &Client, name: &TargetName) -> Result<(), CliError> {
    client.destroy_target_key(name).await?;
    match context.output.is_json() {
        true => context.output.json(&serde_json::json!({ "name": name, "destroyed": true })),
        false => context.output.line(format_args!("the key of {name} is destroyed; take its line out there as well")),
    }
}

fn line(public_key: &str, forwards: bool) -> String {
    let public_key = public_key.trim();
    if forwards { public_key.to_owned() } else { format!("{NO_FORWARDS} {public_key}") }
}
