//! What happened in sessions, on its way to the CA: in order for each session, kept until the CA has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::wire::SessionReport;
use model::SessionId;
use tokio::sync::Semaphore;
use tracing::{error, warn};

use crate::control::{Control, ControlError};
use crate::signal::Signal;

/// How many reports go in one call.
const BATCH: usize = 64;
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

struct Inner {
    control: Arc<dyn Control>,
    delivered: Delivered,
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
    ) -> Self {
        Self(Arc::new(Inner {
            control,
            delivered: Box::new(delivered),
            calls: Semaphore::new(CALLS),
            queues: Mutex::default(),
            empty: Mutex::default(),
        }))
    }

    /// Queues a report.
    ///
    /// # Errors
    /// The CA has not listened for a long time; the report is not taken. The end of a session always is.
    pub(crate) fn send(&self, session: &SessionId, report: SessionReport) -> Result<(), Backlog> {
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
        while let Some(batch) = self.next(&session) {
            // The semaphore is never closed.
            let Ok(_call) = self.calls.acquire().await else { return };
            let count = batch.len();
            match self.control.report(&session, batch).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    for report in self.forget(&session, count) {
                        (self.delivered)(&session, &report);
                    }
                }
                Err(ControlError::Refused { code, sentence, .. }) => {
                    error!(%session, code, "the CA refuses a report: {sentence}");
                    self.forget(&session, count);
                }
                Err(ControlError::Unavailable(why)) => {
                    warn!(%session, "a report waits for the CA: {why}");
                    drop(_call);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The next batch, which stays queued until it is delivered; `None` ends the task.
    fn next(&self, session: &SessionId) -> Option<Vec<SessionReport>> {
        let mut queues = self.lock();
        let batch: Vec<_> = queues.get(session)?.iter().take(BATCH).cloned().collect();
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
