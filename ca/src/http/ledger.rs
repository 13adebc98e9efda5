//! The ledger.

use api::{Problem, wire};
use axum::extract::State;
use model::{Actor, Correlation, Seq, Subject, Timestamp};
use serde::Deserialize;
use store::Query as Look;

use super::Shared;
use super::extract::{Json, Query, Who};
use super::problem::Fault;
use crate::app::AppError;

/// Which records.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    /// From this place on.
    #[serde(default)]
    from: u64,
    /// At most this many, up to 1,000.
    limit: Option<u32>,
    /// Under this correlation id.
    correlation: Option<String>,
    /// By this actor: "alice", "proxy:proxy1", "system".
    actor: Option<String>,
    /// About this subject: "target:web1", "session:ses-…".
    subject: Option<String>,
    /// Of this kind, or of a noun's kinds: "session.opened", "session.".
    kind: Option<String>,
    /// Since then (inclusive), RFC 3339.
    since: Option<String>,
    /// Until then (exclusive), RFC 3339.
    until: Option<String>,
}

/// Which proof.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Proving {
    /// The record's place.
    seq: u64,
    /// The size of the tree; absent: the whole ledger.
    size: Option<u64>,
}

/// Records, in order.
#[utoipa::path(get, path = "/v1/ledger/records", tag = "ledger", params(Reading), security(("token" = [])),
    responses((status = 200, body = wire::LedgerPage), (status = "default", body = Problem)))]
pub(super) async fn records(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(reading): Query<Reading>,
) -> Result<Json<wire::LedgerPage>, Fault> {
    let look = Look {
        correlation: reading.correlation.map(Correlation::from_text),
        actor: reading.actor.as_deref().map(actor).transpose()?,
        subject: reading.subject.map(Subject::from_text),
        since: reading.since.as_deref().map(time).transpose()?,
        until: reading.until.as_deref().map(time).transpose()?,
        kind: reading.kind,
    };
    let limit = usize::try_from(reading.limit.unwrap_or(100)).unwrap_or(usize::MAX);
    let records = app.records(&caller, look, Seq(reading.from), limit).await?;
    let next = records.last().map_or(reading.from, |last| last.seq.next().0);
    Ok(Json(wire::LedgerPage { records, next }))
}

/// The signed checkpoint of the whole ledger.
#[utoipa::path(get, path = "/v1/ledger/checkpoint", tag = "ledger", security(("token" = [])),
    responses((status = 200, body = wire::CheckpointView), (status = "default", body = Problem)))]
pub(super) async fn checkpoint(
    State(app): State<Shared>,
    Who(caller): Who,
) -> Result<Json<wire::CheckpointView>, Fault> {
    let signed = app.checkpoint(&caller)?;
    let (size, root) = (signed.checkpoint.size, signed.checkpoint.root.to_string());
    Ok(Json(wire::CheckpointView { note: signed.note.to_string(), size, root }))
}

/// The proof that one record is in the ledger (RFC 6962, section 2.1.1).
#[utoipa::path(get, path = "/v1/ledger/proof", tag = "ledger", params(Proving), security(("token" = [])),
    responses((status = 200, body = wire::InclusionProof), (status = "default", body = Problem)))]
pub(super) async fn proof(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(proving): Query<Proving>,
) -> Result<Json<wire::InclusionProof>, Fault> {
    let proof = app.proof(&caller, Seq(proving.seq), proving.size).await?;
    Ok(Json(wire::InclusionProof {
        seq: proof.path.index,
        size: proof.path.size,
        record: String::from_utf8_lossy(&proof.record).into_owned(),
        path: proof.path.hashes.iter().map(ToString::to_string).collect(),
        root: proof.root.to_string(),
    }))
}

fn actor(text: &str) -> Result<Actor, AppError> {
    let read = match text.strip_prefix("proxy:") {
        Some(name) => name.parse().map(Actor::Proxy),
        None if text == "system" => Ok(Actor::System),
        None => text.parse().map(Actor::Identity),
    };
    read.map_err(|error| AppError::Invalid(error.to_string()))
}

fn time(text: &str) -> Result<Timestamp, AppError> {
    text.parse().map_err(|error: model::TimeError| AppError::Invalid(error.to_string()))
}
