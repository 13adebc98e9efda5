//! Ask for access.

use access::{FileRequest, State};
use model::{Fact, Login, Reason, RequestId, RequestSpec, Span, TargetName, Timestamp};

use super::views::RequestView;
use super::{App, AppError, Caller};

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The server.
    pub target: TargetName,
    /// The account.
    pub login: Login,
    /// For how long, counted from approval.
    pub duration: Span,
    /// Why.
    pub reason: Reason,
    /// A ticket in another system.
    pub ticket: Option<String>,
    /// The one exact command.
    pub command: Option<String>,
    /// Not before.
    pub start: Option<Timestamp>,
    /// Makes a repeat answer with the same request.
    pub idempotency_key: Option<String>,
}

impl App {
    /// Files a request; one that a path grants without anybody's approval is a grant in the answer.
    ///
    /// # Errors
    /// There is no such target or login, no path of the policy is open, or the decider refuses.
    pub async fn request(&self, caller: &Caller, ask: Ask) -> Result<RequestView, AppError> {
        let spec = RequestSpec {
            identity: caller.identity()?.clone(),
            target: ask.target,
            login: ask.login,
            duration: ask.duration,
            reason: ask.reason,
            ticket: ask.ticket,
            command: ask.command,
            start: ask.start,
            extends: None,
        };
        self.known_place(&self.rules(), caller, &spec.target, &spec.login)?;
        self.file(caller, spec, ask.idempotency_key).await
    }

    /// Files a request whose target is known.
    pub(super) async fn file(
        &self,
        caller: &Caller,
        spec: RequestSpec,
        idempotency_key: Option<String>,
    ) -> Result<RequestView, AppError> {
        let id = RequestId::from_random(self.entropy.u64());
        let build = |_: &State, now: Timestamp| {
            let judged = self.rules().request(&spec, caller.touch(), Some(caller.address()), now);
            if !judged.is_permitted() {
                return Err(AppError::Forbidden {
                    sentence: format!("{} for {}@{}", judged.sentence(), spec.login, spec.target),
                    hint: Some(format!("run: portcullis policy explain {}@{}", spec.login, spec.target)),
                });
            }
            Ok(FileRequest {
                request: id.clone(),
                spec: spec.clone(),
                idempotency_key: idempotency_key.clone(),
                touch: caller.touch(),
                paths: judged.paths(),
                ttl: self.settings.request_ttl,
            }
            .into())
        };
        let view = |state: &State, applied: &super::Applied| {
            // A repeated idempotency key is answered with the request that it made first.
            RequestView::of(state, applied.request.as_ref().unwrap_or(&id), applied.now)
        };
        let filed = self.engine.execute(&caller.actor(), build, view).await;
        if let Err(AppError::Forbidden { sentence, .. }) = &filed {
            let fact = Fact::RequestRefused { spec: spec.clone(), reason: sentence.clone() };
            self.note(caller.subject(), &caller.actor(), fact, None).await;
        }
        filed?
    }
}
