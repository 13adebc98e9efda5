//! Passes.

use std::net::IpAddr;

use api::{Problem, wire};
use axum::extract::{Extension, State};

use super::extract::{Json, Who};
use super::gate::Presence;
use super::problem::Fault;
use super::sessions::log_in;
use super::{Shared, view};
use crate::app::{AppError, Entrance, Visitor};

/// Finds out whose plain key logged in to a proxy's connection, for a pass (proxies only).
#[utoipa::path(post, path = "/v1/passes", tag = "sessions", request_body = wire::BuyPass, security(("token" = [])),
    responses((status = 200, body = wire::Pass), (status = "default", body = Problem)))]
pub(super) async fn buy(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::BuyPass>,
) -> Result<Json<wire::Pass>, Fault> {
    let address = address(&body.address)?;
    let visitor = Visitor { public_key: body.public_key, address, log_in: log_in(body.presence)? };
    let bought = app.buy_pass(&caller, &visitor).await?;
    let wanted = app.code_wanted(&bought.info, body.login.as_deref().zip(body.target.as_deref()));
    let identity = bought.info.subject.identity().cloned();
    Ok(Json(wire::Pass {
        token: bought.token.expose().to_owned(),
        identity: identity.ok_or_else(|| AppError::Internal("a pass of nobody's".to_owned()))?,
        touch: bought.info.touch,
        authenticator: wanted.authenticator,
        code: wanted.code,
        reviews: app.passes_reviews_on(&caller),
        expires: bought.info.expires.into(),
    }))
}

/// Opens the one session of a pass (proxies only, with the pass).
#[utoipa::path(post, path = "/v1/passes/session", tag = "sessions", request_body = wire::EnterByPass,
    security(("token" = [])), responses((status = 200, body = wire::OpenedSession), (status = "default", body = Problem)))]
pub(super) async fn enter(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(presence): Extension<Presence>,
    Json(body): Json<wire::EnterByPass>,
) -> Result<Json<wire::OpenedSession>, Fault> {
    let wire::EnterByPass { target, login, way, public_key } = body;
    let opened = app.enter(&caller, &Entrance { target, login, way, public_key }).await?;
    if presence.is_gone() {
        // The proxy will never know of it, so it would stay open for ever.
        app.abandon(&caller, opened.permit.session()).await;
    }
    Ok(Json(view::opened(opened, app.host_ca().await?)))
}

/// Somebody's address, as their proxy tells it.
pub(super) fn address(text: &str) -> Result<IpAddr, AppError> {
    let read: Result<IpAddr, _> = text.parse();
    read.map(|address| address.to_canonical())
        .map_err(|_| AppError::Invalid(format!("{:?} is no address", super::short(text))))
}
