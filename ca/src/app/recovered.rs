//! What an earlier run of a proxy left behind when it died.

use std::collections::BTreeSet;

use access::{Command, EndSession, RecordingClosed, State};
use model::{RecordingId, SessionEnd, SessionId, Timestamp};

use super::{App, AppError, Caller};

impl App {
    /// Ends every session of the calling proxy that is counted as live and is not in `live`, and closes the recordings
    /// that its last run left open. With `more` only the recordings: further ones follow, and then the sessions.
    ///
    /// # Errors
    /// The caller is no proxy, or the ledger cannot take it. What the ledger knows already is passed over.
    pub async fn recovered(
        &self,
        caller: &Caller,
        live: &BTreeSet<SessionId>,
        recordings: Vec<(RecordingId, model::RecordingClosed)>,
        more: bool,
    ) -> Result<(), AppError> {
        let proxy = caller.proxy()?;
        let lost = |state: &State, now: Timestamp| -> Vec<Command> {
            let own = state.live_sessions().filter(|session| session.proxy == *proxy && !live.contains(&session.id));
            let reason = "its proxy had stopped without saying so".to_owned();
            let ended = |id: &SessionId| EndSession {
                session: id.clone(),
                end: SessionEnd::Proxy { reason: reason.clone() },
                cut: None,
                dropped: now,
            };
            own.map(|session| ended(&session.id).into()).collect()
        };
        let lost = if more { Vec::new() } else { self.engine.read(lost).await? };
        let closed = recordings.into_iter().map(|(recording, closed)| RecordingClosed { recording, closed }.into());
        match self.keep_all(caller, closed.chain(lost)).await {
            Err(AppError::Refused(refusal)) => {
                // A crash between the file and the ledger: the proxy need not, and cannot, do better than this.
                tracing::warn!(%refusal, proxy = %caller.subject(), "a recovered recording or session did not fit the ledger");
                Ok(())
            }
            answer => answer,
        }
    }
}
