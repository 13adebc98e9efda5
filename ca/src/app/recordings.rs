//! See recordings, and read them.

use ::recordings::{Archive, Tail, VaultError};
use access::{Recording, RecordingReplayed, RecordingState, State};
use model::{Fact, RecordingId, RequestId, Seq, SessionId, Subject, Timestamp};
use store::{Query, Store};

use super::engine::blocking;
use super::ledger::unreadable;
use super::page::{Cursor, Paged, page};
use super::rights::Matter;
use super::sight::Sight;
use super::{App, AppError, Caller};

/// Which recordings to list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of whom.
    pub identity: Option<String>,
    /// On which target.
    pub target: Option<String>,
    /// Of which session.
    pub session: Option<String>,
    /// Under which grant.
    pub request: Option<String>,
}

/// The bytes of a recording as they are read.
#[derive(Debug)]
pub struct Replay {
    tail: Tail,
    /// How many bytes are wanted; `None`: all that come until it is closed.
    left: Option<u64>,
}

impl Replay {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let Some(mut chunk) = self.tail.chunk().await? else { return Ok(None) };
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        }
        Ok(Some(chunk))
    }
}

/// A recording, with the place of its closing fact in the ledger.
#[derive(Clone, Debug)]
pub struct RecordingView {
    /// The recording.
    pub recording: Recording,
    /// The place, once it is closed.
    pub seq: Option<Seq>,
}

impl App {
    /// The recordings that the caller may know of, newest first: their own, and those that they may replay.
    ///
    /// # Errors
    /// A proxy asked, or the ledger keeps failing.
    pub async fn recordings(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        after: Option<&Cursor>,
    ) -> Result<Paged<RecordingView>, AppError> {
        caller.identity()?;
        let mut sight = Sight::new(self, caller);
        let look = |state: &State, _| -> Vec<(Timestamp, RecordingId)> {
            let fitting = state.recordings().filter(|recording| wanted.fits(recording));
            fitting.map(|recording| (recording.started, recording.id.clone())).collect()
        };
        let keys = self.engine.read(look).await?;
        let fetch = |state: &State, id: &RecordingId, _| state.recording(id).cloned();
        let show = |recording: &Recording| sight.session(self, matter(recording), &recording.proxy);
        let paged = page(&self.engine, keys, after, fetch, show).await?;
        let store = self.store();
        let Paged { items, next } = paged;
        let items = blocking(move || {
            items.into_iter().map(|recording| with_place(store.as_ref(), recording)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        Ok(Paged { items, next })
    }

    /// One recording.
    ///
    /// # Errors
    /// There is none that the caller may know of.
    pub async fn recording(&self, caller: &Caller, id: &RecordingId) -> Result<RecordingView, AppError> {
        caller.identity()?;
        let found = self.find_recording(id).await?;
        if !Sight::new(self, caller).session(self, matter(&found), &found.proxy) {
            return Err(AppError::not_found("recording", id));
        }
        let store = self.store();
        blocking(move || with_place(store.as_ref(), found)).await
    }

    /// Opens a recording to stream its bytes, and enters in the ledger that it is read. With `follow` the stream of a
    /// live one goes on until it is closed; without, it ends at what is written now.
    ///
    /// # Errors
    /// There is none that the caller may know of, policy does not let them replay it, or its file is not here.
    pub async fn replay(&self, caller: &Caller, id: &RecordingId, follow: bool) -> Result<Replay, AppError> {
        let view = self.recording(caller, id).await?.recording;
        let (session, request) = (view.session.clone(), view.request.clone());
        let archive = Archive::new(&self.settings.recordings);
        let opened = {
            let (session, id) = (session.clone(), id.clone());
            // Opened before the fact, so that what cannot be read is not said to have been.
            blocking(move || open(&archive, &session, &id, follow).map_err(|error| not_here(&error, &id))).await
        };
        let build = |_: &State, now: Timestamp| {
            let may_replay = self.rules().may_replay(caller, matter(&view), now);
            let (recording, session, request) = (id.clone(), session.clone(), request.clone());
            Ok(RecordingReplayed { recording, session, request, may_replay }.into())
        };
        // Whether they may is asked first: nobody learns from the error whether a file is there.
        if !self.rules().may_replay(caller, matter(&view), self.engine.now()) {
            return Err(AppError::Forbidden {
                sentence: format!("{} may not replay {id}", caller.subject()),
                hint: Some(format!(
                    "run: portcullis policy explain {}@{} --action replay --requester {}",
                    view.login, view.target, view.identity
                )),
            });
        }
        let replay = opened?;
        self.engine.execute(&caller.actor(), build, |_, _| ()).await?;
        Ok(replay)
    }

    async fn find_recording(&self, id: &RecordingId) -> Result<Recording, AppError> {
        if let Some(found) = self.engine.read(|state, _| state.recording(id).cloned()).await? {
            return Ok(found);
        }
        let (store, id) = (self.store(), id.clone());
        blocking(move || from_ledger(store.as_ref(), &id)).await
    }
}

impl Wanted {
    fn fits(&self, recording: &Recording) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.identity, recording.identity.as_str())
            && same(&self.target, recording.target.as_str())
            && same(&self.session, recording.session.as_str())
            && same(&self.request, recording.request.as_str())
    }
}

const fn matter(recording: &Recording) -> Matter<'_> {
    Matter { owner: &recording.identity, target: &recording.target, login: &recording.login }
}

