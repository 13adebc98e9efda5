//! Logging in.

use api::{Problem, wire};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use identity::{LoginAttempt, Subject};

use super::Shared;
use super::extract::{Json, Who};
use super::gate::{Bearer, Peer};
use super::problem::Fault;
use crate::app::AppError;

/// A single-use nonce to be signed. No token is needed.
#[utoipa::path(post, path = "/v1/login/challenge", tag = "login", request_body = wire::ChallengeRequest,
    responses((status = 200, body = wire::Challenge), (status = "default", body = Problem)))]
pub(super) async fn challenge(
    State(app): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    Json(_purpose): Json<wire::ChallengeRequest>,
) -> Json<wire::Challenge> {
    // The purpose is bound by what is signed: each has its own namespace.
    let challenge = app.challenge(peer);
    let server = app.server().to_owned();
    Json(wire::Challenge { nonce: challenge.nonce.to_string(), server, expires: challenge.expires.into() })
}

/// A proof of identity for a session token. No token is needed.
#[utoipa::path(post, path = "/v1/login", tag = "login", request_body = wire::LoginRequest,
    responses((status = 200, body = wire::LoginResponse), (status = "default", body = Problem)))]
pub(super) async fn login(
    State(app): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    Json(body): Json<wire::LoginRequest>,
) -> Result<Json<wire::LoginResponse>, Fault> {
    let subject = subject(&body.subject)?;
    let nonce = body.nonce.parse().map_err(|error| AppError::Invalid(format!("{error}")))?;
    let attempt = LoginAttempt { subject, nonce, signature: body.signature };
    let login = app.login(&attempt, peer).await?;
    Ok(Json(wire::LoginResponse { token: login.token.expose().to_owned(), expires: login.info.expires.into() }))
}

/// Ends the session token, or the pass that came with it.
#[utoipa::path(post, path = "/v1/logout", tag = "login", security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn logout(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(Bearer(token)): Extension<Bearer>,
) -> StatusCode {
    app.end_token(&caller, &token);
    StatusCode::NO_CONTENT
}

/// Whose session token it is.
#[utoipa::path(get, path = "/v1/whoami", tag = "login", security(("token" = [])),
    responses((status = 200, body = wire::WhoAmI), (status = "default", body = Problem)))]
pub(super) async fn whoami(State(app): State<Shared>, Who(caller): Who) -> Json<wire::WhoAmI> {
    Json(wire::WhoAmI {
        subject: caller.subject().to_string(),
        identity: caller.subject().identity().cloned(),
        groups: app.groups(&caller),
        key: caller.key().to_owned(),
        touch: caller.touch(),
        code_until: caller.code_until().map(Into::into),
        expires: caller.expires().into(),
        locked: caller.unlocked().err().map(|error| error.to_string()),
    })
}

/// "alice", or "proxy:proxy1".
fn subject(text: &str) -> Result<Subject, AppError> {
    let read = match text.strip_prefix("proxy:") {
        Some(name) => name.parse().map(Subject::Proxy),
        None => text.parse().map(Subject::Identity),
    };
    read.map_err(|error| AppError::Invalid(error.to_string()))
}
