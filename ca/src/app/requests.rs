//! See requests.

use access::{Request, State};
use model::{RequestId, Timestamp};

use super::page::{Cursor, Paged, page};
use super::sight::Sight;
use super::views::RequestView;
use super::{App, AppError, Caller};

impl App {
    /// One request.
    ///
    /// # Errors
    /// There is none that the caller may see.
    pub async fn get_request(&self, caller: &Caller, id: &RequestId) -> Result<RequestView, AppError> {
        self.must_see_request(caller, id).await?;
        self.engine.read(|state, now| RequestView::of(state, id, now)).await?
    }

    /// The requests that the caller may see, newest first: those in the state that `wanted` knows, and with `mine` the
    /// caller's own only.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn requests(
        &self,
        caller: &Caller,
        wanted: impl Fn(&Request) -> bool + Send + Sync,
        mine: bool,
        after: Option<&Cursor>,
    ) -> Result<Paged<RequestView>, AppError> {
        let me = caller.person()?;
        let mut sight = Sight::new(self, caller);
        let look = |state: &State, _: Timestamp| -> Vec<(Timestamp, RequestId)> {
            let all = state.requests().filter(|request| !mine || request.spec.identity == *me);
            all.filter(|request| wanted(request)).map(|request| (request.filed, request.id.clone())).collect()
        };
        let keys = self.engine.read(look).await?;
        let fetch = |state: &State, id: &RequestId, now: Timestamp| RequestView::of(state, id, now).ok();
        page(&self.engine, keys, after, fetch, |view| sight.request(self, &view.request.spec)).await
    }

    /// The request, when the caller may see it.
    ///
    /// # Errors
    /// There is none that the caller may see: what is hidden is as good as absent.
    pub(super) async fn must_see_request(&self, caller: &Caller, id: &RequestId) -> Result<Request, AppError> {
        self.must_see(caller, "request", id).await
    }

    /// The same for what is called `what`: a request, or the grant that it became.
    pub(super) async fn must_see(
        &self,
        caller: &Caller,
        what: &'static str,
        id: &RequestId,
    ) -> Result<Request, AppError> {
        caller.unlocked()?;
        let found = self.engine.read(|state, _| state.request(id).cloned()).await?;
        match found {
            Some(request) if Sight::new(self, caller).request(self, &request.spec) => Ok(request),
            Some(_) | None => Err(self.no_request(caller, what, id).await),
        }
    }
}
