//! Requests.

use api::{Problem, wire};
use axum::extract::State;
use axum::http::HeaderMap;
use model::{RequestId, Span};
use serde::Deserialize;

use super::extract::{Json, Path, Query, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{AppError, Ask, Cursor};

/// What to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Only those in this state.
    state: Option<String>,
    /// Only the caller's own.
    #[serde(default)]
    mine: bool,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

impl Listing {
    pub(super) const fn mine(&self) -> bool {
        self.mine
    }

    pub(super) fn after(&self) -> Result<Option<Cursor>, AppError> {
        self.after.as_deref().map(Cursor::parse).transpose()
    }

    pub(super) fn state<T: serde::de::DeserializeOwned>(&self, states: &str) -> Result<Option<T>, AppError> {
        let read = |text: &String| {
            serde_json::from_value(serde_json::Value::String(text.clone()))
                .map_err(|_| AppError::Invalid(format!("{:?} is no state; known are {states}", super::short(text))))
        };
        self.state.as_ref().map(read).transpose()
    }
}

/// Asks for access.
#[utoipa::path(post, path = "/v1/requests", tag = "requests", request_body = wire::FileRequest, security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key answers with the same request")),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn file(
    State(app): State<Shared>,
    Who(caller): Who,
    headers: HeaderMap,
    Json(body): Json<wire::FileRequest>,
) -> Result<Json<wire::Request>, Fault> {
    let ask = Ask {
        target: body.target,
        login: body.login,
        duration: Span::from_seconds(body.duration),
        reason: view::reason(&body.reason)?,
        ticket: body.ticket,
        command: body.command,
        start: body.start.map(|start| start.0),
        idempotency_key: idempotency_key(&headers)?,
    };
    Ok(Json(view::request(&app.request(&caller, ask).await?)))
}

/// The requests that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/requests", tag = "requests", params(Listing), security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::Request>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(listing): Query<Listing>,
) -> Result<Json<wire::Page<wire::Request>>, Fault> {
    let state: Option<wire::RequestState> = listing.state("pending, approved, denied, cancelled, expired")?;
    let wanted = |request: &access::Request| state.is_none_or(|state| view::request_state(request) == state);
    let page = app.requests(&caller, wanted, listing.mine(), listing.after()?.as_ref()).await?;
    Ok(Json(view::page(page, |request| view::request(&request))))
}

/// One request.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path)), security(("token" = [])),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn get(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Request>, Fault> {
    Ok(Json(view::request(&app.get_request(&caller, &id).await?)))
}

/// Approves a request, possibly for a shorter time.
#[utoipa::path(post, path = "/v1/requests/{id}/approve", tag = "requests", params(("id" = String, Path)),
    request_body = wire::Approve, security(("token" = [])),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn approve(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
    Json(body): Json<wire::Approve>,
) -> Result<Json<wire::Request>, Fault> {
    let (duration, comment) = (body.duration.map(Span::from_seconds), view::comment(body.comment.as_deref())?);
    Ok(Json(view::request(&app.approve(&caller, &id, duration, comment).await?)))
}

/// Who can approve a pending request.
#[utoipa::path(get, path = "/v1/requests/{id}/reviewers", tag = "requests", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::Reviewers), (status = "default", body = Problem)))]
pub(super) async fn reviewers(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Reviewers>, Fault> {
    let found = app.reviewers(&caller, &id).await?;
    let more = u32::try_from(found.more).unwrap_or(u32::MAX);
    Ok(Json(wire::Reviewers { names: found.names, more }))
}

/// Denies a request, which ends it.
#[utoipa::path(post, path = "/v1/requests/{id}/deny", tag = "requests", params(("id" = String, Path)),
    request_body = wire::Deny, security(("token" = [])),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn deny(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
    Json(body): Json<wire::Deny>,
) -> Result<Json<wire::Request>, Fault> {
    let comment = view::comment(body.comment.as_deref())?;
    Ok(Json(view::request(&app.deny(&caller, &id, comment).await?)))
}

/// Takes one's own review of a pending request back.
#[utoipa::path(post, path = "/v1/requests/{id}/withdraw", tag = "requests", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn withdraw(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Request>, Fault> {
    Ok(Json(view::request(&app.withdraw(&caller, &id).await?)))
}

/// Takes one's own pending request back.
#[utoipa::path(post, path = "/v1/requests/{id}/cancel", tag = "requests", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn cancel(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Request>, Fault> {
    Ok(Json(view::request(&app.cancel(&caller, &id).await?)))
}

/// The header `Idempotency-Key`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, AppError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map_err(|_| AppError::Invalid("the Idempotency-Key is not plain text".to_owned()))?;
    Ok(Some(text.to_owned()))
}
