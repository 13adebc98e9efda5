//! What use cases answer with: parts of the state, copied out of it at one moment.

use std::collections::BTreeMap;

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
        let mut views = Self::all(state, std::slice::from_ref(session));
        views.pop().ok_or_else(|| AppError::not_found("session", id))
    }

    /// Sessions with their recordings, which are gone through once for all.
    pub(super) fn all(state: &State, sessions: &[Session]) -> Vec<Self> {
        let mut own: BTreeMap<&SessionId, Vec<&Recording>> = sessions.iter().map(|s| (&s.id, Vec::new())).collect();
        for recording in state.recordings() {
            if let Some(list) = own.get_mut(&recording.session) {
                list.push(recording);
            }
        }
        let view = |session: &Session| {
            let mut list = own.remove(&session.id).unwrap_or_default();
            list.sort_by_key(|recording| (recording.started, recording.channel));
            let recordings = list.into_iter().map(|recording| recording.id.clone()).collect();
            Self { session: session.clone(), recordings }
        };
        sessions.iter().map(view).collect()
    }
}
