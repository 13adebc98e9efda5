//! `portcullis ledger export`: the whole ledger as JSON lines, from the CA or from its disk.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use api::LedgerFilter;
use identity::files::{self, Access};
use ledger::Digest;
use model::Seq;
use tempfile::NamedTempFile;

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
    /// Replace the file when it is there already
    #[arg(long, requires = "out")]
    force: bool,
    /// Write the signed checkpoint that covers it to this file
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    checkpoint: Option<PathBuf>,
    /// Read this data directory instead of asking the CA
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the verb.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    // In front of every call: what cannot be written need not be fetched.
    if let Some(path) = args.out.as_deref().filter(|path| !args.force && path.exists()) {
        return Err(there_already(path));
    }
    match &args.data {
        Some(data) => from_disk(context, &data_folder(data), args),
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
    let mut out = Sink::open(args)?;
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

fn from_disk(context: &Context, data: &Path, args: &Args) -> Result<(), CliError> {
    let mut sink = Sink::open(args)?;
    let progress = Progress::bytes("exporting", None);
    let checked = store::export(data, Seq(0), &mut sink, &mut |done, _| progress.set(done));
    drop(progress);
    let checked = checked.map_err(|error| unsound(&error))?;
    sink.close()?;
    context.output.note(format_args!("{} records", checked.verified.size));
    Ok(())
}

/// A file that is there once it is whole, or standard output.
enum Sink<'a> {
    File { file: BufWriter<NamedTempFile>, path: &'a Path, force: bool },
    Out,
}

impl<'a> Sink<'a> {
    fn open(args: &'a Args) -> Result<Self, CliError> {
        let Some(path) = args.out.as_deref() else { return Ok(Self::Out) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".ledger-").suffix(".part").tempfile_in(folder);
        let file = file.map_err(|error| CliError::file("write", path, &error))?;
        Ok(Self::File { file: BufWriter::new(file), path, force: args.force })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.write_all(bytes).map_err(|error| self.failed(&error))
    }

    fn close(mut self) -> Result<(), CliError> {
        self.flush().map_err(|error| self.failed(&error))?;
        let Self::File { file, path, force } = self else { return Ok(()) };
        let unwritten = |error: &std::io::Error| CliError::file("write", path, error);
        let file = file.into_inner().map_err(|error| unwritten(error.error()))?;
        file.as_file().sync_all().map_err(|error| unwritten(&error))?;
        let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(there_already(path)),
            Err(error) => Err(unwritten(&error.error)),
        }
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        match self {
            Self::File { path, .. } => CliError::file("write", path, error),
            Self::Out if error.kind() == std::io::ErrorKind::BrokenPipe => CliError::closed_pipe(),
            Self::Out => CliError::failed(format!("standard output cannot be written: {error}"), "check the disk"),
        }
    }
}

fn there_already(path: &Path) -> CliError {
    CliError::usage(format!("{} is there already", path.display()), "name another file, or replace it with --force")
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Out => std::io::stdout().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Out => std::io::stdout().lock().flush(),
        }
    }
}
