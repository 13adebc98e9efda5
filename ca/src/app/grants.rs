//! See grants.

use access::Request;
use model::RequestId;

use super::page::{Cursor, Paged};
use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// One grant.
    ///
    /// # Errors
    /// There is none that the caller may see.
    pub async fn get_grant(&self, caller: &Caller, id: &RequestId) -> Result<RequestView, AppError> {
        self.must_see_grant(caller, id).await?;
        self.engine.read(|state, now| RequestView::of(state, id, now)).await?
    }

    /// The grants that the caller may see, newest first.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn grants(
        &self,
        caller: &Caller,
        wanted: impl Fn(&Request) -> bool + Send + Sync,
        mine: bool,
        after: Option<&Cursor>,
    ) -> Result<Paged<RequestView>, AppError> {
        self.requests(caller, |request| request.grant().is_some() && wanted(request), mine, after).await
    }

    /// The request with its grant, when the caller may see it.
    pub(super) async fn must_see_grant(&self, caller: &Caller, id: &RequestId) -> Result<Request, AppError> {
        let request = self.must_see(caller, "grant", id).await?;
        if request.grant().is_some() { Ok(request) } else { Err(AppError::not_found("grant", id)) }
    }
}
