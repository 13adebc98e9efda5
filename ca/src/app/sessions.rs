//! See sessions.

use access::{Session, State};
use model::{SessionId, Timestamp};

use super::page::{Cursor, Paged, page};
use super::rights::Matter;
use super::sight::Sight;
use super::views::SessionView;
use super::{App, AppError, Caller};

impl App {
    /// One session.
    ///
    /// # Errors
    /// There is none that the caller may see.
    pub async fn session(&self, caller: &Caller, id: &SessionId) -> Result<SessionView, AppError> {
        caller.identity()?;
        let view = self.engine.read(|state, _| SessionView::of(state, id)).await??;
        if Sight::new(self, caller).session(self, matter(&view.session), &view.session.proxy) {
            Ok(view)
        } else {
            Err(AppError::not_found("session", id))
        }
    }

    /// The sessions that the caller may see, newest first; with `live` those whose sockets may be open.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn sessions(
        &self,
        caller: &Caller,
        live: bool,
        after: Option<&Cursor>,
    ) -> Result<Paged<SessionView>, AppError> {
        caller.identity()?;
        let mut sight = Sight::new(self, caller);
        let look = |state: &State, _| -> Vec<(Timestamp, SessionId)> {
            let key = |session: &Session| (session.opened, session.id.clone());
            if live { state.live_sessions().map(key).collect() } else { state.sessions().map(key).collect() }
        };
        let keys = self.engine.read(look).await?;
        let fetch = |state: &State, id: &SessionId, _| state.session(id).cloned();
        let show = |session: &Session| sight.session(self, matter(session), &session.proxy);
        let Paged { items, next } = page(&self.engine, keys, after, fetch, show).await?;
        let items = self.engine.read(|state, _| SessionView::all(state, &items)).await?;
        Ok(Paged { items, next })
    }
}

pub(super) const fn matter(session: &Session) -> Matter<'_> {
    Matter { owner: &session.identity, target: &session.target, login: &session.login }
}
