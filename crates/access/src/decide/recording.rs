//! Recordings, as their proxies report them and as people read them.

use model::{Entry, Fact, RecordingId};

use super::Desk;
use crate::Refusal;
use crate::command::{RecordingClosed, RecordingFailed, RecordingReplayed, RecordingStarted};
use crate::state::{Recording, RecordingState};

impl<'a> Desk<'a> {
    pub(super) fn recording_started(&self, started: RecordingStarted) -> Result<Vec<Entry>, Refusal> {
        let RecordingStarted { recording, session, channel } = started;
        let live = self.own(&session, "recorded")?;
        if self.state.recording(&recording).is_some() {
            return Err(
                Refusal::new("id-taken", format!("there is already a recording {recording}")).with_hint("try again")
            );
        }
        Ok(vec![self.entry(&live.request, Fact::RecordingStarted { recording, session, channel })])
    }

    pub(super) fn recording_closed(&self, closed: RecordingClosed) -> Result<Vec<Entry>, Refusal> {
        let RecordingClosed { recording, closed } = closed;
        let known = self.own_recording(&recording)?;
        match known.state {
            RecordingState::Open | RecordingState::Failed { .. } => {}
            RecordingState::Closed { .. } => return Err(not_open(known, "closed")),
        }
        let session = known.session.clone();
        Ok(vec![self.entry(&known.request, Fact::RecordingClosed { recording, session, closed })])
    }

    pub(super) fn recording_failed(&self, failed: RecordingFailed) -> Result<Vec<Entry>, Refusal> {
        let RecordingFailed { recording, error } = failed;
        let known = self.own_recording(&recording)?;
        match known.state {
            RecordingState::Open => {}
            RecordingState::Failed { .. } | RecordingState::Closed { .. } => return Err(not_open(known, "failed")),
        }
        let session = known.session.clone();
        Ok(vec![self.entry(&known.request, Fact::RecordingFailed { recording, session, error })])
    }

    pub(super) fn recording_replayed(&self, replayed: RecordingReplayed) -> Result<Vec<Entry>, Refusal> {
        let RecordingReplayed { recording, session, request, may_replay } = replayed;
        self.person("replay a recording")?;
        self.allowed(may_replay, &format!("replay {recording}"), "LOGIN@TARGET --action replay")?;
        if let Some(known) = self.state.recording(&recording)
            && (&known.session, &known.request) != (&session, &request)
        {
            let sentence = format!("{recording} is of {} under {}", known.session, known.request);
            return Err(Refusal::new("wrong-recording", sentence));
        }
        Ok(vec![self.entry(&request, Fact::RecordingReplayed { recording, session })])
    }

    fn own_recording(&self, id: &RecordingId) -> Result<&'a Recording, Refusal> {
        let known = self
            .state
            .recording(id)
            .ok_or_else(|| Refusal::new("unknown-recording", format!("there is no recording {id}")))?;
        self.reports_on(&known.proxy, &format!("recording {id}"))?;
        Ok(known)
    }
}

fn not_open(recording: &Recording, cannot: &str) -> Refusal {
    let Recording { id, .. } = recording;
    let sentence = format!("recording {id} is {}: it cannot be {cannot}", recording.status());
    Refusal::new("recording-not-open", sentence)
}
