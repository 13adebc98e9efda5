//! `portcullis ledger`: read it, take it along, and check it without asking anybody.

mod export;
mod proof;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use model::Record;

use crate::context::Context;
use crate::error::{CliError, chain};
use crate::output::{Tone, clean};
use crate::trust;
use crate::words::clock;

/// How many records one call fetches.
const PAGE: u32 = 500;

/// Read the ledger, export it, prove what is in it, and verify it offline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis ledger show --request req-x7
  portcullis ledger show --kind session.opened --follow
  portcullis ledger export --out ledger.jsonl --checkpoint ledger.note
  portcullis ledger verify ledger.jsonl --checkpoint ledger.note
  portcullis ledger verify /var/lib/portcullis        # the data directory itself, also while it is in use
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

/// One record as a line.
fn print(context: &Context, record: &Record) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(record);
    }
    let entry = &record.entry;
    let details = serde_json::to_value(&entry.fact).unwrap_or_default();
    let details = details.as_object().into_iter().flatten().filter(|(name, _)| *name != "kind");
    let details: Vec<_> = details
        .map(|(name, value)| match value.as_str() {
            Some(text) if !text.contains(' ') => format!("{name}={text}"),
            Some(_) | None => format!("{name}={value}"),
        })
        .collect();
    context.output.line(format_args!(
        "{:>6}  {}  {:<12} {}  {}",
        record.seq,
        context.output.tone(Tone::Dim, clock(entry.time)),
        entry.actor.to_string(),
        context.output.tone(Tone::Strong, entry.fact.kind()),
        clean(&details.join(" ")),
    ))
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
    CliError::failed(text, "name the data directory, which holds the folder segments")
}
