//! The calls, in the order of the API's nouns.

use model::{LockId, RecordingId, RequestId, SessionId, TargetName};
use reqwest::Method;

use super::{Client, ClientError};
use crate::wire;

pub(super) const NOTHING: Option<&()> = None;

pub(super) type Answer<T> = Result<T, ClientError>;

impl Client {
    /// `POST /v1/login/challenge`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn challenge(&self, purpose: wire::Purpose) -> Answer<wire::Challenge> {
        let body = wire::ChallengeRequest { purpose };
        self.once(Method::POST, "/v1/login/challenge", Some(&body), None).await
    }

    /// `POST /v1/logout`: the token is dead afterwards.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn logout(&self) -> Answer<()> {
        let answer = self.once(Method::POST, "/v1/logout", NOTHING, None).await;
        self.set_token(None);
        answer
    }

    /// `GET /v1/whoami`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn whoami(&self) -> Answer<wire::WhoAmI> {
        self.get("/v1/whoami").await
    }

    /// `GET /v1/ca`: public keys and proxies; needs no login.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn ca(&self) -> Answer<wire::CaKeys> {
        self.once(Method::GET, "/v1/ca", NOTHING, None).await
    }

    /// `GET /v1/status`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn status(&self) -> Answer<wire::Status> {
        self.get("/v1/status").await
    }

    /// `POST /v1/requests`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn file_request(&self, body: &wire::FileRequest, idempotency_key: &str) -> Answer<wire::Request> {
        self.call(Method::POST, "/v1/requests", Some(body), Some(idempotency_key)).await
    }

    /// `GET /v1/requests`; `state` filters ("pending"), `mine` leaves out other people's.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn requests(
        &self,
        state: Option<&str>,
        mine: bool,
        after: Option<&str>,
    ) -> Answer<wire::Page<wire::Request>> {
        let mut query = Query::default();
        query.add("state", state);
        query.add("mine", mine.then_some("true"));
        query.add("after", after);
        self.get(&query.on("/v1/requests")).await
    }

    /// `GET /v1/requests/{id}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn get_request(&self, id: &RequestId) -> Answer<wire::Request> {
        self.get(&format!("/v1/requests/{id}")).await
    }

    /// `POST /v1/requests/{id}/approve`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn approve(&self, id: &RequestId, body: &wire::Approve) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/requests/{id}/approve"), Some(body), None).await
    }

    /// `POST /v1/requests/{id}/deny`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn deny(&self, id: &RequestId, body: &wire::Deny) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/requests/{id}/deny"), Some(body), None).await
    }

    /// `POST /v1/requests/{id}/withdraw`: takes one's own review back.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn withdraw(&self, id: &RequestId) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/requests/{id}/withdraw"), NOTHING, None).await
    }

    /// `POST /v1/requests/{id}/cancel`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn cancel(&self, id: &RequestId) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/requests/{id}/cancel"), NOTHING, None).await
    }

    /// `GET /v1/grants`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn grants(
        &self,
        state: Option<&str>,
        mine: bool,
        after: Option<&str>,
    ) -> Answer<wire::Page<wire::Grant>> {
        let mut query = Query::default();
        query.add("state", state);
        query.add("mine", mine.then_some("true"));
        query.add("after", after);
        self.get(&query.on("/v1/grants")).await
    }

    /// `GET /v1/grants/{id}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn get_grant(&self, id: &RequestId) -> Answer<wire::Grant> {
        self.get(&format!("/v1/grants/{id}")).await
    }

    /// `POST /v1/grants/{id}/revoke`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn revoke(&self, id: &RequestId, body: &wire::Revoke) -> Answer<wire::Grant> {
        self.call(Method::POST, &format!("/v1/grants/{id}/revoke"), Some(body), None).await
    }

    /// `POST /v1/grants/{id}/release`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn release(&self, id: &RequestId) -> Answer<wire::Grant> {
        self.call(Method::POST, &format!("/v1/grants/{id}/release"), NOTHING, None).await
    }

    /// `POST /v1/grants/{id}/extend`: the request that extends it.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn extend(&self, id: &RequestId, body: &wire::Extend, idempotency_key: &str) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/grants/{id}/extend"), Some(body), Some(idempotency_key)).await
    }

    /// `POST /v1/certificates`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn issue_certificate(&self, body: &wire::IssueCertificate) -> Answer<wire::Certificate> {
        self.call(Method::POST, "/v1/certificates", Some(body), None).await
    }

    /// `GET /v1/certificates`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn certificates(&self, after: Option<&str>) -> Answer<wire::Page<wire::Certificate>> {
        let mut query = Query::default();
        query.add("after", after);
        self.get(&query.on("/v1/certificates")).await
    }

    /// `POST /v1/host-certificates`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn issue_host_certificate(&self, body: &wire::IssueHostCertificate) -> Answer<wire::Certificate> {
        self.call(Method::POST, "/v1/host-certificates", Some(body), None).await
    }

    /// `POST /v1/sessions`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn open_session(&self, body: &wire::OpenSession) -> Answer<wire::OpenedSession> {
        self.call(Method::POST, "/v1/sessions", Some(body), None).await
    }

    /// `POST /v1/passes`: for session proxies.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn buy_pass(&self, body: &wire::BuyPass) -> Answer<wire::Pass> {
        self.call(Method::POST, "/v1/passes", Some(body), None).await
    }

    /// `POST /v1/passes/session`: for session proxies, with a pass.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn enter_by_pass(&self, body: &wire::EnterByPass) -> Answer<wire::OpenedSession> {
        self.call(Method::POST, "/v1/passes/session", Some(body), None).await
    }

    /// `POST /v1/logout` with a pass: it is dead afterwards, and the proxy's own token is not.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn end_pass(&self) -> Answer<()> {
        self.call(Method::POST, "/v1/logout", NOTHING, None).await
    }

    /// `POST /v1/sessions/{id}/reports`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn report(&self, id: &SessionId, body: &wire::SessionReports) -> Answer<wire::ReportsTaken> {
        self.call(Method::POST, &format!("/v1/sessions/{id}/reports"), Some(body), None).await
    }

    /// `GET /v1/sessions/{id}/extension`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn offer_extension(&self, id: &SessionId) -> Answer<wire::ExtensionOffer> {
        self.get(&format!("/v1/sessions/{id}/extension")).await
    }

    /// `POST /v1/sessions/{id}/extension`: the request that extends its grant.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn extend_session(
        &self,
        id: &SessionId,
        body: &wire::Extend,
        idempotency_key: &str,
    ) -> Answer<wire::Request> {
        self.call(Method::POST, &format!("/v1/sessions/{id}/extension"), Some(body), Some(idempotency_key)).await
    }

    /// `POST /v1/recovered`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn recovered(&self, body: &wire::Recovered) -> Answer<()> {
        self.call(Method::POST, "/v1/recovered", Some(body), None).await
    }

    /// `GET /v1/sessions`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn sessions(&self, live: bool, after: Option<&str>) -> Answer<wire::Page<wire::Session>> {
        let mut query = Query::default();
        query.add("live", live.then_some("true"));
        query.add("after", after);
        self.get(&query.on("/v1/sessions")).await
    }

    /// `GET /v1/sessions/{id}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn get_session(&self, id: &SessionId) -> Answer<wire::Session> {
        self.get(&format!("/v1/sessions/{id}")).await
    }

    /// `POST /v1/sessions/{id}/kill`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn kill(&self, id: &SessionId, body: &wire::Kill) -> Answer<wire::Session> {
        self.call(Method::POST, &format!("/v1/sessions/{id}/kill"), Some(body), None).await
    }

    /// `GET /v1/locks`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn locks(&self) -> Answer<wire::Page<wire::LockView>> {
        self.get("/v1/locks").await
    }

    /// `POST /v1/locks`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn lock(&self, body: &wire::PlaceLock) -> Answer<wire::LockView> {
        self.call(Method::POST, "/v1/locks", Some(body), None).await
    }

    /// `POST /v1/locks/{id}/lift`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn unlock(&self, id: &LockId, body: &wire::LiftLock) -> Answer<()> {
        self.call(Method::POST, &format!("/v1/locks/{id}/lift"), Some(body), None).await
    }

    /// `GET /v1/recordings`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn recordings(&self, filter: &RecordingFilter<'_>) -> Answer<wire::Page<wire::Recording>> {
        let mut query = Query::default();
        query.add("identity", filter.identity);
        query.add("target", filter.target);
        query.add("session", filter.session);
        query.add("request", filter.request);
        query.add("after", filter.after);
        self.get(&query.on("/v1/recordings")).await
    }

    /// `GET /v1/recordings/{id}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn get_recording(&self, id: &RecordingId) -> Answer<wire::Recording> {
        self.get(&format!("/v1/recordings/{id}")).await
    }

    /// `GET /v1/recordings/{id}/content`, as a stream of bytes. With `follow`, the answer to a live recording goes on
    /// until it is closed.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn recording_content(&self, id: &RecordingId, follow: bool) -> Answer<reqwest::Response> {
        if self.current_token().is_none() && self.credentials.is_some() {
            self.login().await?;
        }
        let mut query = Query::default();
        query.add("follow", follow.then_some("true"));
        let path = query.on(&format!("/v1/recordings/{id}/content"));
        let response = self.request(Method::GET, &path).send().await.map_err(|error| self.failed(error))?;
        self.checked(response).await
    }

    /// `GET /v1/targets`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn targets(&self) -> Answer<wire::Page<wire::TargetView>> {
        self.get("/v1/targets").await
    }

    /// `PUT /v1/targets/{name}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn register_target(&self, body: &wire::RegisterTarget) -> Answer<wire::TargetView> {
        self.call(Method::PUT, &format!("/v1/targets/{}", body.target.name), Some(body), None).await
    }

    /// `DELETE /v1/targets/{name}`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn remove_target(&self, name: &TargetName) -> Answer<()> {
        self.call(Method::DELETE, &format!("/v1/targets/{name}"), NOTHING, None).await
    }

    /// `POST /v1/policy/explain`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn explain(&self, body: &wire::ExplainRequest) -> Answer<wire::Explanation> {
        self.call(Method::POST, "/v1/policy/explain", Some(body), None).await
    }

    /// `GET /v1/ledger/records`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn ledger_records(&self, filter: &LedgerFilter<'_>) -> Answer<wire::LedgerPage> {
        let mut query = Query::default();
        query.add("from", Some(&filter.from.to_string()));
        query.add("limit", Some(&filter.limit.to_string()));
        query.add("correlation", filter.correlation);
        query.add("actor", filter.actor);
        query.add("subject", filter.subject);
        query.add("kind", filter.kind);
        query.add("since", filter.since);
        query.add("until", filter.until);
        self.get(&query.on("/v1/ledger/records")).await
    }

    /// `GET /v1/ledger/checkpoint`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn checkpoint(&self) -> Answer<wire::CheckpointView> {
        self.get("/v1/ledger/checkpoint").await
    }

    /// `GET /v1/ledger/proof`
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn inclusion_proof(&self, seq: u64, size: Option<u64>) -> Answer<wire::InclusionProof> {
        let mut query = Query::default();
        query.add("seq", Some(&seq.to_string()));
        query.add("size", size.map(|size| size.to_string()).as_deref());
        self.get(&query.on("/v1/ledger/proof")).await
    }

    pub(super) async fn get<R: serde::de::DeserializeOwned>(&self, path: &str) -> Answer<R> {
        self.call(Method::GET, path, NOTHING, None).await
    }
}

