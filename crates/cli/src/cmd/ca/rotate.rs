//! `portcullis ca rotate`: another key for a CA, while everything runs.

use api::Client;
use api::wire::{CaKeyState, CaStep, RotateCa};
use model::Authority;

use crate::ask::{self, Usual};
use crate::code;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean};
use crate::show::{field, moment};
use crate::words::{count, listed};

/// So much of a fingerprint names a key: 48 bits.
const SHORT: usize = 8;

/// Replace the key of the user, host or front CA while everything runs, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a step: how it stands, and what comes next. deploy/README.md says what
people do between the steps, and docs/enrolment.md what servers need.
At a terminal a step names the key that it is about, and asks; a script names it
with --fingerprint, or says --yes.
Examples:
  portcullis ca rotate
  portcullis ca rotate user --stage
  portcullis ca rotate user --activate
  portcullis ca rotate user --retire --fingerprint SHA256:…")]
pub(crate) struct Args {
    /// user (people and sessions), host (what servers show) or front (what proxies show)
    #[arg(value_name = "CA")]
    ca: Option<Authority>,
    #[command(flatten)]
    step: Steps,
    /// The key that is meant, or a beginning of eight characters or more: the one that is to sign, to be retired or to be
    /// given up
    #[arg(long, value_name = "SHA256:…", requires = "ca", conflicts_with = "stage")]
    fingerprint: Option<String>,
    /// Take the step although it shuts somebody out: what is refused without it says whom
    #[arg(long, requires = "ca", conflicts_with_all = ["stage", "cancel"])]
    force: bool,
    /// Ask nothing
    #[arg(long, short, requires = "ca")]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Steps {
    /// Make the next key, and have it trusted beside the one that signs
    #[arg(long, requires = "ca")]
    stage: bool,
    /// Have the staged key sign; the one before is still trusted
    #[arg(long, requires = "ca")]
    activate: bool,
    /// Trust the key from before no more, and destroy it
    #[arg(long, requires = "ca")]
    retire: bool,
    /// Give the new key up, and destroy it; the one from before signs
    #[arg(long, requires = "ca")]
    cancel: bool,
}

