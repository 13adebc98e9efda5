//! Grants.

use api::{Problem, wire};
use axum::extract::State;
use axum::http::HeaderMap;
use model::{RequestId, Span};

use super::extract::{Json, Path, Query, Who};
use super::problem::Fault;
use super::requests::{Listing, idempotency_key};
use super::{Shared, view};

/// The grants that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", params(Listing), security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::Grant>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(listing): Query<Listing>,
) -> Result<Json<wire::Page<wire::Grant>>, Fault> {
    let state: Option<wire::GrantState> = listing.state("scheduled, active, expired, revoked, released")?;
    let wanted = |request: &access::Request| {
        state.is_none_or(|state| request.grant().is_some_and(|grant| view::grant_state(grant) == state))
    };
    let page = app.grants(&caller, wanted, listing.mine(), listing.after()?.as_ref()).await?;
    let items = page.items.iter().filter_map(view::grant).collect();
    Ok(Json(wire::Page { items, next: page.next }))
}

/// One grant.
#[utoipa::path(get, path = "/v1/grants/{id}", tag = "grants", params(("id" = String, Path)), security(("token" = [])),
    responses((status = 200, body = wire::Grant), (status = "default", body = Problem)))]
pub(super) async fn get(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Grant>, Fault> {
    Ok(Json(view::grant_of(&app.get_grant(&caller, &id).await?)?))
}

/// Takes a grant from its holder; its sessions are dropped.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", tag = "grants", params(("id" = String, Path)),
    request_body = wire::Revoke, security(("token" = [])),
    responses((status = 200, body = wire::Grant), (status = "default", body = Problem)))]
pub(super) async fn revoke(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
    Json(body): Json<wire::Revoke>,
) -> Result<Json<wire::Grant>, Fault> {
    let reason = view::reason(body.reason.as_deref().unwrap_or("revoked"))?;
    Ok(Json(view::grant_of(&app.revoke(&caller, &id, &reason).await?)?))
}

/// Gives one's own grant back.
#[utoipa::path(post, path = "/v1/grants/{id}/release", tag = "grants", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::Grant), (status = "default", body = Problem)))]
pub(super) async fn release(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
) -> Result<Json<wire::Grant>, Fault> {
    Ok(Json(view::grant_of(&app.release(&caller, &id).await?)?))
}

/// Files a request that extends the grant.
#[utoipa::path(post, path = "/v1/grants/{id}/extend", tag = "grants", request_body = wire::Extend, security(("token" = [])),
    params(("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key answers with the same request")),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn extend(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<RequestId>,
    headers: HeaderMap,
    Json(body): Json<wire::Extend>,
) -> Result<Json<wire::Request>, Fault> {
    let (duration, reason) = (Span::from_seconds(body.duration), view::reason(&body.reason)?);
    let extended = app.extend(&caller, &id, duration, reason, idempotency_key(&headers)?).await?;
    Ok(Json(view::request(&extended)))
}
