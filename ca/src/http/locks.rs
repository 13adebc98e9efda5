//! Locks.

use api::{Problem, wire};
use axum::extract::State;
use axum::http::StatusCode;
use model::{LockId, LockSubject, Span};

use super::extract::{Json, Path, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::AppError;

/// The locks in force that the caller may see.
#[utoipa::path(get, path = "/v1/locks", tag = "locks", security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::LockView>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
) -> Result<Json<wire::Page<wire::LockView>>, Fault> {
    let items = app.locks(&caller).await?.into_iter().map(|placed| view::lock(placed, None)).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// Places a lock: refuses the new and drops the live.
#[utoipa::path(post, path = "/v1/locks", tag = "locks", request_body = wire::PlaceLock, security(("token" = [])),
    responses((status = 200, body = wire::LockView), (status = "default", body = Problem)))]
pub(super) async fn place(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::PlaceLock>,
) -> Result<Json<wire::LockView>, Fault> {
    let subject: LockSubject = body.subject.parse().map_err(AppError::Invalid)?;
    let (reason, duration) = (view::reason(&body.reason)?, body.duration.map(Span::from_seconds));
    let (placed, sessions) = app.lock(&caller, &subject, &reason, duration).await?;
    Ok(Json(view::lock(placed, Some(sessions))))
}

/// Lifts a lock.
#[utoipa::path(post, path = "/v1/locks/{id}/lift", tag = "locks", params(("id" = String, Path)),
    request_body = wire::LiftLock, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn lift(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<LockId>,
    Json(body): Json<wire::LiftLock>,
) -> Result<StatusCode, Fault> {
    let reason = body.reason.as_deref().map(view::reason).transpose()?;
    app.unlock(&caller, &id, reason.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
