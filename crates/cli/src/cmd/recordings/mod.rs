//! `portcullis recordings`: what was recorded, out of the vault and against the ledger.

mod files;

use std::path::{Path, PathBuf};

use api::wire::Recording;
use api::{Client, RecordingFilter};
use model::{Fact, RecordingId, Timestamp};
use recordings::Source as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::fetch::Content;
use crate::keyring::beside;
use crate::output::Tone;
use crate::progress::Progress;
use crate::show::{field, moment};
use crate::trust;
use crate::words::{bytes, count, distance, short};
use crate::{ids, pages};

/// List recordings, export them, and verify them against the ledger
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  portcullis recordings --identity alice --target web1
  portcullis recordings files --path '/srv/in/**' --uploads
  portcullis recordings export rec-k2 --out k2.cast
  portcullis recordings verify rec-k2 --file k2.cast
  portcullis recordings verify --all
  portcullis recordings verify --all --digests  # hands nothing out"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show this recording in full
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only of this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only on this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only under this grant
    #[arg(long, value_name = "ID", visible_alias = "grant")]
    request: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Find who moved which file over SFTP or scp
    #[command(after_help = FILES)]
    Files {
        #[command(flatten)]
        sought: files::Sought,
        #[command(flatten)]
        filter: Filter,
    },
    /// Write a recording's file: asciicast v2 for a terminal, JSON lines for anything else
    Export {
        /// The recording; a unique beginning of its id, or its session's id
        id: String,
        /// Where to; standard output when it is left out and is no terminal
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file when it is there already
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Check recordings against the ledger: digest, inclusion proof, signed checkpoint
    #[command(after_help = VERIFYING)]
    Verify {
        /// The recordings
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// Every recording that you may see and that is closed
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Check this file instead of what the CA holds now
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        file: Option<PathBuf>,
        /// Only that the digest which the CA shows is what the ledger recorded; no content is fetched
        #[arg(long, conflicts_with = "file")]
        digests: bool,
        /// The ledger's verifier key or a file with it, instead of the one pinned at login
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

const FILES: &str = "\
Examples:
  portcullis recordings files --path '/srv/in/**' --uploads
  portcullis recordings files --sha256 \"$(sha256sum < found | cut -d' ' -f1)\"
  portcullis recordings files --identity alice --refused

The recordings themselves are read, newest last. That takes the right to replay them, and the ledger keeps each as a
replay: narrow it down with --identity, --target, --session or --request.

Exit codes:
  0  all of them were read
  1  some were skipped, because you may not replay them";

const VERIFYING: &str = "\
What is checked is the recording's content: it is fetched and hashed here. That hands it out, so it takes the right to
replay, and the ledger keeps it as a replay. With --file (an exported copy) or --digests nothing is handed out, it takes
only the right to know of the recording, and it is no replay. --digests says nothing about the bytes in the vault.

Exit codes:
  0  all of them verified
  1  those that could be checked did; others were skipped, because you may not replay them
  7  one does not verify";

/// Where the bytes come from that are to be what the ledger recorded.
#[derive(Clone, Copy)]
enum Against<'a> {
    Content,
    File(&'a Path),
    Digests,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    // In front of every call: what is not written must not be in the ledger as read.
    if let Some(Action::Export { out: Some(path), force: false, .. }) = &args.action
        && path.exists()
    {
        return Err(CliError::usage(
            format!("{} is there already", path.display()),
            "name another file, or replace it with --force",
        ));
    }
    no_file(args)?;
    let client = context.client().await?;
    match &args.action {
        None => match &args.id {
            Some(text) => {
                let id = ids::recording(&client, text).await?;
                show(context, &client.get_recording(&id).await?)
            }
            None => list(context, &client, &args.filter).await,
        },
        Some(Action::Files { sought, filter }) => {
            let recordings = filtered(&client, filter).await?;
            files::run(context, &client, recordings, sought).await
        }
        Some(Action::Export { id, out, force }) => {
            let id = ids::recording(&client, id).await?;
            export(context, &client, &id, out.as_deref(), *force).await
        }
        Some(Action::Verify { ids, all, file, digests, key }) => {
            let key = trust::ledger_key(context, key.as_deref())?;
            let chosen = match all {
                true => pages::recordings(&client, &RecordingFilter::default())
                    .await?
                    .into_iter()
                    .filter(|recording| recording.seq.is_some())
                    .collect(),
                false => named(&client, ids).await?,
            };
            if file.is_some() && chosen.len() != 1 {
                return Err(CliError::usage("--file is one recording", "name one recording with --file"));
            }
            let against = match file {
                Some(path) => Against::File(path),
                None if *digests => Against::Digests,
                None => Against::Content,
            };
            verify(context, &client, &chosen, against, &key).await
        }
    }
}

/// Refuses the name of a file where a recording is to be named. Which one it is a copy of, it does not say.
fn no_file(args: &Args) -> Result<(), CliError> {
    let (named, instead): (&[String], fn(&str) -> String) = match &args.action {
        Some(Action::Verify { ids, .. }) => {
            (ids, |file| format!("name the recording too: portcullis recordings verify ID --file {file}"))
        }
        Some(Action::Export { id, .. }) => (std::slice::from_ref(id), |file| {
            format!("name the recording: portcullis recordings export ID --out {file}")
        }),
        // It names none.
        Some(Action::Files { .. }) => return Ok(()),
        None => (args.id.as_slice(), |file| format!("portcullis play {file} plays it")),
    };
    match named.iter().find(|text| ids::names_a_file(text)) {
        Some(file) => {
            Err(CliError::usage(format!("{file} is the name of a file, and no recording's id"), instead(file)))
        }
        None => Ok(()),
    }
}

async fn named(client: &Client, texts: &[String]) -> Result<Vec<Recording>, CliError> {
    let mut found = Vec::new();
    for text in texts {
        let id = ids::recording(client, text).await?;
        found.push(client.get_recording(&id).await?);
    }
    Ok(found)
}

async fn list(context: &Context, client: &Client, filter: &Filter) -> Result<(), CliError> {
    let recordings = filtered(client, filter).await?;
    let headers = ["ID", "WHO", "WHERE", "STARTED", "LENGTH", "SIZE", "STATUS", "SESSION"];
    let now = context.now();
    context.output.list(&recordings, headers, |recording| row(now, recording), "no recording that you may see fits")
}

/// The recordings that fit, newest first.
async fn filtered(client: &Client, filter: &Filter) -> Result<Vec<Recording>, CliError> {
    let session = match &filter.session {
        Some(text) => Some(ids::session(client, text).await?.to_string()),
        None => None,
    };
    let request = match &filter.request {
        Some(text) => Some(ids::request(client, text).await?.to_string()),
        None => None,
    };
    let filter = RecordingFilter {
        identity: filter.identity.as_deref(),
        target: filter.target.as_deref(),
        session: session.as_deref(),
        request: request.as_deref(),
        after: None,
    };
    pages::recordings(client, &filter).await
}

fn row(now: Timestamp, recording: &Recording) -> [String; 8] {
    [
        recording.id.to_string(),
        recording.identity.to_string(),
        format!("{}@{}", recording.login, recording.target),
        distance(now, recording.started.0),
        recording.milliseconds.map(|millis| short(millis.div_ceil(1000))).unwrap_or_default(),
        recording.bytes.map(bytes).unwrap_or_default(),
        recording.status.clone(),
        recording.session.to_string(),
    ]
}

fn show(context: &Context, recording: &Recording) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(recording);
    }
    context.output.line(format_args!(
        "{}  {} as {}@{}",
        context.output.tone(Tone::Strong, &recording.id),
        recording.identity,
        recording.login,
        recording.target
    ))?;
    field(context, "session", format_args!("{}, channel {}", recording.session, recording.channel))?;
    field(context, "grant", &recording.request)?;
    field(context, "started", moment(context.now(), recording.started.0))?;
    field(context, "status", &recording.status)?;
    if let Some(length) = recording.bytes {
        field(context, "size", bytes(length))?;
    }
    if let Some(sha256) = &recording.sha256 {
        field(context, "sha256", sha256)?;
    }
    match recording.seq {
        Some(seq) => field(context, "ledger", format_args!("record {seq}")),
        None => Ok(()),
    }
}

