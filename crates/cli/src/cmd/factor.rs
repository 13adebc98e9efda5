//! `portcullis factor`: one's authenticator, whose one-time codes are a second factor.

use api::Client;
use api::wire::{Code, Enrolment, FactorView, RemoveFactor};
use model::{FactorId, IdentityName, Timestamp};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::Tone;
use crate::show::field;
use crate::token::StoredToken;
use crate::words::{count, distance};
use crate::{ask, code};

/// How often the first code may be mistyped.
const TRIES: usize = 3;

/// Set up an authenticator app for one-time codes; list and remove authenticators
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set up an authenticator app: shows its secret once, and asks for a first code
    #[command(after_help = "\
The secret is shown once, as a QR code and as text, and counts as soon as a first
code was typed. A second authenticator takes a code of the first.")]
    Add(Add),
    /// List your authenticators, or as an administrator somebody's
    #[command(after_help = "\
Examples:
  portcullis factor list
  portcullis factor list --identity alice    # as an administrator")]
    List(List),
    /// Remove an authenticator: your own with a code of one of yours, another's as an administrator
    #[command(after_help = "\
Examples:
  portcullis factor remove                   # your only one
  portcullis factor remove ID                # one of yours
  portcullis factor remove --identity alice --reason \"lost her phone\"
                                             # all of hers, as an administrator
  portcullis lock identity:alice --reason \"stolen\"   # first, if it was stolen:
        # grants and sessions that its codes opened go on otherwise")]
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {}

#[derive(Debug, clap::Args)]
struct List {
    /// Whose; takes the right to administer
    #[arg(long, value_name = "NAME")]
    identity: Option<IdentityName>,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Which; may be left out where there is only one, and removes all of another's
    #[arg(value_name = "ID")]
    id: Option<FactorId>,
    /// Whose; takes the right to administer
    #[arg(long, value_name = "NAME")]
    identity: Option<IdentityName>,
    /// Why, for the ledger
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.what {
        What::Add(Add {}) => add(context).await,
        What::List(args) => list(context, args).await,
        What::Remove(args) => remove(context, args).await,
    }
}

async fn add(context: &Context) -> Result<(), CliError> {
    if !context.output.can_ask() {
        return Err(CliError::usage(
            "an authenticator is set up at a terminal: its secret is shown and a first code asked for",
            "run portcullis factor add in a terminal",
        ));
    }
    let client = context.client().await?;
    let begun = match code::with(context, &client, || async { Ok(client.begin_factor().await?) }).await {
        Err(error) if error.api_code() == Some("login-too-old") => {
            let login = client.login().await.map_err(|refused| {
                let refused = CliError::from(refused);
                let message = format!("{error}, and no login could be made: {refused}");
                CliError::new(refused.kind(), message, "run portcullis login, and then portcullis factor add")
            })?;
            StoredToken::write(&context.home()?, &context.profile()?, &login)?;
            client.begin_factor().await?
        }
        begun => begun?,
    };
    show(context, &begun)?;
    let added = confirm(context, &client, &begun).await?;
    context.output.answer(&added, |added| {
        context.output.line(format_args!("{}  counts from now on", context.output.tone(Tone::Strong, &added.id)))?;
        let whose = &added.identity;
        field(context, "if lost", format_args!("an administrator runs: portcullis factor remove --identity {whose}"))
    })
}

/// The secret, on standard error: standard output is what a script keeps.
fn show(context: &Context, begun: &Enrolment) -> Result<(), CliError> {
    let code = QrCode::new(begun.otpauth.as_bytes());
    let code = code.map_err(|error| CliError::failed(format!("no QR code can be drawn: {error}"), "report this"))?;
    // What is light is drawn: terminals are dark, and scanners take it the other way round as well.
    let picture = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    let output = &context.output;
    output.note("scan this with your authenticator app; it is shown this once:");
    output.note(picture);
    output.note(format_args!("or type the secret: {}  (time-based, 6 digits, 30 seconds)", &*begun.secret));
    output.note(format_args!("or open: {}", &*begun.otpauth));
    Ok(())
}

