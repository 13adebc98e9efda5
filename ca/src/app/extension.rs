//! More time for a live session, asked for in its own terminal: its person says so to the proxy that carries it.
//!
//! Who opened a session with a certificate has no pass there. So the proxy's word is all that there is, and it is good for
//! little: for the grant of a session that this proxy carries now, in the name of that session's person, and where the
//! directory lets it pass requests on. What it files is judged as coming over ssh, without a touched security key.

use access::{FileRequest, PathGap, SessionState, State, decide};
use identity::{Desk, Subject};
use model::{Actor, Factors, Reason, RequestId, RequestSpec, SessionId, Span};
use policy::Way;

use super::caller::passes_on;
use super::request::Asker;
use super::rights::How;
use super::views::RequestView;
use super::{App, AppError, Caller};

/// What is asked for unless somebody says otherwise, where there is so much: as much as `portcullis extend` asks.
const USUAL: Span = Span::from_minutes(30);

/// How much more time one could ask for now, and what it would take.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What to ask for unless somebody says otherwise.
    pub usual: Span,
    /// The longest that any path gives.
    pub longest: Span,
    /// What each path would lack that can be taken here, least burden first.
    pub gaps: Vec<PathGap>,
}

/// More time on the grant of a live session.
struct Wish {
    asker: Asker,
    spec: RequestSpec,
}

impl App {
    /// How much more time the person of a live session could ask for in it. Put to the same decider as the real
    /// question, and nothing is appended.
    ///
    /// # Errors
    /// As [`App::extend_session`] would refuse.
    pub fn offer_extension(&self, caller: &Caller, session: &SessionId) -> Result<Offer, AppError> {
        let reason = "how much more".parse().map_err(|_| AppError::Internal("a reason that is none".to_owned()))?;
        let Wish { asker, spec } = self.wish(caller, session, USUAL, reason)?;
        self.notes.admit_offer(asker.subject())?;
        let request = RequestId::from_random(self.entropy.u64());
        let now = self.engine.now();
        let file = self.filing(&self.rules(), request, &spec, asker.how(), now)?;
        self.engine.peek(|state, now| {
            let ends = spec.extends.as_ref().and_then(|id| state.grant(id)).map(|(_, grant)| grant.ends);
            let endless = RequestSpec { duration: Span::from_seconds(u32::MAX), ..spec.clone() };
            let gaps = PathGap::all(&file.paths, &endless, file.shown, ends, now);
            let open = gaps.iter().filter(|gap| !gap.needs_asker());
            let longest = open.filter_map(|gap| gap.longest).max().unwrap_or(Span::ZERO);
            // Where there is none, the decider says so in its own words.
            let usual = if longest == Span::ZERO { USUAL } else { USUAL.min(longest) };
            let file = FileRequest { spec: RequestSpec { duration: usual, ..spec }, ..file };
            let mut gaps = decide(state, asker.actor(), file.into(), now)?.gaps;
            // What the asker themselves would have to show or name, they cannot here: those are no ways.
            gaps.retain(|gap| !gap.needs_asker());
            Ok(Offer { usual, longest, gaps })
        })
    }

    /// Files a request of a live session's person that extends its grant by `duration`; the session goes on.
    ///
    /// # Errors
    /// The caller is not the proxy that carries the session, or may not pass requests on; the session has ended; its
    /// person asks too often; and whatever a request for more time is refused for.
    pub async fn extend_session(
        &self,
        caller: &Caller,
        session: &SessionId,
        duration: Span,
        reason: Reason,
        idempotency_key: Option<String>,
    ) -> Result<RequestView, AppError> {
        let wish = self.wish(caller, session, duration, reason);
        let admitted = wish.and_then(|wish| self.notes.admit_extension(wish.asker.subject()).map(|()| wish));
        let Wish { asker, spec } = match admitted {
            Ok(wish) => wish,
            Err(error) => {
                // Who has nothing to ask there, or asks without end, leaves a trace like who is refused.
                self.note_in_session(caller.proxy()?, session, format!("no more time is asked for: {error}")).await;
                return Err(error);
            }
        };
        self.file(&asker, spec, idempotency_key).await
    }

    /// What the person of a session of the calling proxy asks for.
    fn wish(&self, caller: &Caller, id: &SessionId, duration: Span, reason: Reason) -> Result<Wish, AppError> {
        let proxy = caller.proxy()?;
        let desk = self.directory.current().proxy(proxy).map_or(Desk::Sessions, |proxy| proxy.desk);
        passes_on(desk, Desk::Ask, proxy)?;
        let carried = |state: &State| {
            let session = state.session(id).filter(|session| session.proxy == *proxy)?;
            let spec = state.request(&session.request)?.spec.clone();
            Some((session.clone(), spec))
        };
        // One of another proxy's is as good as none.
        let found = self.engine.peek(|state, _| carried(state));
        let (session, spec) = found.ok_or_else(|| AppError::not_found("session", id))?;
        match session.state {
            SessionState::Live => {}
            SessionState::Cut(_) | SessionState::Ended(_) => {
                return Err(access::Refusal::new("session-not-live", format!("the session {id} is over")).into());
            }
        }
        // The second factor and the address of the log-in that opened it are no word of the person about this.
        let how = How { shown: Factors::default(), from: session.address.parse().ok(), way: Way::Ssh };
        let actor = Actor::Through { identity: session.identity.clone(), proxy: proxy.clone() };
        let asker = Asker::new(actor, Subject::Identity(session.identity), how);
        let spec = RequestSpec { duration, reason, start: None, extends: Some(session.request), ..spec };
        Ok(Wish { asker, spec })
    }
}