async fn export(
    context: &Context,
    client: &Client,
    id: &RecordingId,
    out: Option<&Path>,
    force: bool,
) -> Result<(), CliError> {
    if out.is_none() && context.output.is_terminal() {
        return Err(CliError::usage(
            "a recording's bytes would act upon your terminal",
            format!("write them to a file: --out {id}.cast; or watch it: portcullis play {id}"),
        ));
    }
    let recording = client.get_recording(id).await?;
    let mut content = Content::from_api(client, id, false).await?;
    let Some(path) = out else {
        while let Some(chunk) = content.chunk().await.map_err(|error| broken(id, &error))? {
            context.output.bytes(&chunk)?;
        }
        return Ok(());
    };
    // What is replaced stays until the new one is whole; what is new and not whole does not stay.
    let making = if force { beside(path, ".part") } else { path.to_owned() };
    let found = match write(&recording, &mut content, &making, force).await {
        Ok(found) => found,
        Err((error, ours)) => {
            if ours {
                // The error is what matters; that a torn file stayed behind shows by itself.
                let _ = std::fs::remove_file(&making);
            }
            return Err(error);
        }
    };
    if force {
        std::fs::rename(&making, path).map_err(|error| CliError::file("replace", path, &error))?;
    }
    if recording.sha256.as_ref().is_some_and(|sha256| *sha256 != found) {
        return Err(CliError::integrity(
            format!(
                "{} holds {found}, but {id} has the digest {}",
                path.display(),
                recording.sha256.unwrap_or_default()
            ),
            format!("portcullis recordings verify {id} says what the ledger recorded"),
        ));
    }
    context.output.answer(&recording, |_| context.output.line(path.display()))
}

