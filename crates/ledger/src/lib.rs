//! Canonical encoding, hash chain, Merkle tree, signed checkpoints, proofs and the verifier.
//!
//! This crate is pure: bytes go in, bytes and judgements come out. Where the bytes lie is the store's business.
//!
//! - A fact is canonical JSON ([`encode`], [`decode`]): RFC 8785 restricted to strings, integers, booleans, arrays and objects.
//! - Each record is chained to all before it ([`chain`]) and is a leaf of an RFC 6962 tree ([`Tree`]).
//! - A [`Checkpoint`] is a C2SP tlog-checkpoint in a C2SP signed note, so tools that are not ours can check it.
//! - The [`Verifier`] goes through a whole ledger and names the first bad record.
#![forbid(unsafe_code)]

mod canonical;
mod checkpoint;
mod digest;
mod error;
mod line;
mod note;
mod proof;
mod tree;
mod verifier;

pub use canonical::{canonical, check, decode, encode};
pub use checkpoint::Checkpoint;
pub use digest::{Digest, DigestError, chain, chain_leaf, leaf_hash, node_hash};
pub use error::{DecodeError, EncodeError, NotCanonical};
pub use line::{LineError, export_line, parse_line, verify_lines};
pub use note::{Note, NoteError, NoteSignature, Signer, VerifierKey};
pub use proof::{ConsistencyProof, InclusionProof, Nodes, ProofError, consistency, inclusion, root_at};
pub use tree::{Tree, TreeError, stored_count, stored_index};
pub use verifier::{Flaw, FlawKind, Verified, Verifier};
