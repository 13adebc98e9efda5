//! Sessions.

use api::{Problem, wire};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use model::{SessionId, Span};
use serde::Deserialize;

use super::extract::{Json, Path, Query, Who};
use super::gate::Presence;
use super::passes::address;
use super::problem::Fault;
use super::requests::idempotency_key;
use super::{Shared, view};
use crate::app::{AppError, Cursor, Knock, LogIn, Report};

/// What to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Only those whose sockets may be open.
    #[serde(default)]
    live: bool,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

/// Lets a session in (proxies only).
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = wire::OpenSession, security(("token" = [])),
    responses((status = 200, body = wire::OpenedSession), (status = "default", body = Problem)))]
pub(super) async fn open(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(presence): Extension<Presence>,
    Json(body): Json<wire::OpenSession>,
) -> Result<Json<wire::OpenedSession>, Fault> {
    let knock = Knock {
        certificate: body.certificate,
        target: body.target,
        login: body.login,
        address: address(&body.address)?,
        way: body.way,
        public_key: body.public_key,
        log_in: log_in(body.presence)?,
    };
    let opened = app.open_session(&caller, &knock).await?;
    if presence.is_gone() {
        // The proxy will never know of it, so it would stay open for ever.
        app.abandon(&caller, opened.permit.session()).await;
    }
    Ok(Json(view::opened(opened, app.host_ca().await?)))
}

/// What a proxy saw in one of its sessions (proxies only).
#[utoipa::path(post, path = "/v1/sessions/{id}/reports", tag = "sessions", params(("id" = String, Path)),
    request_body = wire::SessionReports, security(("token" = [])),
    responses((status = 200, body = wire::ReportsTaken), (status = "default", body = Problem)))]
pub(super) async fn report(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
    Json(body): Json<wire::SessionReports>,
) -> Result<Json<wire::ReportsTaken>, Fault> {
    let reports = body.reports.into_iter().map(read_report).collect();
    let taken = app.report(&caller, &id, body.told, reports).await?;
    Ok(Json(wire::ReportsTaken { taken }))
}

/// Logs a session in to a target that knows no certificates (proxies only).
#[utoipa::path(post, path = "/v1/sessions/{id}/target-signature", tag = "sessions", params(("id" = String, Path)),
    request_body = wire::SignForTarget, security(("token" = [])),
    responses((status = 200, body = wire::TargetSignature), (status = "default", body = Problem)))]
pub(super) async fn sign_for_target(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
    Json(body): Json<wire::SignForTarget>,
) -> Result<Json<wire::TargetSignature>, Fault> {
    let session_id = bytes("session_id", &body.session_id)?;
    let signature = app.sign_for_target(&caller, &id, &body.login, &session_id).await?;
    Ok(Json(wire::TargetSignature { signature: hex::encode(signature) }))
}

/// What an earlier run of a proxy left behind, and what it carries now (proxies only).
#[utoipa::path(post, path = "/v1/recovered", tag = "sessions", request_body = wire::Recovered, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn recovered(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::Recovered>,
) -> Result<StatusCode, Fault> {
    let recordings = body.recordings.into_iter().map(|found| (found.recording, found.closed)).collect();
    let spare = Span::from_seconds(body.spare);
    app.recovered(&caller, &body.live.into_iter().collect(), recordings, body.more, spare).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The sessions that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(Listing), security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::Session>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(listing): Query<Listing>,
) -> Result<Json<wire::Page<wire::Session>>, Fault> {
    let after = listing.after.as_deref().map(Cursor::parse).transpose()?;
    let page = app.sessions(&caller, listing.live, after.as_ref()).await?;
    Ok(Json(view::page(page, view::session)))
}

/// One session.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)), security(("token" = [])),
    responses((status = 200, body = wire::Session), (status = "default", body = Problem)))]
pub(super) async fn get(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
) -> Result<Json<wire::Session>, Fault> {
    Ok(Json(view::session(app.session(&caller, &id).await?)))
}

/// Orders one session to be dropped; its grant stays.
#[utoipa::path(post, path = "/v1/sessions/{id}/kill", tag = "sessions", params(("id" = String, Path)),
    request_body = wire::Kill, security(("token" = [])),
    responses((status = 200, body = wire::Session), (status = "default", body = Problem)))]
pub(super) async fn kill(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
    Json(body): Json<wire::Kill>,
) -> Result<Json<wire::Session>, Fault> {
    let reason = view::reason(body.reason.as_deref().unwrap_or("killed"))?;
    Ok(Json(view::session(app.kill(&caller, &id, &reason).await?)))
}

/// How much more time the person of a live session could ask for in it (the proxy that carries it only).
#[utoipa::path(get, path = "/v1/sessions/{id}/extension", tag = "sessions", params(("id" = String, Path)),
    security(("token" = [])),
    responses((status = 200, body = wire::ExtensionOffer), (status = "default", body = Problem)))]
pub(super) async fn offer_extension(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
) -> Result<Json<wire::ExtensionOffer>, Fault> {
    Ok(Json(view::offer(&app.offer_extension(&caller, &id)?)))
}

/// Files a request of a live session's person that extends its grant (the proxy that carries it only).
#[utoipa::path(post, path = "/v1/sessions/{id}/extension", tag = "sessions", request_body = wire::Extend,
    security(("token" = [])),
    params(("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key answers with the same request")),
    responses((status = 200, body = wire::Request), (status = "default", body = Problem)))]
pub(super) async fn extend(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(id): Path<SessionId>,
    headers: HeaderMap,
    Json(body): Json<wire::Extend>,
) -> Result<Json<wire::Request>, Fault> {
    let (duration, reason) = (Span::from_seconds(body.duration), view::reason(&body.reason)?);
    let filed = app.extend_session(&caller, &id, duration, reason, idempotency_key(&headers)?).await?;
    Ok(Json(view::request(&filed)))
}

/// A log-in, as its proxy tells it.
pub(super) fn log_in(told: wire::Presence) -> Result<LogIn, AppError> {
    let wire::Presence { user, session_id, signature } = told;
    Ok(LogIn {
        user,
        session_id: bytes("presence.session_id", &session_id)?,
        signature: bytes("presence.signature", &signature)?,
    })
}

fn bytes(field: &str, hexadecimal: &str) -> Result<Vec<u8>, AppError> {
    hex::decode(hexadecimal).map_err(|_| AppError::Invalid(format!("{field} is not hexadecimal")))
}

fn read_report(report: wire::SessionReport) -> Report {
    match report {
        wire::SessionReport::ChannelOpened { channel, channel_kind, pty } => {
            Report::ChannelOpened { channel, kind: channel_kind, pty }
        }
        wire::SessionReport::ChannelRefused { asked, reason } => Report::ChannelRefused { asked, reason },
        wire::SessionReport::ChannelClosed { channel, end } => Report::ChannelClosed { channel, end },
        wire::SessionReport::RecordingStarted { recording, channel } => Report::RecordingStarted { recording, channel },
        wire::SessionReport::RecordingClosed { recording, closed } => Report::RecordingClosed { recording, closed },
        wire::SessionReport::RecordingFailed { recording, error } => Report::RecordingFailed { recording, error },
        wire::SessionReport::Ended { end, cut, dropped } => {
            Report::Ended { end, cut: cut.map(|cut| cut.0), dropped: dropped.0 }
        }
    }
}
