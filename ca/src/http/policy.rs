//! Policy.

use api::{Problem, wire};
use axum::extract::State;
use model::Span;

use super::extract::{Json, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{AppError, Riddle};

/// What would policy say, and why? Asking for oneself is free; for others it takes the right to administer.
#[utoipa::path(post, path = "/v1/policy/explain", tag = "policy", request_body = wire::ExplainRequest,
    security(("token" = [])),
    responses((status = 200, body = wire::Explanation), (status = "default", body = Problem)))]
pub(super) async fn explain(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::ExplainRequest>,
) -> Result<Json<wire::Explanation>, Fault> {
    let identity = body.identity.map(|name| name.parse()).transpose();
    let riddle = Riddle {
        identity: identity.map_err(|error: model::NameError| AppError::Invalid(error.to_string()))?,
        action: body.action.parse().map_err(AppError::Invalid)?,
        target: body.target,
        login: body.login,
        duration: body.duration.map(Span::from_seconds),
        command: body.command,
        ticket: body.ticket,
    };
    Ok(Json(view::explanation(&app.explain(&caller, &riddle)?)))
}
