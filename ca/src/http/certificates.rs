//! Certificates.

use api::{Problem, wire};
use axum::extract::State;
use serde::Deserialize;

use super::extract::{Json, Query, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{AppError, Cursor, HostName, Issue};

/// Where a list begins.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

impl After {
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, AppError> {
        self.after.as_deref().map(Cursor::parse).transpose()
    }
}

/// The public keys of the CA and the addresses of its proxies. No token is needed.
#[utoipa::path(get, path = "/v1/ca", tag = "certificates",
    responses((status = 200, body = wire::CaKeys), (status = "default", body = Problem)))]
pub(super) async fn ca(State(app): State<Shared>) -> Result<Json<wire::CaKeys>, Fault> {
    let known = app.public_keys().await?;
    let proxies = known.proxies.into_iter().map(|(name, host, port)| wire::ProxyAddress { name, host, port });
    Ok(Json(wire::CaKeys {
        user_ca: known.user_ca,
        host_ca: known.host_ca,
        front_ca: known.front_ca,
        ledger_key: known.ledger_key,
        proxies: proxies.collect(),
    }))
}

/// Issues a person's certificate under their own active grant.
#[utoipa::path(post, path = "/v1/certificates", tag = "certificates", request_body = wire::IssueCertificate,
    security(("token" = [])),
    responses((status = 200, body = wire::Certificate), (status = "default", body = Problem)))]
pub(super) async fn issue(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::IssueCertificate>,
) -> Result<Json<wire::Certificate>, Fault> {
    let nonce = body.nonce.parse().map_err(|error| AppError::Invalid(format!("{error}")))?;
    let issue = Issue { request: body.request, public_key: body.public_key, nonce, proof: body.proof };
    Ok(Json(view::issued(app.issue(&caller, &issue).await?)))
}

/// The certificates that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificates", params(After), security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::Certificate>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
    Query(after): Query<After>,
) -> Result<Json<wire::Page<wire::Certificate>>, Fault> {
    let page = app.certificates(&caller, after.cursor()?.as_ref()).await?;
    Ok(Json(view::page(page, |known| view::certificate(known.body, known.request, None))))
}

/// Issues a certificate for a host: a target's own, or what a proxy shows to people.
#[utoipa::path(post, path = "/v1/host-certificates", tag = "certificates", request_body = wire::IssueHostCertificate,
    security(("token" = [])),
    responses((status = 200, body = wire::Certificate), (status = "default", body = Problem)))]
pub(super) async fn issue_host(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::IssueHostCertificate>,
) -> Result<Json<wire::Certificate>, Fault> {
    let host = match body.host {
        wire::HostSubject::Proxy { name } => HostName::Proxy(name),
        wire::HostSubject::StandIn { name } => HostName::StandIn(name),
        wire::HostSubject::Target { name } => HostName::Target(name),
    };
    Ok(Json(view::issued(app.issue_host(&caller, &host, &body.public_key).await?)))
}
