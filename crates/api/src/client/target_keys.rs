//! The calls about the keys of targets that know no certificates.

use model::{SessionId, TargetName};
use reqwest::Method;

use super::Client;
use super::calls::{Answer, NOTHING};
use crate::wire;

impl Client {
    /// `GET /v1/targets/{name}/key`: who looks makes none.
    ///
    /// # Errors
    /// Any error of a call; `no-target-key` where there is none.
    pub async fn target_key(&self, name: &TargetName) -> Answer<wire::TargetKey> {
        self.call(Method::GET, &format!("/v1/targets/{name}/key"), NOTHING, None).await
    }

    /// `POST /v1/targets/{name}/key`: there is a key afterwards.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn make_target_key(&self, name: &TargetName, body: &wire::MakeTargetKey) -> Answer<wire::TargetKey> {
        self.call(Method::POST, &format!("/v1/targets/{name}/key"), Some(body), None).await
    }

    /// `DELETE /v1/targets/{name}/key`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn destroy_target_key(&self, name: &TargetName) -> Answer<()> {
        self.call(Method::DELETE, &format!("/v1/targets/{name}/key"), NOTHING, None).await
    }

    /// `POST /v1/sessions/{id}/target-signature`: for session proxies.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn sign_for_target(&self, id: &SessionId, body: &wire::SignForTarget) -> Answer<wire::TargetSignature> {
        self.call(Method::POST, &format!("/v1/sessions/{id}/target-signature"), Some(body), None).await
    }
}