impl Steps {
    const fn taken(&self) -> Option<CaStep> {
        match (self.stage, self.activate, self.retire, self.cancel) {
            (true, ..) => Some(CaStep::Stage),
            (_, true, ..) => Some(CaStep::Activate),
            (_, _, true, _) => Some(CaStep::Retire),
            (.., true) => Some(CaStep::Cancel),
            (false, false, false, false) => None,
        }
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let step = args.step.taken();
    let states = match (args.ca, step) {
        (Some(ca), Some(step)) => {
            let key = meant(context, &client, ca, step, args).await?;
            let ask = RotateCa { step, key, force: args.force };
            vec![code::with(context, &client, || async { Ok(client.rotate_ca(ca, &ask).await?) }).await?]
        }
        (wanted, _) => {
            let all = client.ca_keys().await?.items;
            all.into_iter().filter(|state| wanted.is_none_or(|wanted| state.ca == wanted)).collect()
        }
    };
    if context.output.is_json() {
        return context.output.json(&states);
    }
    states.iter().try_for_each(|state| show(context, state, step))
}

/// The key that a step is about: the whole of what was named, or what was agreed to at the terminal. The CA refuses a step
/// that is about another by then.
async fn meant(
    context: &Context,
    client: &Client,
    ca: Authority,
    step: CaStep,
    args: &Args,
) -> Result<Option<String>, CliError> {
    if args.fingerprint.is_none() && args.yes {
        return Ok(None);
    }
    let states = client.ca_keys().await?.items;
    let Some(state) = states.into_iter().find(|state| state.ca == ca) else { return Ok(None) };
    let what = match (step, &state.next, &state.previous) {
        (CaStep::Activate, Some(next), _) => Some((next, format!("sign for the {ca} CA"))),
        (CaStep::Retire, _, Some(previous)) => {
            Some((previous, format!("be trusted no more for the {ca} CA, and destroyed")))
        }
        (CaStep::Cancel, Some(next), _) => Some((next, format!("be given up for the {ca} CA, and destroyed"))),
        (CaStep::Cancel, None, Some(previous)) => {
            Some((&state.signs, format!("be given up for the {ca} CA, and destroyed; {previous} signs again")))
        }
        (CaStep::Stage, ..) | (CaStep::Activate | CaStep::Retire, ..) | (CaStep::Cancel, None, None) => None,
    };
    // It is not the time for this step, or there is no key yet: the CA says so.
    let Some((key, what)) = what else { return Ok(args.fingerprint.clone()) };
    if let Some(named) = &args.fingerprint {
        if !begins(key, named) {
            let hint = format!("look how it stands: portcullis ca rotate {ca}");
            return Err(CliError::failed(format!("{key} would {what}, and not {}", clean(named)), hint));
        }
    } else if !context.output.can_ask() {
        let why = format!("{} would {what}, and nobody can be asked whether that is meant", clean(key));
        return Err(CliError::usage(why, format!("name it: --fingerprint {}; or say --yes", clean(key))));
    } else if !ask::yes(context, format_args!("{} will {what}. Go on?", clean(key)), Usual::No)? {
        return Err(CliError::failed("nothing was changed", "answer y to go on, or name the key with --fingerprint"));
    }
    Ok(Some(key.clone()))
}

/// Whether this names the key: whole, or by enough of its beginning.
fn begins(key: &str, named: &str) -> bool {
    let bare = |text: &str| text.strip_prefix("SHA256:").unwrap_or(text).to_owned();
    let named = bare(named);
    named.len() >= SHORT && bare(key).starts_with(&named)
}

fn show(context: &Context, state: &CaKeyState, step: Option<CaStep>) -> Result<(), CliError> {
    let output = &context.output;
    let how = match (&state.next, &state.previous) {
        (Some(_), _) => output.tone(Tone::Waiting, "the next key is trusted, and signs nothing yet"),
        (None, Some(_)) => output.tone(Tone::Waiting, "the new key signs, and the old one is still trusted"),
        (None, None) => output.tone(Tone::Good, "one key"),
    };
    output.line(format_args!("{}: {how}", output.tone(Tone::Strong, format_args!("{} CA", state.ca))))?;
    field(context, "signs", clean(&state.signs))?;
    if let Some(key) = &state.next {
        field(context, "next", clean(key))?;
    }
    if let Some(key) = &state.previous {
        field(context, "previous", clean(key))?;
    }
    if let Some(since) = state.since {
        field(context, "since", moment(context.now(), since.0))?;
    }
    if !state.left.is_empty() {
        let what = format!("{} without a new certificate: {}", count(state.left.len(), "server"), listed(&state.left));
        field(context, "left", output.tone(Tone::Waiting, what))?;
    }
    if state.next.is_some() || state.previous.is_some() || step.is_some() {
        field(context, "now", todo(state, step))?;
    }
    Ok(())
}

/// What somebody has to do now.
fn todo(state: &CaKeyState, step: Option<CaStep>) -> String {
    const ENROL: &str = "enrol every server again: portcullis target enrol NAME --apply USER@HOST";
    const PEOPLE: &str = "everybody runs portcullis ssh-config --write (portcullis ssh does it by itself)";
    let ca = state.ca;
    let then = |first: &str, next: &str| format!("{first}; then portcullis ca rotate {ca} {next}");
    match (ca, state.next.is_some(), state.previous.is_some()) {
        (Authority::User, true, _) => then(&format!("{ENROL}, so that they trust both keys"), "--activate"),
        (Authority::Host, true, _) => "proxies trust both keys: portcullis ca rotate host --activate".to_owned(),
        (Authority::Front, true, _) => then(PEOPLE, "--activate"),
        (Authority::User, false, true) => {
            then("wait until people's certificates of the old key have ended, an hour as a rule", "--retire")
        }
        (Authority::Host, false, true) => then(
            &format!("{ENROL}: those that still show the old key's certificate are out of reach after it"),
            "--retire",
        ),
        (Authority::Front, false, true) => then("proxies show the new key's certificates by themselves", "--retire"),
        (Authority::User, false, false) if step.is_some() => format!("{ENROL}, so that they trust no other key"),
        (Authority::Host, false, false) if step == Some(CaStep::Cancel) => {
            format!("{ENROL}: those that show a certificate of the key that was given up are out of reach")
        }
        (Authority::Front, false, false) if step.is_some() => {
            format!("{PEOPLE}, so that their ssh trusts no other key")
        }
        (Authority::User | Authority::Host | Authority::Front, false, false) => "nothing is left to do".to_owned(),
    }
}
