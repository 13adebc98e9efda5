//! Proxies, as they say that they are.

use std::time::Duration;

use api::{Problem, wire};
use axum::extract::State;
use axum::http::StatusCode;

use super::Shared;
use super::extract::{Json, Who};
use super::problem::Fault;
use crate::app::ProxyWord;

/// How the calling proxy does (proxies only).
#[utoipa::path(post, path = "/v1/proxies/status", tag = "system", request_body = wire::TellProxyStatus,
    security(("token" = [])), responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn tell(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::TellProxyStatus>,
) -> Result<StatusCode, Fault> {
    let wire::TellProxyStatus { feed_age, feed_limit, host_key, host_key_error, host_key_refused, user_ca } = body;
    let refused = host_key_error.zip(host_key_refused).map(|(why, at)| (why, at.0));
    let (feed_age, feed_limit) = (feed_age.map(Duration::from_millis), Duration::from_millis(feed_limit));
    app.hear_proxy(&caller, ProxyWord { feed_age, feed_limit, host_key, refused, user_ca })?;
    Ok(StatusCode::NO_CONTENT)
}
