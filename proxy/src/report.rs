//! What happened in sessions, on its way to the CA: in order for each session, kept until the CA has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::wire::SessionReport;
use model::{ChannelKind, SessionEnd, SessionId};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::{error, warn};

use crate::control::{Control, ControlError};
use crate::signal::Signal;

/// How many reports go in one call.
const BATCH: usize = 64;
/// How many bytes of JSON go in one call, unless a single report has more. The CA takes bodies of four times as much.
const BATCH_BYTES: usize = 256 * 1024;
/// How many bytes of a text of foreign making go into the ledger. The rest is told by its digest.
const TEXT: usize = 4096;
/// How many calls run at a time.
const CALLS: usize = 32;
/// How many reports of one session may wait. A session that reports faster than the CA listens is cut.
const WAITING: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Sends reports in the background. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reporter(Arc<Inner>);

/// Called for every report that the CA has taken.
type Delivered = Box<dyn Fn(&SessionId, &SessionReport) + Send + Sync>;
/// Called with the reason when the CA does not take a report and never will.
type Refused = Box<dyn Fn(&SessionId, String) + Send + Sync>;

struct Inner {
    control: Arc<dyn Control>,
    delivered: Delivered,
    refused: Refused,
    calls: Semaphore,
    queues: Mutex<HashMap<SessionId, VecDeque<SessionReport>>>,
    /// Raised and replaced whenever a session's queue has run empty.
    empty: Mutex<Signal>,
}

/// Too many reports of this session wait for the CA.
#[derive(Debug, thiserror::Error)]
#[error("the CA does not take what is to be recorded in the ledger")]
pub(crate) struct Backlog;

impl Reporter {
    pub(crate) fn new(
        control: Arc<dyn Control>,
        delivered: impl Fn(&SessionId, &SessionReport) + Send + Sync + 'static,
        refused: impl Fn(&SessionId, String) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            control,
            delivered: Box::new(delivered),
            refused: Box::new(refused),
            calls: Semaphore::new(CALLS),
            queues: Mutex::default(),
            empty: Mutex::default(),
        }))
    }

    /// Queues a report. Long texts in it are cut: what a person types must not make a report that the CA cannot take.
    ///
    /// # Errors
    /// The CA has not listened for a long time; the report is not taken. The end of a session always is.
    pub(crate) fn send(&self, session: &SessionId, report: SessionReport) -> Result<(), Backlog> {
        let report = short(report);
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get_mut(session) {
            if queue.len() >= WAITING && !matches!(report, SessionReport::Ended { .. }) {
                return Err(Backlog);
            }
            queue.push_back(report);
            return Ok(());
        }
        // Whoever finds no queue starts the task that empties it; the task takes the queue away when it is done.
        queues.insert(session.clone(), VecDeque::from([report]));
        drop(queues);
        tokio::spawn(self.0.clone().empty(session.clone()));
        Ok(())
    }

    /// Waits until nothing is left to send.
    pub(crate) async fn drained(&self) {
        loop {
            let empty = self.0.empty.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if self.0.lock().is_empty() {
                return;
            }
            empty.raised().await;
        }
    }
}

