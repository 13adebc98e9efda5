//! Ask for access.

use access::{FileRequest, State};
use identity::{Desk, Subject};
use model::{Actor, Fact, Login, Reason, RequestId, RequestSpec, Span, TargetName, Timestamp};

use super::rights::{How, Rules};
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

/// Who files a request, and how they came to.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    actor: Actor,
    subject: Subject,
    how: How,
}

impl Asker {
    /// The caller as they call.
    pub(super) fn of(caller: &Caller) -> Self {
        Self::new(caller.actor(), caller.subject().clone(), How::of(caller))
    }

    pub(super) const fn new(actor: Actor, subject: Subject, how: How) -> Self {
        Self { actor, subject, how }
    }

    pub(super) const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whose refusals these are.
    pub(super) const fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(super) const fn how(&self) -> How {
        self.how
    }
}

impl App {
    /// Files a request; one that a path grants without anybody's approval is a grant in the answer.
    ///
    /// # Errors
    /// There is no such target or login, no path of the policy is open, or the decider refuses.
    pub async fn request(&self, caller: &Caller, ask: Ask) -> Result<RequestView, AppError> {
        let spec = RequestSpec {
            identity: caller.person_at(Desk::Ask)?.clone(),
            target: ask.target,
            login: ask.login,
            duration: ask.duration,
            reason: ask.reason,
            ticket: ask.ticket,
            command: ask.command,
            start: ask.start,
            extends: None,
        };
        let asker = Asker::of(caller);
        if let Err(error) = self.known_place(&self.rules(), caller, &spec) {
            // Whoever tries names leaves traces, and the same ones for what is hidden and for what is absent.
            self.note_refused(&asker, &spec, error.to_string()).await;
            return Err(error);
        }
        self.file(&asker, spec, ask.idempotency_key).await
    }

    /// Files a request whose target is known.
    pub(super) async fn file(
        &self,
        asker: &Asker,
        spec: RequestSpec,
        idempotency_key: Option<String>,
    ) -> Result<RequestView, AppError> {
        let id = RequestId::from_random(self.entropy.u64());
        let build = |_: &State, now: Timestamp| {
            let file = self.filing(&self.rules(), id.clone(), &spec, asker.how, now)?;
            Ok(FileRequest { idempotency_key: idempotency_key.clone(), ..file }.into())
        };
        let view = |state: &State, applied: &super::Applied| {
            // A repeated idempotency key is answered with the request that it made first.
            RequestView::of(state, applied.request.as_ref().unwrap_or(&id), applied.now)
        };
        let filed = self.engine.execute(&asker.actor, build, view).await;
        if let Err(AppError::Forbidden { sentence, .. }) = &filed {
            self.note_refused(asker, &spec, sentence.clone()).await;
        }
        filed?
    }

    async fn note_refused(&self, asker: &Asker, spec: &RequestSpec, reason: String) {
        let fact = Fact::RequestRefused { spec: spec.clone(), reason };
        self.note(&asker.subject, &asker.actor, fact, None).await;
    }

    /// The command that files a request, where policy offers a way: what [`App::explain`] asks as well.
    ///
    /// # Errors
    /// Policy offers none.
    pub(super) fn filing(
        &self,
        rules: &Rules,
        request: RequestId,
        spec: &RequestSpec,
        how: How,
        now: Timestamp,
    ) -> Result<FileRequest, AppError> {
        let How { shown, from: address, .. } = how;
        let judged = rules.request(spec, how, now);
        if !judged.is_permitted() {
            let place = format!("{}@{}", spec.login, spec.target);
            return Err(AppError::Forbidden {
                sentence: format!("{} for {place}", judged.sentence()),
                hint: Some(format!("run: portcullis policy explain {place} --for {}", spec.duration)),
            });
        }
        let (paths, ttl) = (judged.paths(), self.settings.request_ttl);
        Ok(FileRequest { request, spec: spec.clone(), idempotency_key: None, shown, address, paths, ttl })
    }
}
