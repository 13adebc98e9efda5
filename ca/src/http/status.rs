//! How the CA does, and what its API is.

use api::{Problem, wire};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::extract::{Json, Who};
use super::problem::Fault;
use super::{Shared, view};

/// How the CA does.
#[utoipa::path(get, path = "/v1/status", tag = "system", security(("token" = [])),
    responses((status = 200, body = wire::Status), (status = "default", body = Problem)))]
pub(super) async fn status(State(app): State<Shared>, Who(caller): Who) -> Result<Json<wire::Status>, Fault> {
    Ok(Json(view::status(app.status(&caller)?, app.server())))
}

/// Whether the CA answers, for load balancers. No token is needed.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// This document. No token is needed.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "system", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Response {
    static DOCUMENT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let text = DOCUMENT.get_or_init(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}