/// Writes the content to a file and returns its digest. An error comes with whether the file was made here.
async fn write(
    recording: &Recording,
    content: &mut Content,
    path: &Path,
    replace: bool,
) -> Result<String, (CliError, bool)> {
    let unwritten = |error: std::io::Error| CliError::file("write", path, &error);
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match replace {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = options.open(path).await.map_err(|error| (unwritten(error), false))?;
    let progress = Progress::bytes("exporting", recording.bytes);
    let mut hash = Sha256::new();
    while let Some(chunk) = content.chunk().await.map_err(|error| (broken(&recording.id, &error), true))? {
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(|error| (unwritten(error), true))?;
        progress.add(chunk.len() as u64);
    }
    file.sync_all().await.map_err(|error| (unwritten(error), true))?;
    Ok(hex::encode(hash.finalize()))
}

async fn verify(
    context: &Context,
    client: &Client,
    chosen: &[Recording],
    against: Against<'_>,
    key: &ledger::VerifierKey,
) -> Result<(), CliError> {
    let output = &context.output;
    let (mut results, mut skipped) = (Vec::new(), 0);
    let mut bad: Option<CliError> = None;
    for recording in chosen {
        let outcome = verify_one(client, recording, against, key.clone()).await;
        let (line, result) = match &outcome {
            Ok(proved) => (
                format!(
                    "{}  sha256 {}, record {} of {} in {}",
                    output.tone(Tone::Good, "verified"),
                    proved.sha256,
                    proved.seq,
                    proved.size,
                    proved.origin
                ),
                serde_json::json!({
                    "id": recording.id, "verified": true, "sha256": proved.sha256, "seq": proved.seq,
                    "size": proved.size, "origin": proved.origin,
                }),
            ),
            Err(error) if is_not_permitted(error) => (
                format!("{}  {error}", output.tone(Tone::Waiting, "skipped")),
                serde_json::json!({ "id": recording.id, "verified": null, "skipped": error.message() }),
            ),
            Err(error) => (
                format!("{}  {error}", output.tone(Tone::Bad, "NOT VERIFIED")),
                serde_json::json!({ "id": recording.id, "verified": false, "error": error.message() }),
            ),
        };
        if !output.is_json() {
            output.line(format_args!("{}  {line}", recording.id))?;
        }
        results.push(result);
        match outcome {
            Ok(_) => {}
            Err(error) if is_not_permitted(&error) => skipped += 1,
            // Whatever does not verify outranks what could not be fetched.
            Err(error) if bad.as_ref().is_none_or(|known| known.kind() != Kind::Integrity) => bad = Some(error),
            Err(_) => {}
        }
    }
    if output.is_json() {
        output.json(&results)?;
    } else if chosen.is_empty() {
        output.note("there is no closed recording that you may see");
    }
    match (bad, skipped) {
        (Some(error), _) => Err(error),
        (None, 0) => Ok(()),
        (None, _) => Err(CliError::failed(
            format!("{} of {} skipped: you may not replay them", skipped, count(chosen.len(), "recording")),
            "--digests checks what the ledger recorded without their content; whether you may replay, and why: portcullis \
             policy explain LOGIN@TARGET --action replay --requester NAME",
        )),
    }
}

/// Whether it is the asker who may not, and nothing that speaks against the recording.
fn is_not_permitted(error: &CliError) -> bool {
    matches!(error.api_code(), Some("forbidden" | "not-allowed"))
}

struct Verified {
    sha256: String,
    seq: u64,
    size: u64,
    origin: String,
}

async fn verify_one(
    client: &Client,
    recording: &Recording,
    against: Against<'_>,
    key: ledger::VerifierKey,
) -> Result<Verified, CliError> {
    let id = &recording.id;
    let Some(seq) = recording.seq else {
        return Err(CliError::failed(
            format!("{id} is {}, so the ledger has no digest of it yet", recording.status),
            "verify it once its session has ended",
        ));
    };
    let (sha256, length) = match against {
        Against::Content => digest(recording, Content::from_api(client, id, false).await?).await?,
        Against::File(path) => digest(recording, Content::from_file(path).await?).await?,
        Against::Digests => (recording.sha256.clone().unwrap_or_default(), recording.bytes.unwrap_or_default()),
    };
    let proved = trust::prove(client, key, seq).await?;
    let hint = "somebody changed the file or the ledger's record of it: keep both, and ask who had access to the vault";
    let fact = &proved.record.entry.fact;
    let Fact::RecordingClosed { recording: named, closed, .. } = fact else {
        let other = fact.kind();
        return Err(CliError::integrity(format!("record {seq} of the ledger is no closing of it but {other}"), hint));
    };
    if named != id {
        return Err(CliError::integrity(format!("record {seq} of the ledger is about {named}"), hint));
    }
    if closed.sha256 != sha256 || closed.bytes != length {
        return Err(CliError::integrity(
            format!(
                "it has {length} bytes with the digest {sha256}, but the ledger recorded {} bytes with {}",
                closed.bytes, closed.sha256
            ),
            hint,
        ));
    }
    Ok(Verified { sha256, seq, size: proved.checkpoint.size, origin: proved.checkpoint.origin })
}

/// The digest of what comes, and how many bytes it has.
async fn digest(recording: &Recording, mut content: Content) -> Result<(String, u64), CliError> {
    let progress = Progress::bytes("hashing", recording.bytes);
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    while let Some(chunk) = content.chunk().await.map_err(|error| broken(&recording.id, &error))? {
        hash.update(&chunk);
        length += chunk.len() as u64;
        progress.set(length);
    }
    drop(progress);
    Ok((hex::encode(hash.finalize()), length))
}

fn broken(id: &RecordingId, error: &std::io::Error) -> CliError {
    CliError::new(Kind::Unreachable, format!("{id} broke off: {error}"), "try again")
}
