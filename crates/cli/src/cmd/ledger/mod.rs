//! `portcullis ledger`: read it, take it along, and check it without asking anybody.

mod export;
mod proof;
mod show;
mod verify;
mod words;

use std::path::{Path, PathBuf};

use model::{Record, Timestamp};

use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::output::{Tone, clean};
use crate::show::{field, moment};
use crate::trust;
use crate::words::{clock, listed};

/// How many records one call fetches.
const PAGE: u32 = 500;

/// Read the ledger, export it, prove what is in it, and verify it offline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis ledger show --request req-x7   # a line a fact; or --json
  portcullis ledger show 4711               # one fact in full
  portcullis ledger show --kind session.opened --follow
  portcullis ledger export --out ledger.jsonl --checkpoint ledger.note
  portcullis ledger verify ledger.jsonl --checkpoint ledger.note
  portcullis ledger verify /var/lib/portcullis   # also while in use
  portcullis ledger proof 4711")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show records
    Show(show::Args),
    /// Write the whole ledger as JSON lines: {"chain":"…","record":{…}}
    Export(export::Args),
    /// Check a whole ledger: a data directory, or an export; names the first bad record
    Verify(verify::Args),
    /// Prove that one record is in the ledger, against a signed checkpoint
    Proof(proof::Args),
    /// Fetch the newest signed checkpoint and check its signature
    Checkpoint {
        /// The ledger's verifier key or a file with it, instead of the one pinned at login
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.action {
        Action::Show(args) => show::run(context, args).await,
        Action::Export(args) => export::run(context, args).await,
        Action::Verify(args) => verify::run(context, args),
        Action::Proof(args) => proof::run(context, args).await,
        Action::Checkpoint { key } => {
            let key = trust::ledger_key(context, key.as_deref())?;
            let client = context.client().await?;
            let (checkpoint, note) = trust::checkpoint(&client, &key).await?;
            match context.output.is_json() {
                true => context.output.json(&serde_json::json!({
                    "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root, "note": note,
                })),
                false => context.output.bytes(note.as_bytes()),
            }
        }
    }
}

/// One record as a line: its number, when, who, what happened in words, under which request. In full with `--json`.
fn print(context: &Context, record: &Record) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(record);
    }
    let entry = &record.entry;
    let output = &context.output;
    output.line(format_args!(
        "{:>6}  {}  {:<12} {}  {}",
        record.seq,
        output.tone(Tone::Dim, clock(entry.time)),
        entry.actor.to_string(),
        clean(&words::sentence(&entry.fact)),
        output.tone(Tone::Dim, &entry.correlation),
    ))
}

/// One record as a block: the line's words, and every field of the fact by its name.
fn print_in_full(context: &Context, record: &Record) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(record);
    }
    let entry = &record.entry;
    let output = &context.output;
    output.line(format_args!(
        "{}  {}",
        output.tone(Tone::Strong, record.seq),
        output.tone(Tone::Strong, entry.fact.kind())
    ))?;
    field(context, "when", moment(context.now(), entry.time))?;
    field(context, "who", &entry.actor)?;
    field(context, "under", &entry.correlation)?;
    field(context, "what", clean(&words::sentence(&entry.fact)))?;
    let fields = serde_json::to_value(&entry.fact).unwrap_or_default();
    for (name, value) in fields.as_object().into_iter().flatten().filter(|(name, _)| *name != "kind") {
        match value.as_object() {
            Some(parts) => {
                for (part, value) in parts {
                    detail(context, &format!("{name}.{part}"), value)?;
                }
            }
            None => detail(context, name, value)?,
        }
    }
    Ok(())
}

fn detail(context: &Context, name: &str, value: &serde_json::Value) -> Result<(), CliError> {
    let text = match value {
        // Facts keep moments as microseconds since 1970; a number of that size is nothing else.
        serde_json::Value::Number(number) if !name.ends_with("serial") => match number.as_u64() {
            Some(micros) if micros >= 1_000_000_000_000_000 => {
                format!("{} ({micros})", clock(Timestamp::from_micros(micros)))
            }
            Some(_) | None => number.to_string(),
        },
        serde_json::Value::String(text) => clean(text),
        serde_json::Value::Array(items) if items.iter().all(serde_json::Value::is_string) => {
            clean(&listed(items.iter().filter_map(serde_json::Value::as_str)))
        }
        other @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_)) => clean(&other.to_string()),
    };
    field(context, name, text)
}

/// The folder of `init` holds the data directory; either may be named.
fn data_folder(path: &Path) -> PathBuf {
    let below = path.join("data");
    match !path.join("segments").is_dir() && below.join("segments").is_dir() {
        true => below,
        false => path.to_owned(),
    }
}

fn unsound(error: &store::StoreError) -> CliError {
    use store::StoreError;
    let text = chain(error);
    if matches!(error, StoreError::Corrupt { .. } | StoreError::Flaw(_) | StoreError::Proof(_)) {
        return CliError::integrity(
            text,
            "everything in front of it is whole; restore the rest from a backup or an export",
        );
    }
    CliError::new(
        Kind::Unreadable,
        text,
        "nothing is known about the ledger: name the data directory, which holds the folder segments, as a user who may \
         read it",
    )
}