fn open(archive: &Archive, session: &SessionId, id: &RecordingId, follow: bool) -> Result<Replay, VaultError> {
    let tail = archive.tail(session, id)?;
    // A live one is read as far as it is written now; one that moved on meanwhile is closed and ends by itself.
    let written = archive.find(session, id).ok().and_then(|stored| std::fs::metadata(stored.path).ok());
    let left = if follow { None } else { written.map(|file| file.len()) };
    Ok(Replay { tail, left })
}

fn about(id: &RecordingId, kind: &str) -> Query {
    Query {
        subject: Some(Subject::from_text(format!("recording:{id}"))),
        kind: Some(kind.to_owned()),
        ..Query::default()
    }
}

fn with_place(store: &dyn Store, recording: Recording) -> Result<RecordingView, AppError> {
    let seq = match recording.state {
        RecordingState::Open | RecordingState::Failed { .. } => None,
        RecordingState::Closed { failure: None, done, .. } => Some(done),
        // It failed first, and what was left of it was closed later.
        RecordingState::Closed { failure: Some(_), .. } => {
            let found = store.find(&about(&recording.id, "recording.closed"), Seq(0), 1);
            found.map_err(|error| unreadable(&error))?.first().map(|record| record.seq)
        }
    };
    Ok(RecordingView { recording, seq })
}

/// A recording that the state has forgotten, from the facts about it.
fn from_ledger(store: &dyn Store, id: &RecordingId) -> Result<Recording, AppError> {
    let missing = || AppError::not_found("recording", id);
    let first = |query: &Query| -> Result<_, AppError> {
        Ok(store.find(query, Seq(0), 1).map_err(|error| unreadable(&error))?.into_iter().next())
    };
    let started = first(&about(id, "recording.started"))?.ok_or_else(missing)?;
    let Fact::RecordingStarted { session, channel, .. } = started.entry.fact else { return Err(missing()) };
    let request: RequestId = started.entry.correlation.as_str().parse().map_err(|_| missing())?;
    let opened = first(&Query {
        subject: Some(Subject::from_text(format!("session:{session}"))),
        kind: Some("session.opened".to_owned()),
        ..Query::default()
    })?;
    let opened = opened.ok_or_else(missing)?.entry.fact;
    let Fact::SessionOpened { identity, target, login, proxy, .. } = opened else { return Err(missing()) };
    let (closed, failed) = (first(&about(id, "recording.closed"))?, first(&about(id, "recording.failed"))?);
    let failure = failed.map(|record| (record.seq, record.entry));
    let error = failure.as_ref().and_then(|(_, entry)| {
        if let Fact::RecordingFailed { error, .. } = &entry.fact { Some(error.clone()) } else { None }
    });
    let state = match (closed.map(|record| (record.seq, record.entry.time, record.entry.fact)), failure) {
        (Some((done, at, Fact::RecordingClosed { closed, .. })), _) => {
            RecordingState::Closed { closed, failure: error, at, done }
        }
        (_, Some((done, entry))) => RecordingState::Failed { error: error.unwrap_or_default(), at: entry.time, done },
        (_, None) => RecordingState::Open,
    };
    Ok(Recording {
        id: id.clone(),
        session,
        request,
        identity,
        target,
        login,
        proxy,
        channel,
        started: started.entry.time,
        state,
    })
}

fn not_here(error: &VaultError, id: &RecordingId) -> AppError {
    // Where nothing was ever recorded there is no folder either.
    let missing = match error {
        VaultError::Unknown { .. } => true,
        VaultError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        VaultError::InUse { .. }
        | VaultError::Exists { .. }
        | VaultError::Parse { .. }
        | VaultError::ShuttingDown { .. } => false,
    };
    if missing {
        AppError::not_found("file of recording", id)
    } else {
        AppError::Internal(format!("the recording {id} cannot be opened: {error}"))
    }
}