/// Which recordings to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordingFilter<'a> {
    /// Of whom.
    pub identity: Option<&'a str>,
    /// On which target.
    pub target: Option<&'a str>,
    /// Of which session.
    pub session: Option<&'a str>,
    /// Under which grant.
    pub request: Option<&'a str>,
    /// Where the page begins.
    pub after: Option<&'a str>,
}

/// Which records of the ledger to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerFilter<'a> {
    /// From this place on.
    pub from: u64,
    /// At most this many.
    pub limit: u32,
    /// Under which correlation id.
    pub correlation: Option<&'a str>,
    /// By whom.
    pub actor: Option<&'a str>,
    /// About what.
    pub subject: Option<&'a str>,
    /// Of which kind.
    pub kind: Option<&'a str>,
    /// Since when, RFC 3339.
    pub since: Option<&'a str>,
    /// Until when, RFC 3339.
    pub until: Option<&'a str>,
}

#[derive(Default)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn add(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    pub(super) fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_escapes_what_would_change_its_meaning() {
        let mut query = Query::default();
        query.add("subject", Some("login:root@web1&x=1"));
        query.add("kind", None);
        query.add("from", Some("0"));
        assert_eq!(query.on("/v1/x"), "/v1/x?subject=login%3Aroot%40web1%26x%3D1&from=0");
    }
}