impl Inner {
    async fn empty(self: Arc<Self>, session: SessionId) {
        let mut pause = FIRST_PAUSE;
        // How many reports at the front were in a call before, which the CA may have kept in part.
        let mut tried = 0_usize;
        // How many of them go one by one, because they were refused together.
        let mut singly = 0_usize;
        while let Some(batch) = self.next(&session, if singly > 0 { 1 } else { BATCH }) {
            // The semaphore is never closed.
            let Ok(call) = self.calls.acquire().await else { return };
            let count = batch.len();
            let first = batch.first().cloned();
            match self.control.report(&session, batch).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    (tried, singly) = (tried.saturating_sub(count), singly.saturating_sub(count));
                    self.delivered(&session, count);
                }
                Err(ControlError::Refused { code, sentence, .. }) if count > 1 => {
                    warn!(%session, code, "the CA refuses one of {count} reports; each is sent by itself: {sentence}");
                    (tried, singly) = (tried.max(count), count);
                }
                Err(ControlError::Refused { code, sentence, .. }) => {
                    if tried > 0 && first.is_some_and(|report| is_there(&report, &code)) {
                        self.delivered(&session, 1);
                    } else {
                        error!(%session, code, "the CA refuses a report: {sentence}");
                        self.forget(&session, 1);
                        (self.refused)(&session, format!("the ledger does not take what happens in it: {sentence}"));
                    }
                    (tried, singly) = (tried.saturating_sub(1), singly.saturating_sub(1));
                }
                Err(ControlError::Unavailable(why)) => {
                    warn!(%session, "a report waits for the CA: {why}");
                    // The answer may have been lost, and not the call.
                    tried = tried.max(count);
                    drop(call);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn delivered(&self, session: &SessionId, count: usize) {
        for report in self.forget(session, count) {
            (self.delivered)(session, &report);
        }
    }

    /// The next batch, which stays queued until it is delivered; `None` ends the task.
    fn next(&self, session: &SessionId, most: usize) -> Option<Vec<SessionReport>> {
        let mut queues = self.lock();
        let mut room = BATCH_BYTES;
        let mut batch = Vec::new();
        for report in queues.get(session)?.iter().take(most) {
            let size = encoded_size(report);
            if size > room && !batch.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            batch.push(report.clone());
        }
        if !batch.is_empty() {
            return Some(batch);
        }
        queues.remove(session);
        drop(queues);
        let mut empty = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *empty).raise();
        None
    }

    fn forget(&self, session: &SessionId, count: usize) -> Vec<SessionReport> {
        match self.lock().get_mut(session) {
            Some(queue) => queue.drain(..count.min(queue.len())).collect(),
            None => Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, VecDeque<SessionReport>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a report is in a body, with the comma behind it.
fn encoded_size(report: &SessionReport) -> usize {
    // A report always encodes; one that did not would be sent by itself.
    serde_json::to_vec(report).map_or(BATCH_BYTES, |json| json.len().saturating_add(1))
}

/// Whether a refusal says that the ledger has this fact already: the answer to an earlier call was lost, or that call
/// was kept in part.
fn is_there(report: &SessionReport, code: &str) -> bool {
    match report {
        SessionReport::ChannelOpened { .. } | SessionReport::RecordingStarted { .. } => code == "id-taken",
        SessionReport::ChannelClosed { .. } => code == "unknown-channel",
        SessionReport::RecordingClosed { .. } | SessionReport::RecordingFailed { .. } => code == "recording-not-open",
        SessionReport::Ended { .. } => code == "session-not-live",
        SessionReport::ChannelRefused { .. } => false,
    }
}

/// The report with its texts cut to what the ledger keeps of them.
fn short(report: SessionReport) -> SessionReport {
    match report {
        SessionReport::ChannelOpened { channel, channel_kind, pty } => {
            let channel_kind = match channel_kind {
                ChannelKind::Shell => ChannelKind::Shell,
                ChannelKind::Exec { command } => ChannelKind::Exec { command: clip(command) },
                ChannelKind::Subsystem { name } => ChannelKind::Subsystem { name: clip(name) },
            };
            SessionReport::ChannelOpened { channel, channel_kind, pty }
        }
        SessionReport::ChannelRefused { asked, reason } => {
            SessionReport::ChannelRefused { asked: clip(asked), reason: clip(reason) }
        }
        SessionReport::RecordingFailed { recording, error } => {
            SessionReport::RecordingFailed { recording, error: clip(error) }
        }
        SessionReport::Ended { end, cut, dropped } => {
            let end = match end {
                SessionEnd::Target { error } => SessionEnd::Target { error: error.map(clip) },
                SessionEnd::Recording { error } => SessionEnd::Recording { error: clip(error) },
                SessionEnd::Proxy { reason } => SessionEnd::Proxy { reason: clip(reason) },
                SessionEnd::Client
                | SessionEnd::Expired
                | SessionEnd::Idle
                | SessionEnd::Revoked { .. }
                | SessionEnd::Released { .. }
                | SessionEnd::Locked { .. }
                | SessionEnd::Cut { .. } => end,
            };
            SessionReport::Ended { end, cut, dropped }
        }
        SessionReport::ChannelClosed { .. }
        | SessionReport::RecordingStarted { .. }
        | SessionReport::RecordingClosed { .. } => report,
    }
}

/// A long text as its beginning, its length and the digest of the whole.
fn clip(text: String) -> String {
    if text.len() <= TEXT {
        return text;
    }
    let kept = text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default();
    format!("{kept}… ({} bytes, sha256 {})", text.len(), hex::encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests;
