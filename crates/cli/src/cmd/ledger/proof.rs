//! `portcullis ledger proof`: one record, against a signed checkpoint or the ledger on the disk.

use std::path::{Path, PathBuf};

use identity::files::{self, Access};
use ledger::Verifier;
use model::Seq;

use super::{data_folder, print, unsound};
use crate::context::Context;
use crate::error::CliError;
use crate::output::Tone;
use crate::profile::unwritten;
use crate::progress::Progress;
use crate::show::field;
use crate::trust;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The record's number
    seq: u64,
    /// Write record, proof and signed checkpoint to this file as JSON
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The ledger's verifier key or a file with it, instead of the one pinned at login
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Prove from this data directory instead of asking the CA
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    data: Option<PathBuf>,
}

/// Runs the verb.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.data {
        Some(data) => from_disk(context, &data_folder(data), args),
        None => from_api(context, args).await,
    }
}

async fn from_api(context: &Context, args: &Args) -> Result<(), CliError> {
    let key = trust::ledger_key(context, args.key.as_deref())?;
    let client = context.client().await?;
    let proved = trust::prove(&client, key, args.seq).await?;
    let value = serde_json::json!({
        "seq": args.seq,
        "record": proved.bytes,
        "leaf": ledger::leaf_hash(proved.bytes.as_bytes()),
        "size": proved.checkpoint.size,
        "path": proved.proof.hashes,
        "root": proved.checkpoint.root,
        "checkpoint": proved.note,
        "key": proved.key.to_string(),
    });
    keep(context, args.out.as_deref(), &value)?;
    if context.output.is_json() {
        return context.output.json(&value);
    }
    print(context, &proved.record)?;
    let word = context.output.tone(Tone::Good, "proved");
    context.output.line(format_args!(
        "{word}: record {} is in the ledger {} of {} records, by {} hashes",
        args.seq,
        proved.checkpoint.origin,
        proved.checkpoint.size,
        proved.proof.hashes.len()
    ))?;
    field(context, "root", proved.checkpoint.root)?;
    field(context, "signed by", &proved.key)
}

fn from_disk(context: &Context, data: &Path, args: &Args) -> Result<(), CliError> {
    let progress = Progress::bytes("proving", None);
    let proved = store::prove(data, Seq(args.seq), Verifier::new(), &mut |done, _| progress.set(done));
    drop(progress);
    let proved = proved.map_err(|error| unsound(&error))?;
    let value = serde_json::json!({
        "seq": args.seq,
        "record": String::from_utf8_lossy(&proved.record),
        "leaf": ledger::leaf_hash(&proved.record),
        "size": proved.checked.verified.size,
        "path": proved.proof.hashes,
        "root": proved.checked.verified.root,
    });
    keep(context, args.out.as_deref(), &value)?;
    if context.output.is_json() {
        return context.output.json(&value);
    }
    context.output.line(String::from_utf8_lossy(&proved.record))?;
    let word = context.output.tone(Tone::Good, "proved");
    context.output.line(format_args!("{word}: record {} of {}", args.seq, proved.checked.verified.size))?;
    field(context, "root", proved.checked.verified.root)
}

fn keep(context: &Context, out: Option<&Path>, value: &serde_json::Value) -> Result<(), CliError> {
    let Some(path) = out else { return Ok(()) };
    let text = format!("{value:#}\n");
    files::write_atomic(path, text.as_bytes(), Access::Public).map_err(unwritten)?;
    context.output.note(format_args!("written to {}", path.display()));
    Ok(())
}
