//! Targets.

use api::{Problem, wire};
use axum::extract::State;
use axum::http::StatusCode;
use model::TargetName;

use super::extract::{Json, Path, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::AppError;

/// The targets that the caller may ask for; all of them for those who may administer.
#[utoipa::path(get, path = "/v1/targets", tag = "targets", security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::TargetView>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
) -> Result<Json<wire::Page<wire::TargetView>>, Fault> {
    let items = app.targets(&caller)?.into_iter().map(view::target).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// Registers a target, or replaces it.
#[utoipa::path(put, path = "/v1/targets/{name}", tag = "targets", params(("name" = String, Path)),
    request_body = wire::RegisterTarget, security(("token" = [])),
    responses((status = 200, body = wire::TargetView), (status = "default", body = Problem)))]
pub(super) async fn register(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(name): Path<TargetName>,
    Json(body): Json<wire::RegisterTarget>,
) -> Result<Json<wire::TargetView>, Fault> {
    if body.target.name != name {
        let detail = format!("the path says {name} and the body says {}", body.target.name);
        return Err(AppError::Invalid(detail).into());
    }
    Ok(Json(view::target(app.register_target(&caller, &body.target, body.replace).await?)))
}

/// The key of a target that knows no certificates, if there is one.
#[utoipa::path(get, path = "/v1/targets/{name}/key", tag = "targets", params(("name" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::TargetKey), (status = "default", body = Problem)))]
pub(super) async fn key(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(name): Path<TargetName>,
) -> Result<Json<wire::TargetKey>, Fault> {
    Ok(Json(view::target_key(app.target_key(&caller, &name).await?)))
}

/// The key of a target that knows no certificates, made now if there is none, or anew.
#[utoipa::path(post, path = "/v1/targets/{name}/key", tag = "targets", params(("name" = String, Path)),
    request_body = wire::MakeTargetKey, security(("token" = [])),
    responses((status = 200, body = wire::TargetKey), (status = "default", body = Problem)))]
pub(super) async fn make_key(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(name): Path<TargetName>,
    Json(body): Json<wire::MakeTargetKey>,
) -> Result<Json<wire::TargetKey>, Fault> {
    Ok(Json(view::target_key(app.make_target_key(&caller, &name, body.rotate).await?)))
}

/// Destroys the key of a target.
#[utoipa::path(delete, path = "/v1/targets/{name}/key", tag = "targets", params(("name" = String, Path)),
    security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn destroy_key(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(name): Path<TargetName>,
) -> Result<StatusCode, Fault> {
    app.destroy_target_key(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a target.
#[utoipa::path(delete, path = "/v1/targets/{name}", tag = "targets", params(("name" = String, Path)),
    security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(name): Path<TargetName>,
) -> Result<StatusCode, Fault> {
    app.remove_target(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
