//! What happens by itself: deadlines, changed files, snapshots, and forgetting.

use std::sync::Arc;
use std::time::Duration;

use access::{BATCH, Command};
use model::{Actor, Fact, Seq, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::App;
use crate::tls::Tls;

/// The longest sleep before a look at the clock: it may have been set, or the machine may have slept.
const LOOK: Duration = Duration::from_millis(250);
/// How often the files of policy and directory are looked at.
const FILES: Duration = Duration::from_millis(500);
/// How long to wait after the ledger refused.
const RETRY: Duration = Duration::from_secs(1);
/// How often live sessions are judged again without a cause: a policy may depend on the time of the day.
const JUDGE: Duration = Duration::from_secs(60);
/// A snapshot is saved after so many new records.
const SNAPSHOT: u64 = 20_000;

/// The tasks that run beside the calls.
pub(crate) struct Clockwork {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clockwork {
    pub(crate) fn start(app: &Arc<App>, tls: Arc<Tls>) -> Self {
        let stop = watch::Sender::new(false);
        let tasks = vec![
            tokio::spawn(deadlines(Arc::clone(app), stop.subscribe())),
            tokio::spawn(files(Arc::clone(app), stop.subscribe())),
            tokio::spawn(upkeep(Arc::clone(app), tls, stop.subscribe())),
        ];
        Self { stop, tasks }
    }

    /// Stops the tasks, each at a place where it leaves nothing half done.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the clockwork died");
            }
        }
    }
}

impl Drop for Clockwork {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Brings about what the clock has made due, within milliseconds of its time.
async fn deadlines(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let (deadline, now) = app.engine.peek(|state, now| (state.next_deadline(), now));
        let wait = match deadline {
            Some(at) if at <= now => Duration::ZERO,
            Some(at) => at.since(now).min(LOOK),
            None => LOOK,
        };
        if wait > Duration::ZERO {
            tokio::select! {
                () = tokio::time::sleep(wait) => continue,
                () = app.engine.due_changed() => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        let ticked = app.engine.execute(&Actor::System, |_, _| Ok(Command::Tick), |_, applied| applied.records.len());
        match ticked.await {
            Ok(facts) if facts >= BATCH => {}
            Ok(0) => {
                // Nothing came of what is due: rather late than a busy loop.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "what the clock made due could not be entered; it is tried again");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
        }
        if *stop.borrow() {
            return;
        }
    }
}

/// Takes up changed files.
async fn files(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FILES) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = app.look_at_files().await {
            tracing::error!(%error, "a changed file is not in force yet: the ledger did not take it");
        }
    }
}

/// Snapshots, forgetting what has expired, a new TLS leaf in time, and a second look at live sessions.
async fn upkeep(app: Arc<App>, tls: Arc<Tls>, mut stop: watch::Receiver<bool>) {
    let mut saved = app.engine.tail();
    let mut minute = tokio::time::interval(JUDGE);
    minute.tick().await;
    loop {
        tokio::select! {
            _ = minute.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        app.sweep();
        if let Err(error) = app.take_up_keys().await {
            tracing::error!(%error, "the files of the CA keys are not yet as the ledger has them; it is tried again");
        }
        match tls.renew(&app.keys, app.clock.now()) {
            Ok(true) => tracing::info!(expires = %tls.expires(), "the API has a new TLS certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the API's TLS certificate could not be renewed"),
        }
        if let Err(error) = app.judge_again("policy").await {
            tracing::error!(%error, "a session that policy no longer allows could not be cut");
        }
        if app.engine.tail().0 >= saved.0 + SNAPSHOT {
            saved = app.save_snapshot(saved).await;
        }
    }
}

impl App {
    /// Saves a snapshot; answers up to where there is one.
    pub(crate) async fn save_snapshot(&self, saved: Seq) -> Seq {
        match self.engine.snapshot().await {
            Ok(seq) => seq,
            Err(error) => {
                tracing::warn!(%error, "no snapshot of the state could be saved; the next start takes longer");
                saved
            }
        }
    }

    /// Says that the CA stops, and saves what makes the next start fast.
    pub(crate) async fn lay_down(&self) {
        if let Err(error) = self.keep(&Actor::System, Fact::SystemStopped {}).await {
            tracing::error!(%error, "the stop could not be entered in the ledger");
        }
        self.save_snapshot(Seq(0)).await;
    }

    /// The time for the outside.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.engine.now()
    }
}
