//! The ledger, for those who check it.

use model::Record;
use serde::{Deserialize, Serialize};

/// `GET /v1/ledger/records?from=&limit=` and the filters `correlation`, `actor`, `subject`, `kind`, `since`, `until`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LedgerPage {
    /// The records in order, each in its canonical form.
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<Record>,
    /// Where to go on.
    pub next: u64,
}

/// `GET /v1/ledger/checkpoint`
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckpointView {
    /// The signed note (C2SP tlog-checkpoint).
    pub note: String,
    /// How many records it covers.
    pub size: u64,
    /// The root of the Merkle tree, in hexadecimal.
    pub root: String,
}

/// `GET /v1/ledger/proof?seq=&size=`: inclusion of one record in the tree of that size (RFC 6962, section 2.1.1).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InclusionProof {
    /// The record's place.
    pub seq: u64,
    /// The size of the tree.
    pub size: u64,
    /// The record's canonical bytes, as text.
    pub record: String,
    /// The audit path, in hexadecimal, from the leaf up.
    pub path: Vec<String>,
    /// The root, in hexadecimal.
    pub root: String,
}
