//! The ledger's word, checked here: a checkpoint that the pinned key signed, and the proof that a record is under it.

use std::path::Path;

use api::Client;
use ledger::{Checkpoint, Digest, InclusionProof, VerifierKey, leaf_hash};
use model::Record;

use crate::context::Context;
use crate::error::{CliError, Kind, chain};

/// A record that was proved to be in the ledger.
#[derive(Debug)]
pub(crate) struct Proved {
    /// The record.
    pub(crate) record: Record,
    /// Its canonical bytes.
    pub(crate) bytes: String,
    /// The proof.
    pub(crate) proof: InclusionProof,
    /// What it leads to.
    pub(crate) checkpoint: Checkpoint,
    /// The signed note that the checkpoint came in.
    pub(crate) note: String,
    /// Who signed it.
    pub(crate) key: VerifierKey,
}

/// The key that ledger proofs are checked with: the given one, else the one that was pinned at the first login.
pub(crate) fn ledger_key(context: &Context, given: Option<&str>) -> Result<VerifierKey, CliError> {
    let text = match given {
        Some(given) if Path::new(given).is_file() => read(Path::new(given))?,
        Some(given) => given.to_owned(),
        None => {
            let path = context.home()?.ledger_key();
            if !path.exists() {
                return Err(CliError::new(
                    Kind::NotFound,
                    format!("there is no pinned ledger key at {}", path.display()),
                    "portcullis login pins it; or give one with --key NAME+ID+BASE64",
                ));
            }
            read(&path)?
        }
    };
    text.trim().parse().map_err(|error| {
        CliError::usage(
            chain_note(&error),
            "a verifier key reads name+keyid+base64: portcullis login keeps it in ledger.vkey",
        )
    })
}

/// The CA's newest checkpoint, opened with the key.
pub(crate) async fn checkpoint(client: &Client, key: &VerifierKey) -> Result<(Checkpoint, String), CliError> {
    let view = client.checkpoint().await?;
    open(&view.note, key).map(|checkpoint| (checkpoint, view.note))
}

/// Opens a signed note.
pub(crate) fn open(note: &str, key: &VerifierKey) -> Result<Checkpoint, CliError> {
    Checkpoint::open(note, std::slice::from_ref(key)).map_err(|error| {
        CliError::integrity(
            chain_note(&error),
            format!("this is not what {} signs: ask who runs the CA whether its ledger key changed", key.name()),
        )
    })
}

/// Fetches one record with its proof and checks everything that can be checked.
pub(crate) async fn prove(client: &Client, key: VerifierKey, seq: u64) -> Result<Proved, CliError> {
    let (checkpoint, note) = checkpoint(client, &key).await?;
    let given = client.inclusion_proof(seq, Some(checkpoint.size)).await?;
    let bad = |what: String| {
        CliError::integrity(
            format!("record {seq} is not proved: {what}"),
            "keep what the CA answered, and have its ledger checked offline: portcullis ledger verify",
        )
    };
    let hashes = given.path.iter().map(|hash| hash.parse()).collect::<Result<Vec<Digest>, _>>();
    let hashes = hashes.map_err(|error| bad(chain(&error)))?;
    let proof = InclusionProof { index: seq, size: checkpoint.size, hashes };
    proof.verify(&leaf_hash(given.record.as_bytes()), &checkpoint.root).map_err(|error| bad(chain(&error)))?;
    let record = ledger::decode(given.record.as_bytes()).map_err(|error| bad(chain(&error)))?;
    if record.seq.0 != seq {
        return Err(bad(format!("it carries the number {}", record.seq)));
    }
    Ok(Proved { record, bytes: given.record, proof, checkpoint, note, key })
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, &error))
}

fn chain_note(error: &ledger::NoteError) -> String {
    chain(error)
}
