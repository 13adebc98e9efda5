//! What happened in sessions, on its way to the CA: in order for each session, kept until the CA has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::wire::SessionReport;
use model::{SessionEnd, SessionId};
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
    queues: Mutex<HashMap<SessionId, Queue>>,
    /// Raised and replaced whenever a session's queue has run empty.
    empty: Mutex<Signal>,
}

/// The reports of one session. It is kept from the session's first report to its end.
#[derive(Debug, Default)]
struct Queue {
    reports: VecDeque<SessionReport>,
    /// How many the CA is known to have.
    told: u64,
    /// A task sends them.
    sending: bool,
    /// The end of the session is told, so nothing more comes.
    over: bool,
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
        let queue = queues.entry(session.clone()).or_default();
        if queue.reports.len() >= WAITING && !matches!(report, SessionReport::Ended { .. }) {
            return Err(Backlog);
        }
        queue.reports.push_back(report);
        // Whoever finds nobody sending starts the task that does, until the queue is empty.
        if !std::mem::replace(&mut queue.sending, true) {
            drop(queues);
            tokio::spawn(self.0.clone().empty(session.clone()));
        }
        Ok(())
    }

    /// The sessions of which something is still to be told.
    pub(crate) fn waiting(&self) -> Vec<SessionId> {
        let queues = self.0.lock();
        queues.iter().filter(|(_, queue)| queue.sending).map(|(session, _)| session.clone()).collect()
    }

    /// Waits until nothing is left to send.
    pub(crate) async fn drained(&self) {
        loop {
            let empty = self.0.empty.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if self.waiting().is_empty() {
                return;
            }
            empty.raised().await;
        }
    }
}

impl Inner {
    async fn empty(self: Arc<Self>, session: SessionId) {
        let mut pause = FIRST_PAUSE;
        let mut most = BATCH;
        while let Some((told, batch)) = self.next(&session, most) {
            // The semaphore is never closed.
            let Ok(call) = self.calls.acquire().await else { return };
            let count = batch.len();
            match self.control.report(&session, Some(told), batch).await {
                // The next call begins with what was refused, if anything was.
                Ok(taken) => {
                    (pause, most) = (FIRST_PAUSE, BATCH);
                    self.delivered(&session, taken.min(count));
                    if taken == 0 {
                        self.refused(&session, "it takes nothing, and does not say why");
                    }
                }
                Err(ControlError::Refused { code, sentence, .. }) if count > 1 => {
                    // It is the first one's, or that of the call as a whole: its size, or its form.
                    warn!(%session, code, "the CA refuses one of {count} reports; the first is sent by itself: {sentence}");
                    most = 1;
                }
                Err(ControlError::Refused { code, sentence, .. }) => {
                    error!(%session, code, "the CA refuses a report: {sentence}");
                    most = BATCH;
                    self.refused(&session, &sentence);
                }
                Err(ControlError::Unavailable(why)) => {
                    // The answer may have been lost, and not the call: what the CA has, it does not enter again.
                    warn!(%session, "a report waits for the CA: {why}");
                    drop(call);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The first of these are in the ledger.
    fn delivered(&self, session: &SessionId, count: usize) {
        for report in self.forget(session, count, true) {
            (self.delivered)(session, &report);
        }
    }

    /// The first one will never be.
    fn refused(&self, session: &SessionId, sentence: &str) {
        self.forget(session, 1, false);
        (self.refused)(session, format!("the ledger does not take what happens in it: {sentence}"));
    }

    /// The next batch, which stays queued until it is delivered, and how many the CA has before it; `None` ends the
    /// task.
    fn next(&self, session: &SessionId, most: usize) -> Option<(u64, Vec<SessionReport>)> {
        let mut queues = self.lock();
        let queue = queues.get_mut(session)?;
        let mut room = BATCH_BYTES;
        let mut batch = Vec::new();
        for report in queue.reports.iter().take(most) {
            let size = encoded_size(report);
            if size > room && !batch.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            batch.push(report.clone());
        }
        if !batch.is_empty() {
            return Some((queue.told, batch));
        }
        queue.sending = false;
        if queue.over {
            queues.remove(session);
        }
        drop(queues);
        let mut empty = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *empty).raise();
        None
    }

    fn forget(&self, session: &SessionId, count: usize, told: bool) -> Vec<SessionReport> {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(session) else { return Vec::new() };
        let gone: Vec<_> = queue.reports.drain(..count.min(queue.reports.len())).collect();
        if told {
            queue.told = queue.told.saturating_add(gone.len() as u64);
        }
        queue.over |= gone.iter().any(|report| matches!(report, SessionReport::Ended { .. }));
        gone
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a report is in a body, with the comma behind it.
fn encoded_size(report: &SessionReport) -> usize {
    // A report always encodes; one that did not would be sent by itself.
    serde_json::to_vec(report).map_or(BATCH_BYTES, |json| json.len().saturating_add(1))
}

/// The report with its texts cut to what the ledger keeps of them.
fn short(report: SessionReport) -> SessionReport {
    match report {
        SessionReport::ChannelOpened { channel, channel_kind, pty } => {
            SessionReport::ChannelOpened { channel, channel_kind: channel_kind.map_texts(clip), pty }
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
