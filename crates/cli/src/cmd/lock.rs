//! `portcullis lock`: refuse the new, drop the live.

use api::wire;
use model::{LockSubject, Span};

use crate::ask;
use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::show::{field, moment};
use crate::words::count;

/// Lock an identity, a target, a login, a grant or everything: refuses the new and drops the live
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis lock identity:alice --reason \"laptop stolen\"
  portcullis lock target:web1 --for 2h --reason \"forensics\"
  portcullis lock login:root@web1 --reason \"password leaked\"
  portcullis lock everything --reason \"incident 42\"")]
pub(crate) struct Args {
    /// identity:NAME, target:NAME, login:NAME, login:NAME@TARGET, grant:ID or everything
    subject: LockSubject,
    /// Why, in words that the locked person will read
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// It lifts itself after this long, as 2h; without it, until someone unlocks
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let reason = ask::given_reason(&args.reason)?;
    let client = context.client().await?;
    let body =
        wire::PlaceLock { subject: args.subject.to_string(), reason, duration: args.duration.map(Span::seconds) };
    // A second lock has its own reason and its own end, so it is placed; nobody must take one for both, though. Who may
    // not see the locks can place one all the same, and so can whoever is in a hurry while the list fails.
    let held = client.locks().await.map(|page| page.items).unwrap_or_default();
    let lock = client.lock(&body).await?;
    for other in held.iter().filter(|other| other.subject == lock.subject && other.id != lock.id) {
        context.output.note(format_args!(
            "careful: {} is locked already, by {} ({}); it is free once both locks are lifted",
            other.subject,
            other.id,
            clean(&other.reason)
        ));
    }
    if context.output.is_json() {
        return context.output.json(&lock);
    }
    context.output.line(format_args!("{}  {} is locked", lock.id, lock.subject))?;
    if let Some(until) = lock.until {
        field(context, "until", moment(context.now(), until.0))?;
    }
    if let Some(sessions) = lock.sessions {
        field(context, "dropped", count(usize::try_from(sessions).unwrap_or(usize::MAX), "live session"))?;
    }
    field(context, "lift it", format_args!("portcullis unlock {}", lock.id))
}
