//! The calls about the house itself: how its proxies do.

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
}
