//! What use cases answer with: parts of the state, copied out of it at one moment.

use access::{PathGap, Recording, Request, RequestState, Session, State};
use model::{RequestId, SessionId, Timestamp};

use super::AppError;

/// A request, with what it still lacks, and the grant that it became.
#[derive(Clone, Debug)]
pub struct RequestView {
    /// The request.
    pub request: Request,
    /// What each path still lacks, while it is pending; least burden first.
    pub gaps: Vec<PathGap>,
    /// The request with the grant: the same, or for an extension the one that it extends.
    pub grant: Option<Request>,
    /// How many live sessions the grant has.
    pub sessions: u32,
}

/// A session with its recordings.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub session: Session,
    /// Its recordings, oldest first.
    pub recordings: Vec<model::RecordingId>,
}

impl RequestView {
    pub(super) fn of(state: &State, id: &RequestId, now: Timestamp) -> Result<Self, AppError> {
        let request = state.request(id).ok_or_else(|| AppError::not_found("request", id))?;
        let grant = match &request.state {
            RequestState::Granted(_) => Some(request),
            RequestState::Extended(extension) => state.request(&extension.of),
            RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_) => None,
        };
        let sessions = grant.map_or(0, |grant| state.sessions_under(&grant.id).count());
        Ok(Self {
            gaps: state.missing(id, now),
            grant: grant.cloned(),
            request: request.clone(),
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        })
    }
}

impl SessionView {
    pub(super) fn of(state: &State, id: &SessionId) -> Result<Self, AppError> {
        let session = state.session(id).ok_or_else(|| AppError::not_found("session", id))?;
        Ok(Self::with(session, state.recordings()))
    }

    /// A session with those of `recordings` that are its own.
    pub(super) fn with<'a>(session: &Session, recordings: impl Iterator<Item = &'a Recording>) -> Self {
        let mut own: Vec<_> = recordings.filter(|recording| recording.session == session.id).collect();
        own.sort_by_key(|recording| (recording.started, recording.channel));
        Self { session: session.clone(), recordings: own.into_iter().map(|recording| recording.id.clone()).collect() }
    }
}
