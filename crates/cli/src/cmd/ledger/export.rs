//! `portcullis ledger export`: the whole ledger as JSON lines, from the CA or from its disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use api::LedgerFilter;
use identity::files::{self, Access};
use ledger::Digest;
use model::Seq;

use super::{PAGE, data_folder, unsound};
use crate::context::Context;
use crate::error::{CliError, chain};
use crate::profile::unwritten;
use crate::progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to; standard output without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the signed checkpoint that covers it to this file
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    checkpoint: Option<PathBuf>,
    /// Read this data directory instead of asking the CA
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the verb.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.data {
        Some(data) => from_disk(context, &data_folder(data), args.out.as_deref()),
        None => from_api(context, args).await,
    }
}

/// Fetches the whole ledger and chains it here: what is written verifies, or is not written.
async fn from_api(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let note = match &args.checkpoint {
        Some(_) => Some(client.checkpoint().await?),
        None => None,
    };
    let total = match &note {
        Some(note) => note.size,
        None => client.status().await?.records,
    };
    let mut out = Sink::open(args.out.as_deref())?;
    let progress = Progress::count("exporting records", Some(total));
    let mut chain_hash = Digest::ZERO;
    let mut next = 0;
    while next < total {
        let page = client.ledger_records(&LedgerFilter { from: next, limit: PAGE, ..LedgerFilter::default() }).await?;
        if page.records.is_empty() {
            return Err(CliError::failed(
                format!("the CA has {total} records and answered with none from {next} on"),
                "exporting takes the right to see everything: portcullis policy explain --action administer",
            ));
        }
        for record in page.records.iter().take_while(|record| record.seq.0 < total) {
            if record.seq != Seq(next) {
                return Err(CliError::failed(
                    format!("record {next} is not among those that you may see"),
                    "exporting takes the right to see everything: portcullis policy explain --action administer",
                ));
            }
            let bytes = ledger::encode(record).map_err(|error| {
                CliError::integrity(format!("record {next}: {}", chain(&error)), "use a program of the CA's version")
            })?;
            chain_hash = ledger::chain(&chain_hash, &bytes);
            out.write(&ledger::export_line(&bytes, &chain_hash))?;
            next += 1;
        }
        progress.set(next);
    }
    drop(progress);
    out.close()?;
    if let (Some(path), Some(note)) = (&args.checkpoint, &note) {
        files::write_atomic(path, note.note.as_bytes(), Access::Public).map_err(unwritten)?;
    }
    context.output.note(format_args!("{total} records"));
    Ok(())
}

fn from_disk(context: &Context, data: &Path, out: Option<&Path>) -> Result<(), CliError> {
    let mut sink = Sink::open(out)?;
    let progress = Progress::bytes("exporting", None);
    let checked = store::export(data, Seq(0), &mut sink, &mut |done, _| progress.set(done));
    drop(progress);
    let checked = checked.map_err(|error| unsound(&error))?;
    sink.close()?;
    context.output.note(format_args!("{} records", checked.verified.size));
    Ok(())
}

/// A new file, or standard output.
enum Sink {
    File(std::io::BufWriter<File>, PathBuf),
    Out,
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, CliError> {
        match path {
            None => Ok(Self::Out),
            Some(path) => File::create_new(path)
                .map(|file| Self::File(std::io::BufWriter::new(file), path.to_owned()))
                .map_err(|error| CliError::file("write", path, &error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.write_all(bytes).map_err(|error| self.failed(&error))
    }

    fn close(mut self) -> Result<(), CliError> {
        let done = self.flush().and_then(|()| match &self {
            Self::File(file, _) => file.get_ref().sync_all(),
            Self::Out => Ok(()),
        });
        done.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        match self {
            Self::File(_, path) => CliError::file("write", path, error),
            Self::Out if error.kind() == std::io::ErrorKind::BrokenPipe => CliError::closed_pipe(),
            Self::Out => CliError::failed(format!("standard output cannot be written: {error}"), "check the disk"),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file, _) => file.write(bytes),
            Self::Out => std::io::stdout().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Out => std::io::stdout().lock().flush(),
        }
    }
}
