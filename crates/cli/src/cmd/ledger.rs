//! `portcullis ledger`: read it, take it along, and check it without asking anybody.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use api::{Client, Heard, LedgerFilter};
use identity::files::{self, Access};
use ledger::{Digest, Verified, Verifier};
use model::{Record, Seq, Timestamp};

use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::output::{Tone, clean};
use crate::profile::unwritten;
use crate::progress::Progress;
use crate::show::field;
use crate::words::clock;
use crate::{ids, trust};

/// Read the ledger, export it, prove what is in it, and verify it offline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis ledger show --request req-x7
  portcullis ledger show --kind session. --follow
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
    Show(Show),
    /// Write the whole ledger as JSON lines: {"chain":"…","record":{…}}
    Export(Export),
    /// Check a whole ledger: a data directory, or an export; names the first bad record
    Verify(Verify),
    /// Prove that one record is in the ledger, against a signed checkpoint
    Proof(Proof),
    /// Fetch the newest signed checkpoint and check its signature
    Checkpoint {
        /// The ledger's verifier key or a file with it, instead of the one pinned at login
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Show {
    /// From this record on
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
    /// Everything that belongs to this request, grant or lock
    #[arg(long, value_name = "ID", visible_alias = "correlation")]
    request: Option<String>,
    /// Caused by: a name, proxy:NAME or system
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// About: identity:NAME, target:NAME, login:NAME@TARGET, session:ID, recording:ID
    #[arg(long, value_name = "WHAT")]
    subject: Option<String>,
    /// Of this kind, as request.filed
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Not before, as 2026-11-20T18:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// And go on as it happens
    #[arg(long, short, conflicts_with_all = ["limit", "until"])]
    follow: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
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

#[derive(Debug, clap::Args)]
struct Verify {
    /// A data directory, or an export
    path: PathBuf,
    /// Compare with this signed checkpoint; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The verifier key that signed the checkpoints, or a file with it, instead of the one pinned at login
    #[arg(long, value_name = "KEY", requires = "checkpoint")]
    key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Proof {
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
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.action {
        Action::Show(args) => show(context, args).await,
        Action::Export(args) => match &args.data {
            Some(data) => export_data(context, data, args.out.as_deref()),
            None => export(context, args).await,
        },
        Action::Verify(args) => verify(context, args),
        Action::Proof(args) => match &args.data {
            Some(data) => prove_data(context, data, args),
            None => prove(context, args).await,
        },
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

async fn show(context: &Context, args: &Show) -> Result<(), CliError> {
    let client = context.client().await?;
    let correlation = match &args.request {
        Some(text) if text.starts_with("req") => Some(ids::request(&client, text).await?.to_string()),
        other => other.clone(),
    };
    let (since, until) = (args.since.map(|at| at.to_string()), args.until.map(|at| at.to_string()));
    let mut filter = LedgerFilter {
        from: args.from,
        limit: 0,
        correlation: correlation.as_deref(),
        actor: args.actor.as_deref(),
        subject: args.subject.as_deref(),
        kind: args.kind.as_deref(),
        since: since.as_deref(),
        until: until.as_deref(),
    };
    let mut left = if args.follow { usize::MAX } else { args.limit };
    let mut records = Vec::new();
    let stream = !context.output.is_json() || args.follow;
    while left > 0 {
        filter.limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = client.ledger_records(&filter).await?;
        let end = page.records.is_empty() && page.next <= filter.from;
        left = left.saturating_sub(page.records.len());
        for record in page.records {
            match stream {
                true => print(context, &record)?,
                false => records.push(record),
            }
        }
        if end || page.next <= filter.from {
            break;
        }
        filter.from = page.next;
    }
    if !stream {
        return context.output.json(&records);
    }
    if !args.follow {
        return Ok(());
    }
    let mut feed = client.events(filter.from).await?;
    loop {
        tokio::select! {
            heard = feed.next() => match heard {
                Ok(Heard::Fact(record)) => {
                    filter.from = record.seq.next().0;
                    if fits(&filter, &record) {
                        print(context, &record)?;
                    }
                }
                Ok(Heard::Alive) => {}
                Err(_) => feed = client.events(filter.from).await?,
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// How many records one call fetches.
const PAGE: u32 = 500;

fn fits(filter: &LedgerFilter<'_>, record: &Record) -> bool {
    let entry = &record.entry;
    filter.correlation.is_none_or(|wanted| entry.correlation.as_str() == wanted)
        && filter.actor.is_none_or(|wanted| entry.actor.to_string() == wanted)
        && filter.kind.is_none_or(|wanted| entry.fact.kind() == wanted)
        && filter.subject.is_none_or(|wanted| entry.fact.subjects().iter().any(|subject| subject.as_str() == wanted))
}

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

/// Fetches the whole ledger and chains it here: what is written verifies, or is not written.
async fn export(context: &Context, args: &Export) -> Result<(), CliError> {
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

fn export_data(context: &Context, data: &Path, out: Option<&Path>) -> Result<(), CliError> {
    let mut sink = Sink::open(out)?;
    let progress = Progress::bytes("exporting", None);
    let checked = store::export(data, Seq(0), &mut sink, &mut |done, _| progress.set(done));
    drop(progress);
    let checked = checked.map_err(|error| unsound(&error))?;
    sink.close()?;
    context.output.note(format_args!("{} records", checked.verified.size));
    Ok(())
}

fn verify(context: &Context, args: &Verify) -> Result<(), CliError> {
    let verifier = if args.checkpoint.is_empty() {
        Verifier::new()
    } else {
        let key = trust::ledger_key(context, args.key.as_deref())?;
        let mut expected = Vec::new();
        for path in &args.checkpoint {
            let note = files::read_text(path, 64 * 1024).map_err(|error| {
                CliError::new(Kind::NotFound, chain(&error), "portcullis ledger checkpoint fetches one")
            })?;
            expected.push(trust::open(&note, &key)?);
        }
        Verifier::with_checkpoints(expected)
            .map_err(|error| CliError::integrity(chain(&error), "the checkpoint does not fit any ledger"))?
    };
    let verified = match args.path.is_dir() {
        true => {
            let progress = Progress::bytes("verifying", None);
            let data = data_folder(&args.path);
            let checked = store::verify(&data, verifier, &mut |done, _| progress.set(done));
            drop(progress);
            let checked = checked.map_err(|error| unsound(&error))?;
            if let Some(torn) = &checked.torn {
                context.output.note(format_args!(
                    "the last write, of {} bytes, is not finished: it goes on now, or the next start cuts it off",
                    torn.bytes
                ));
            }
            checked.verified
        }
        false => verify_export(&args.path, verifier)?,
    };
    report(context, &verified)
}

fn verify_export(path: &Path, verifier: Verifier) -> Result<Verified, CliError> {
    let file = File::open(path).map_err(|error| CliError::file("open", path, &error))?;
    let length = file.metadata().ok().map(|data| data.len());
    let progress = Progress::bytes("verifying", length);
    let mut input = BufReader::with_capacity(1 << 20, file);
    let verified = ledger::verify_lines(&mut input, verifier, &mut |_, bytes| progress.add(bytes.len() as u64));
    drop(progress);
    verified.map_err(|error| match error {
        ledger::LineError::Io { .. } => {
            CliError::failed(format!("{}: {}", path.display(), chain(&error)), "check the disk")
        }
        ledger::LineError::Form { .. } | ledger::LineError::Flaw { .. } => CliError::integrity(
            format!("{}: {}", path.display(), chain(&error)),
            "everything in front of it is whole; compare with the CA's own: portcullis ledger verify DATA-DIRECTORY",
        ),
    })
}

fn report(context: &Context, verified: &Verified) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(&serde_json::json!({
            "verified": true, "records": verified.size, "chain": verified.chain, "root": verified.root,
            "checkpoints": verified.checkpoints,
        }));
    }
    let word = context.output.tone(Tone::Good, "verified");
    context.output.line(format_args!("{word}: {} records, unbroken", verified.size))?;
    field(context, "chain", verified.chain)?;
    field(context, "root", verified.root)?;
    field(context, "checkpoints", verified.checkpoints)?;
    if verified.checkpoints == 0 {
        context.output.note(
            "without a signed checkpoint (--checkpoint FILE) a ledger that was rewritten as a whole cannot be told apart",
        );
    }
    Ok(())
}

async fn prove(context: &Context, args: &Proof) -> Result<(), CliError> {
    let key = trust::ledger_key(context, args.key.as_deref())?;
    let client: Client = context.client().await?;
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

fn prove_data(context: &Context, data: &Path, args: &Proof) -> Result<(), CliError> {
    let progress = Progress::bytes("proving", None);
    let proved = store::prove(&data_folder(data), Seq(args.seq), Verifier::new(), &mut |done, _| progress.set(done));
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
