//! The calls about second factors: authenticators, and their one-time codes.

use model::FactorId;
use reqwest::Method;

use super::Client;
use super::calls::{Answer, NOTHING, Query};
use crate::wire;

impl Client {
    /// `POST /v1/factors`: a secret for an authenticator, shown once.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn begin_factor(&self) -> Answer<wire::Enrolment> {
        self.call(Method::POST, "/v1/factors", NOTHING, None).await
    }

    /// `POST /v1/factors/{id}/confirm`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn confirm_factor(&self, id: &FactorId, body: &wire::Code) -> Answer<wire::FactorConfirmed> {
        let answer: wire::FactorConfirmed =
            self.call(Method::POST, &format!("/v1/factors/{id}/confirm"), Some(body), None).await?;
        self.take_up(&answer.taken);
        Ok(answer)
    }

    /// `POST /v1/factors/verify`: a one-time code, which is good once. The client goes on with the new session token.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn verify_code(&self, body: &wire::Code) -> Answer<wire::CodeTaken> {
        let taken: wire::CodeTaken = self.call(Method::POST, "/v1/factors/verify", Some(body), None).await?;
        self.take_up(&taken);
        Ok(taken)
    }

    /// `GET /v1/factors`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn factors(&self, identity: Option<&str>) -> Answer<wire::Page<wire::FactorView>> {
        let mut query = Query::default();
        query.add("identity", identity);
        self.get(&query.on("/v1/factors")).await
    }

    /// `POST /v1/factors/{id}/remove`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn remove_factor(&self, id: &FactorId, body: &wire::RemoveFactor) -> Answer<wire::FactorRemoved> {
        self.call(Method::POST, &format!("/v1/factors/{id}/remove"), Some(body), None).await
    }
}
