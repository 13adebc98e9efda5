//! `portcullis ledger verify`: a whole ledger, offline.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use identity::files;
use ledger::{Verified, Verifier};

use super::{data_folder, unsound};
use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::output::Tone;
use crate::progress::Progress;
use crate::show::field;
use crate::trust;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  every record is in its place, and the checkpoints that were given are of this ledger
  4  there is nothing at that path
  7  corrupt: a record, the chain, the tree or a checkpoint does not verify; the first bad record is named
  9  it cannot be read (no data directory, permissions, a failing disk): nothing is known about it")]
pub(super) struct Args {
    /// A data directory, or an export
    path: PathBuf,
    /// Compare with this signed checkpoint; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The verifier key that signed the checkpoints, or a file with it, instead of the one pinned at login
    #[arg(long, value_name = "KEY", requires = "checkpoint")]
    key: Option<String>,
}

/// Runs the verb.
pub(super) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let verifier = if args.checkpoint.is_empty() {
        Verifier::new()
    } else {
        let key = trust::ledger_key(context, args.key.as_deref())?;
        let mut expected = Vec::new();
        for path in &args.checkpoint {
            let note = files::read_text(path, 64 * 1024).map_err(|error| {
                CliError::new(Kind::Unreadable, chain(&error), "portcullis ledger checkpoint fetches one")
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
        false if args.path.exists() => verify_export(&args.path, verifier)?,
        false => {
            return Err(CliError::new(
                Kind::NotFound,
                format!("there is nothing at {}", args.path.display()),
                "name a data directory, or a file that portcullis ledger export wrote",
            ));
        }
    };
    is_opened(&args.path, verified.first)?;
    report(context, &verified)
}

/// The first record of every ledger of a CA. Nothing else shows that what is whole is also the whole of it.
const OPENED: &str = "ledger.opened";

fn is_opened(path: &Path, first: Option<&str>) -> Result<(), CliError> {
    match first {
        Some(OPENED) => Ok(()),
        Some(other) => Err(CliError::integrity(
            format!("{} begins with {other}, and every ledger of a CA with {OPENED}", path.display()),
            "it is a ledger from which the beginning was cut and the rest numbered anew, or no CA wrote it",
        )),
        None => Err(CliError::integrity(
            format!("{} holds no record, not even the first of every ledger, {OPENED}", path.display()),
            "it is no ledger, or all of it is lost: portcullis ledger export writes one",
        )),
    }
}

fn verify_export(path: &Path, verifier: Verifier) -> Result<Verified, CliError> {
    let unread =
        |text: String| CliError::new(Kind::Unreadable, text, "nothing is known about it: check its permissions");
    let file = File::open(path).map_err(|error| unread(format!("cannot open {}: {error}", path.display())))?;
    let length = file.metadata().ok().map(|data| data.len());
    let progress = Progress::bytes("verifying", length);
    let mut input = BufReader::with_capacity(1 << 20, file);
    let verified = ledger::verify_lines(&mut input, verifier, &mut |_, bytes| progress.add(bytes.len() as u64));
    drop(progress);
    verified.map_err(|error| match error {
        ledger::LineError::Io { .. } => unread(format!("{} cannot be read: {}", path.display(), chain(&error))),
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
