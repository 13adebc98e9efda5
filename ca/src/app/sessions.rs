//! See sessions.

use access::{Session, State};
use model::SessionId;

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
        let look = |state: &State, _| -> Vec<Session> {
            if live { state.live_sessions().cloned().collect() } else { state.sessions().cloned().collect() }
        };
        let all = self.engine.read(look).await?;
        let key = |session: &Session| (session.opened, session.id.clone());
        let paged = page(all, key, after, |session| sight.session(self, matter(session), &session.proxy));
        let read = |state: &State, _| -> Vec<SessionView> {
            let with = |session: &Session| SessionView::with(session, state.recordings());
            paged.items.iter().map(with).collect()
        };
        let items = self.engine.read(read).await?;
        Ok(Paged { items, next: paged.next })
    }
}

pub(super) const fn matter(session: &Session) -> Matter<'_> {
    Matter { owner: &session.identity, target: &session.target, login: &session.login }
}
