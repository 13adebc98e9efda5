//! What an earlier run of a proxy left behind when it died.

use std::collections::BTreeSet;

use access::{Command, EndSession, RecordingClosed, State};
use model::{RecordingId, SessionEnd, SessionId, Span, Timestamp};

use super::{App, AppError, Caller};

impl App {
    /// Ends every session of the calling proxy that is counted as live and is not in `live`, and closes the recordings
    /// that its last run left open. With `more` only the recordings: further ones follow, and then the sessions.
    ///
    /// A proxy that runs tells its live sessions again and again: the answer to an opening may have been lost, and then
    /// nobody else would ever end that session. What was opened within `spare` may still be on its way to the proxy,
    /// and is left alone.
    ///
    /// # Errors
    /// The caller is no proxy, or the ledger cannot take it. What the ledger knows already is passed over.
    pub async fn recovered(
        &self,
        caller: &Caller,
        live: &BTreeSet<SessionId>,
        recordings: Vec<(RecordingId, model::RecordingClosed)>,
        more: bool,
        spare: Span,
    ) -> Result<(), AppError> {
        let proxy = caller.proxy()?;
        let lost = |state: &State, now: Timestamp| -> Vec<Command> {
            let own = state.live_sessions().filter(|session| {
                session.proxy == *proxy && !live.contains(&session.id) && session.opened.plus(spare) <= now
            });
            let reason = if spare == Span::default() {
                "its proxy had stopped without saying so".to_owned()
            } else {
                "its proxy knows nothing of it".to_owned()
            };
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
        let actor = caller.actor();
        let mut waiting = Vec::new();
        for command in closed.chain(lost) {
            match self.engine.begin(&actor, &mut |_, _| Ok(command.clone()), &|_, _| ()).await {
                Ok(((), settling)) => waiting.push(settling),
                Err(AppError::Refused(refusal)) => {
                    // A crash between the file and the ledger: the proxy need not, and cannot, do better than this.
                    tracing::warn!(%refusal, proxy = %caller.subject(), "a recovered recording or session did not fit the ledger");
                }
                Err(error) => return Err(error),
            }
        }
        self.all_settled(waiting).await
    }
}
