//! [`Control`] over the HTTPS API.

use std::sync::Arc;

use api::wire::{
    BuyPass, CaKeys, Code, EnterByPass, Extend, ExtensionOffer, HostSubject, IssueHostCertificate, OpenSession,
    OpenedSession, Pass, Recovered, Request, SessionReport, SessionReports, SignForTarget, TellProxyStatus,
};
use api::{Client, ClientError, EventStream, Heard};
use async_trait::async_trait;
use model::SessionId;
use zeroize::Zeroizing;

use crate::control::{Control, ControlError, Feed, HostCertificate};

/// The CA behind its API. The client must log in as the proxy by itself.
#[derive(Clone, Debug)]
pub struct Api(Client);

impl Api {
    /// The CA that this client reaches.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Control for Api {
    async fn keys(&self) -> Result<CaKeys, ControlError> {
        self.0.ca().await.map_err(error)
    }

    async fn open(&self, ask: &OpenSession) -> Result<OpenedSession, ControlError> {
        self.0.open_session(ask).await.map_err(error)
    }

    async fn buy_pass(&self, ask: &BuyPass) -> Result<Pass, ControlError> {
        self.0.buy_pass(ask).await.map_err(error)
    }

    async fn enter(&self, pass: &Arc<Zeroizing<String>>, ask: &EnterByPass) -> Result<OpenedSession, ControlError> {
        self.0.with_pass(pass.clone()).enter_by_pass(ask).await.map_err(error)
    }

    async fn verify_code(&self, pass: &Arc<Zeroizing<String>>, code: &Zeroizing<String>) -> Result<(), ControlError> {
        let code = Code { code: code.clone().into() };
        self.0.with_pass(pass.clone()).verify_code(&code).await.map(drop).map_err(error)
    }

    fn desk(&self, pass: &Arc<Zeroizing<String>>) -> Option<Client> {
        Some(self.0.with_pass(pass.clone()))
    }

    async fn end_pass(&self, pass: &Arc<Zeroizing<String>>) -> Result<(), ControlError> {
        self.0.with_pass(pass.clone()).end_pass().await.map_err(error)
    }

    async fn sign_for_target(&self, session: &SessionId, ask: &SignForTarget) -> Result<Vec<u8>, ControlError> {
        let answer = self.0.sign_for_target(session, ask).await.map_err(error)?;
        hex::decode(answer.signature).map_err(|_| ControlError::Unavailable("its signature cannot be read".to_owned()))
    }

    async fn offer_extension(&self, session: &SessionId) -> Result<ExtensionOffer, ControlError> {
        self.0.offer_extension(session).await.map_err(error)
    }

    async fn extend(&self, session: &SessionId, ask: &Extend, key: &str) -> Result<Request, ControlError> {
        self.0.extend_session(session, ask, key).await.map_err(error)
    }

    async fn report(
        &self,
        session: &SessionId,
        told: Option<u64>,
        reports: Vec<SessionReport>,
    ) -> Result<usize, ControlError> {
        Ok(self.0.report(session, &SessionReports { told, reports }).await.map_err(error)?.taken)
    }

    async fn host_certificate(&self, host: HostSubject, public_key: &str) -> Result<HostCertificate, ControlError> {
        let body = IssueHostCertificate { host, public_key: public_key.to_owned() };
        let issued = self.0.issue_host_certificate(&body).await.map_err(error)?;
        let certificate = issued
            .certificate
            .ok_or_else(|| ControlError::Unavailable("the host certificate is missing from its answer".to_owned()))?;
        Ok(HostCertificate { certificate, valid_before: issued.valid_before.0 })
    }

    async fn recovered(&self, found: &Recovered) -> Result<(), ControlError> {
        self.0.recovered(found).await.map_err(error)
    }

    async fn tell_status(&self, status: &TellProxyStatus) -> Result<(), ControlError> {
        self.0.tell_proxy_status(status).await.map_err(error)
    }

    async fn position(&self) -> Result<u64, ControlError> {
        Ok(self.0.status().await.map_err(error)?.records)
    }

    async fn follow(&self, from: u64) -> Result<Box<dyn Feed>, ControlError> {
        let stream = self.0.events(from).await.map_err(error)?;
        Ok(Box::new(Events(stream)))
    }
}

struct Events(EventStream);

#[async_trait]
impl Feed for Events {
    async fn next(&mut self) -> Result<Heard, ControlError> {
        self.0.next().await.map_err(error)
    }
}

/// A problem that another try may cure is no refusal.
fn error(error: ClientError) -> ControlError {
    match error {
        ClientError::Problem(problem) if problem.status >= 500 || matches!(problem.status, 401 | 408 | 429) => {
            ControlError::Unavailable(problem.detail)
        }
        ClientError::Problem(problem) => {
            ControlError::Refused { code: problem.code, sentence: problem.detail, hint: problem.hint }
        }
        ClientError::Unreachable { .. }
        | ClientError::Timeout { .. }
        | ClientError::Answer { .. }
        | ClientError::Credentials(_)
        | ClientError::Options(_) => ControlError::Unavailable(error.to_string()),
    }
}
