//! Second factors.

use access::Factor;
use api::{Problem, wire};
use axum::extract::{Extension, State};
use model::{FactorId, IdentityName, NameError};
use serde::Deserialize;

use super::extract::{Json, Path, Query, Who};
use super::gate::Bearer;
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{AppError, Enrolment, Taken};

/// Whose authenticators to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// Somebody else's, for those who may administer; absent: the caller's own.
    identity: Option<String>,
}

/// The caller's authenticators.
#[utoipa::path(get, path = "/v1/factors", tag = "factors", security(("token" = [])), params(Whose),
    responses((status = 200, body = wire::Page<wire::FactorView>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(whose): Query<Whose>,
) -> Result<Json<wire::Page<wire::FactorView>>, Fault> {
    let identity = named(whose.identity.as_deref())?;
    let found = app.list_factors(&caller, identity.as_ref()).await?;
    let items = found.into_iter().map(|(identity, factor)| shown(identity, &factor)).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// Makes a secret for a new authenticator of the caller's, and shows it this once. It counts once it is confirmed.
#[utoipa::path(post, path = "/v1/factors", tag = "factors", security(("token" = [])),
    responses((status = 200, body = wire::Enrolment), (status = "default", body = Problem)))]
pub(super) async fn begin(State(app): State<Shared>, Who(caller): Who) -> Result<Json<wire::Enrolment>, Fault> {
    let begun = app.begin_factor(&caller)?;
    let Enrolment { factor: id, otpauth, secret, expires } = begun;
    Ok(Json(wire::Enrolment { id, otpauth: otpauth.into(), secret: secret.into(), expires: expires.into() }))
}

/// The first code of a new authenticator.
#[utoipa::path(post, path = "/v1/factors/{id}/confirm", tag = "factors", params(("id" = String, Path)),
    request_body = wire::Code, security(("token" = [])),
    responses((status = 200, body = wire::FactorConfirmed), (status = "default", body = Problem)))]
pub(super) async fn confirm(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(Bearer(token)): Extension<Bearer>,
    Path(id): Path<FactorId>,
    Json(body): Json<wire::Code>,
) -> Result<Json<wire::FactorConfirmed>, Fault> {
    let (added, code) = app.confirm_factor(&caller, &token, &id, &body.code).await?;
    let identity = caller.identity()?.clone();
    Ok(Json(wire::FactorConfirmed { factor: shown(identity, &added), taken: taken(&code) }))
}

/// Removes an authenticator: one's own takes a one-time code of late, another's the right to administer.
#[utoipa::path(post, path = "/v1/factors/{id}/remove", tag = "factors", params(("id" = String, Path)),
    request_body = wire::RemoveFactor, security(("token" = [])),
    responses((status = 200, body = wire::FactorRemoved), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<FactorId>,
    Json(body): Json<wire::RemoveFactor>,
) -> Result<Json<wire::FactorRemoved>, Fault> {
    let reason = body.reason.as_deref().map(view::reason).transpose()?;
    let identity = named(body.identity.as_deref())?;
    let left = app.remove_factor(&caller, identity.as_ref(), &id, reason.as_ref()).await?;
    let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
    let (factors, grants, sessions) = (count(left.factors), count(left.grants), count(left.sessions));
    Ok(Json(wire::FactorRemoved { factors, grants, sessions }))
}

/// Takes a one-time code, good once: it makes more of the pass that it comes with; a session token is over, and the answer
/// has the one that takes its place and is worth more.
#[utoipa::path(post, path = "/v1/factors/verify", tag = "factors", request_body = wire::Code, security(("token" = [])),
    responses((status = 200, body = wire::CodeTaken), (status = "default", body = Problem)))]
pub(super) async fn verify(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(Bearer(token)): Extension<Bearer>,
    Json(body): Json<wire::Code>,
) -> Result<Json<wire::CodeTaken>, Fault> {
    let code = app.verify_code(&caller, &token, &body.code).await?;
    Ok(Json(taken(&code)))
}

fn taken(code: &Taken) -> wire::CodeTaken {
    let login = code.login.as_ref().map(|login| wire::LoginResponse {
        token: login.token.expose().to_owned(),
        expires: login.info.expires.into(),
    });
    wire::CodeTaken { until: code.until.into(), login }
}

fn shown(identity: IdentityName, factor: &Factor) -> wire::FactorView {
    wire::FactorView { id: factor.id.clone(), identity, added: factor.added.into(), used: factor.used.map(Into::into) }
}

fn named(identity: Option<&str>) -> Result<Option<IdentityName>, AppError> {
    identity.map(str::parse).transpose().map_err(|error: NameError| AppError::Invalid(error.to_string()))
}
