//! The calls about the house itself: how its proxies do, the keys of its CAs, and who can approve.

use model::{Authority, RequestId};
use reqwest::Method;

use super::{Client, ClientError};
use crate::wire;

impl Client {
    /// `POST /v1/proxies/status`; proxies only.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn tell_proxy_status(&self, body: &wire::TellProxyStatus) -> Result<(), ClientError> {
        self.call(Method::POST, "/v1/proxies/status", Some(body), None).await
    }

    /// `GET /v1/requests/{id}/reviewers`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn reviewers(&self, id: &RequestId) -> Result<wire::Reviewers, ClientError> {
        self.get(&format!("/v1/requests/{id}/reviewers")).await
    }

    /// `GET /v1/ca/keys`; for those who may administer.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn ca_keys(&self) -> Result<wire::Page<wire::CaKeyState>, ClientError> {
        self.get("/v1/ca/keys").await
    }

    /// `POST /v1/ca/{name}/rotate`; for those who may administer.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn rotate_ca(&self, ca: Authority, ask: &wire::RotateCa) -> Result<wire::CaKeyState, ClientError> {
        self.call(Method::POST, &format!("/v1/ca/{ca}/rotate"), Some(ask), None).await
    }
}