async fn confirm(context: &Context, client: &Client, begun: &Enrolment) -> Result<FactorView, CliError> {
    let mut tries = 1;
    loop {
        let code = code::typed(context, "the code that it shows now: ")?;
        match client.confirm_factor(&begun.id, &Code { code: code.into() }).await.map_err(CliError::from) {
            Err(error) if code::is_mistake(&error) && tries < TRIES => {
                context.output.note(error);
                tries += 1;
            }
            answer => {
                let confirmed = answer?;
                code::keep(context, &confirmed.taken)?;
                return Ok(confirmed.factor);
            }
        }
    }
}

async fn list(context: &Context, args: &List) -> Result<(), CliError> {
    let client = context.client().await?;
    let found = client.factors(args.identity.as_ref().map(IdentityName::as_str)).await?.items;
    let now = context.now();
    let nothing = "no authenticator; portcullis factor add sets one up";
    context.output.list(&found, ["ID", "OF", "ADDED", "LAST USED"], |factor| row(now, factor), nothing)
}

fn row(now: Timestamp, factor: &FactorView) -> [String; 4] {
    let used = factor.used.map(|used| distance(now, used.0)).unwrap_or_default();
    [factor.id.to_string(), factor.identity.to_string(), distance(now, factor.added.0), used]
}

async fn remove(context: &Context, args: &Remove) -> Result<(), CliError> {
    let reason = ask::optional(args.reason.as_deref())?;
    let client = context.client().await?;
    let identity = args.identity.as_ref().map(ToString::to_string);
    let found = match &args.id {
        Some(id) => vec![id.clone()],
        None => which(&client, identity.as_deref()).await?,
    };
    let mut goes_on = (0, 0);
    let mut others = 0;
    for id in &found {
        let body = RemoveFactor { identity: identity.clone(), reason: reason.clone() };
        let left = code::with(context, &client, || async { Ok(client.remove_factor(id, &body).await?) }).await?;
        (others, goes_on) = (left.factors, (left.grants, left.sessions));
    }
    if let Some(whose) = &args.identity {
        // On standard error, so that scripts see it as well.
        if others > 0 {
            let others = count(others as usize, "authenticator");
            context.output.note(format!("{whose} has {others} left: portcullis factor list --identity {whose}"));
        }
        if goes_on != (0, 0) {
            context.output.note(warning(whose, goes_on.0, goes_on.1));
        }
    }
    if context.output.is_json() {
        return context.output.json(&found);
    }
    for id in &found {
        context.output.line(format_args!("{id}  is removed"))?;
    }
    let whose = identity.as_deref().unwrap_or("you");
    field(context, "anew", format_args!("{whose} can set one up with portcullis factor add"))
}

/// What a thief may still have, and what ends it: a code was given when it was opened, and never again.
fn warning(whose: &IdentityName, grants: u32, sessions: u32) -> String {
    let (grants, sessions) = (count(grants as usize, "grant"), count(sessions as usize, "live session"));
    format!(
        "{whose} still has {grants} and {sessions}, which the codes may have opened: if it was stolen, end them with \
         portcullis lock identity:{whose} --reason …"
    )
}

/// Those that are meant where none is named: somebody else's all, one's own if there is only one.
async fn which(client: &Client, identity: Option<&str>) -> Result<Vec<FactorId>, CliError> {
    let found: Vec<FactorId> = client.factors(identity).await?.items.into_iter().map(|factor| factor.id).collect();
    let whose = identity.map_or_else(|| "you have".to_owned(), |name| format!("{name} has"));
    match (found.len(), identity) {
        (0, _) => Err(CliError::new(Kind::NotFound, format!("{whose} no authenticator"), "there is nothing to remove")),
        (1, _) | (_, Some(_)) => Ok(found),
        (many, None) => Err(CliError::usage(
            format!("you have {many} authenticators"),
            "name one: portcullis factor list shows them",
        )),
    }
}
