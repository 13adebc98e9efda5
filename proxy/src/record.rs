//! The recording of one channel, as strict as the grant's path wants it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::wire::SessionReport;
use bytes::Bytes;
use model::{ChannelKind, ExitReport, Pty, RecordingId, RecordingMode, SessionEnd, SessionId};
use recordings::{Header, Operation, RecordError, Recorder, Stream};
use tracing::{error, warn};

use crate::ambient::random_bits;
use crate::gate::Gate;
use crate::permit::Permit;
use crate::report::Reporter;

/// The recording of one channel.
pub(crate) struct Tape {
    recorder: Option<Recorder>,
    /// Where the ledger is told that the rest goes unrecorded.
    reporter: Option<(Reporter, SessionId)>,
    strict: bool,
    /// Nothing may be left out of it.
    whole: bool,
    /// The rest goes unrecorded, which the ledger knows.
    lost: AtomicBool,
}

/// A recording that the session cannot do without has failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(String);

impl Tape {
    /// Starts the recording of a channel, before the target sees what the channel asks for.
    ///
    /// # Errors
    /// It must be recorded and cannot be.
    pub(crate) async fn arm(
        gate: &Gate,
        permit: &Permit,
        channel: u32,
        kind: &ChannelKind,
        pty: Option<&Pty>,
    ) -> Result<Self, Broken> {
        let obligations = permit.obligations();
        let strict = match obligations.recording {
            RecordingMode::Only | RecordingMode::Strict => true,
            RecordingMode::BestEffort => false,
            RecordingMode::Off => return Ok(Self::none()),
        };
        let recording = RecordingId::from_random(random_bits(gate.ambient.as_ref()));
        let destination = permit.destination();
        let header = Header {
            recording: recording.clone(),
            session: permit.session().clone(),
            channel,
            request: permit.request().clone(),
            identity: permit.identity().clone(),
            login: destination.login.clone(),
            target: destination.target.clone(),
            started: gate.now(),
            kind: kind.clone(),
            pty: pty.cloned(),
            record_input: obligations.record_input,
            output_limit: obligations.output_limit,
        };
        // Said first: the ledger takes no failure of a recording that it does not know.
        let started = SessionReport::RecordingStarted { recording: recording.clone(), channel };
        gate.reporter.send(permit.session(), started).map_err(|backlog| Broken(backlog.to_string()))?;
        match gate.vault.create(header).await {
            Ok(recorder) => Ok(Self {
                recorder: Some(recorder),
                reporter: Some((gate.reporter.clone(), permit.session().clone())),
                strict,
                // What passes over a shell without a terminal is its commands and their output. A command that moves
                // files is on record by itself, whatever it moves.
                whole: strict && matches!(kind, ChannelKind::Shell) && pty.is_none(),
                lost: AtomicBool::new(false),
            }),
            Err(error) => {
                let why = chain(&error);
                error!(session = %permit.session(), channel, "no recording: {why}");
                let failed = SessionReport::RecordingFailed { recording, error: why.clone() };
                if gate.reporter.send(permit.session(), failed).is_err() || strict {
                    return Err(Broken(why));
                }
                Ok(Self::none())
            }
        }
    }

    fn none() -> Self {
        Self { recorder: None, reporter: None, strict: false, whole: false, lost: AtomicBool::new(false) }
    }

    /// Whether there is a recording, so far.
    pub(crate) fn records(&self) -> bool {
        self.recorder().is_some()
    }

    /// What the target writes to standard output.
    pub(crate) async fn output(&self, data: &Bytes) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.output(data).await),
            None => Ok(()),
        }
    }

    /// What the target writes to standard error.
    pub(crate) async fn stderr(&self, data: &Bytes) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.stderr(data).await),
            None => Ok(()),
        }
    }

    /// What the person sends, before the target gets it.
    pub(crate) async fn input(&self, data: &Bytes) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.input(data).await),
            None => Ok(()),
        }
    }

    /// So many bytes of files and of what is said about them, of which nothing is kept.
    pub(crate) async fn count(&self, stream: Stream, bytes: u64) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.count(stream, bytes).await),
            None => Ok(()),
        }
    }

    /// What was done to a file, before anybody is told of it.
    pub(crate) async fn file(&self, operation: &Operation) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.file(operation).await),
            None => Ok(()),
        }
    }

    /// The terminal's new size.
    pub(crate) async fn resize(&self, columns: u32, rows: u32) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.resize(columns, rows).await),
            None => Ok(()),
        }
    }

    /// A remark: something that the proxy itself showed to the person.
    pub(crate) async fn marker(&self, label: &str) -> Result<(), Broken> {
        match self.recorder() {
            Some(recorder) => self.judge(recorder.marker(label).await),
            None => Ok(()),
        }
    }

    /// Waits until a recording fails that the session cannot do without.
    pub(crate) async fn broken(&self) -> Broken {
        match &self.recorder {
            Some(recorder) if self.strict => Broken(chain(&recorder.failed().await)),
            _ => std::future::pending().await,
        }
    }

    /// Closes the recording and tells the ledger. The last that it holds of a session that was ended is why.
    pub(crate) async fn finish(
        self,
        gate: &Gate,
        permit: &Permit,
        exit: Option<&ExitReport>,
        ended: Option<&SessionEnd>,
    ) {
        let Some(recorder) = self.recorder else { return };
        if let Some(end) = ended.filter(|end| !matches!(end, SessionEnd::Client | SessionEnd::Target { .. })) {
            // One that failed, or is full, has no room for it, and closes all the same. The closing waits for no room.
            let marker = format!("session ended: {end}");
            let _ = tokio::time::timeout(Duration::ZERO, recorder.marker(&marker)).await;
        }
        let recording = recorder.id().clone();
        let report = match recorder.finish(exit).await {
            Ok(closed) => SessionReport::RecordingClosed { recording, closed },
            // The ledger knows already.
            Err(_) if self.lost.load(Ordering::Relaxed) => return,
            Err(error) => SessionReport::RecordingFailed { recording, error: chain(&error) },
        };
        if let Err(backlog) = gate.reporter.send(permit.session(), report) {
            warn!(session = %permit.session(), "the end of a recording is not reported: {backlog}");
        }
    }

    fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref().filter(|_| !self.lost.load(Ordering::Relaxed))
    }

    fn judge(&self, written: Result<(), RecordError>) -> Result<(), Broken> {
        match written {
            Ok(()) if self.whole && self.recorder().is_some_and(Recorder::truncated) => {
                Err(Broken("a shell without a terminal has reached the limit of what is kept of it".to_owned()))
            }
            Ok(()) => Ok(()),
            Err(error) if self.strict => Err(Broken(chain(&error))),
            Err(error) => {
                if self.lost.swap(true, Ordering::Relaxed) {
                    return Ok(());
                }
                let why = chain(&error);
                warn!("a session goes on without its recording: {why}");
                let (Some((reporter, session)), Some(recorder)) = (&self.reporter, &self.recorder) else {
                    return Ok(());
                };
                // At once: what follows is in no recording, and whoever looks must not find out hours later.
                let failed = SessionReport::RecordingFailed { recording: recorder.id().clone(), error: why };
                reporter.send(session, failed).map_err(|backlog| Broken(backlog.to_string()))
            }
        }
    }
}

/// An error with its sources, which its own text leaves out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
