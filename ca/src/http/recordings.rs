//! Recordings.

use api::{Problem, wire};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use model::RecordingId;
use serde::Deserialize;

use super::extract::{Json, Path, Query, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{Cursor, Wanted};

/// What to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Only of this identity.
    identity: Option<String>,
    /// Only on this target.
    target: Option<String>,
    /// Only of this session.
    session: Option<String>,
    /// Only under this grant.
    request: Option<String>,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

/// How to read.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    /// Go on until a live recording is closed.
    #[serde(default)]
    follow: bool,
}

/// The recordings that the caller may know of, newest first.
#[utoipa::path(get, path = "/v1/recordings", tag = "recordings", params(Listing), security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::Recording>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(listing): Query<Listing>,
) -> Result<Json<wire::Page<wire::Recording>>, Fault> {
    let Listing { identity, target, session, request, after } = listing;
    let after = after.as_deref().map(Cursor::parse).transpose()?;
    let wanted = Wanted { identity, target, session, request };
    let page = app.recordings(&caller, &wanted, after.as_ref()).await?;
    Ok(Json(view::page(page, view::recording)))
}

/// One recording.
#[utoipa::path(get, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::Recording), (status = "default", body = Problem)))]
pub(super) async fn get(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RecordingId>,
) -> Result<Json<wire::Recording>, Fault> {
    Ok(Json(view::recording(app.recording(&caller, &id).await?)))
}

/// The bytes of a recording; that they are read is a fact of its own.
#[utoipa::path(get, path = "/v1/recordings/{id}/content", tag = "recordings", params(("id" = String, Path), Reading),
    security(("token" = [])),
    responses((status = 200, content_type = "application/octet-stream"), (status = "default", body = Problem)))]
pub(super) async fn content(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RecordingId>,
    Query(reading): Query<Reading>,
) -> Result<Response, Fault> {
    let replay = app.replay(&caller, &id, reading.follow).await?;
    let chunks = stream::unfold(replay, |mut replay| async {
        // An error cuts the answer off, so that half a recording never passes for a whole one.
        let chunk = replay.chunk().await.transpose()?;
        Some((chunk, replay))
    });
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
