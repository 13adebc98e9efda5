//! The proxy as a whole: what it needs, how it starts, and how it stops.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use api::wire::{Recovered, RecoveredRecording, SessionReport};
use model::{ProxyName, SessionEnd, SessionId};
use recordings::Vault;
use ssh_key::PrivateKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, error, info, warn};

use crate::ambient::{Ambient, Timekeeper};
use crate::auth::Authorities;
use crate::config::{Config, MOST_CHANNELS};
use crate::control::{Control, ControlError};
use crate::cut::Cuttable;
use crate::feed::Revocations;
use crate::gate::Gate;
use crate::hosts::{HostKey, Hosts};
use crate::limits::{Limit, Rooms, neighbourhood};
use crate::record::chain;
use crate::registry::Registry;
use crate::report::Reporter;
use crate::roll;
use crate::server::{Position, serve};
use crate::status;
use crate::strangers::Strangers;
use crate::sweeper::Sweeper;

/// How often the CA's public keys are looked at again, besides whenever the feed says that they have changed.
const KEYS_EVERY: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);
/// How many recordings of an earlier run are told in one call.
const RECOVERED_PAGE: usize = 256;
/// How long sessions and reports may take to end when the proxy is stopped.
const STOPPING: Duration = Duration::from_secs(10);
/// How many questions to the CA whose key one is may be on their way at a time.
const ASKING: usize = 64;
/// After an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a proxy is made of.
pub struct Parts {
    /// Its name, as the CA knows it.
    pub name: ProxyName,
    /// Its settings.
    pub config: Config,
    /// The CA.
    pub control: Arc<dyn Control>,
    /// Where it records.
    pub vault: Vault,
    /// Its host key; Ed25519 is what every client knows.
    pub host_key: PrivateKey,
    /// The clock and the random source.
    pub ambient: Arc<dyn Ambient>,
}

/// A proxy that has what it needs from the CA.
pub struct Proxy {
    gate: Arc<Gate>,
    registry: Arc<Registry>,
    background: Vec<JoinHandle<()>>,
}

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The CA refuses to work with it.
    #[error("the CA refuses this proxy: {0}")]
    Refused(String),
    /// A key cannot be read.
    #[error("the {what} cannot be read")]
    Key {
        /// Which one.
        what: &'static str,
        /// Why.
        source: ssh_key::Error,
    },
    /// The vault cannot be looked through.
    #[error("the recordings of an earlier run cannot be closed")]
    Recordings(#[source] recordings::VaultError),
    /// The system refuses a thread.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// A background task was ended, because the process is going down.
    #[error("the process is shutting down")]
    ShuttingDown,
}

impl Proxy {
    /// Fetches what a proxy needs from the CA, and tells it what an earlier run left. Waits for a CA that is out of
    /// reach, for ever.
    ///
    /// # Errors
    /// The CA refuses, or something cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, ProxyError> {
        let Parts { name, mut config, control, vault, host_key, ambient } = parts;
        // The ledger takes no more of one session, and a report that it does not take ends the session.
        config.max_channels = config.max_channels.min(MOST_CHANNELS);
        let vault = vault.with_limit(config.recording_limit);
        let keys = patiently("the CA's keys", || control.keys()).await?;
        let unreadable = |what| move |source| ProxyError::Key { what, source };
        let authorities = Authorities::parse(&keys.user_ca).map_err(unreadable("user CA key"))?;
        recover(control.as_ref(), &vault).await?;

        // From here on nobody reads the machine's clock itself: set back, it would make good what has ended.
        let ambient: Arc<dyn Ambient> = Arc::new(Timekeeper::new(ambient));
        let registry = Arc::<Registry>::default();
        let sweeper = Sweeper::start(config.notice.to_std()).map_err(ProxyError::Thread)?;
        let revocations = Revocations::new(registry.clone(), sweeper);
        let hosts = Hosts::new(control.clone(), ambient.clone(), name, host_key, config.clone())
            .map_err(unreadable("host key"))?;
        let hosts = Arc::new(hosts);
        patiently("a host certificate", || hosts.face(None)).await?;
        let reporter = Reporter::new(control.clone(), entered(vault.clone()), end_refused(registry.clone()));
        let gate = Arc::new(Gate {
            waiting: Limit::new(config.max_waiting, config.max_waiting_per_address),
            strangers: Strangers::default(),
            asking: Arc::new(Semaphore::new(ASKING)),
            people: Limit::new(usize::MAX, config.max_sessions_per_person),
            transfers: Limit::new(usize::MAX, config.max_transfers_per_person),
            jumps: Limit::new(usize::MAX, config.max_sessions_per_person),
            config,
            control: control.clone(),
            ambient,
            vault,
            reporter,
            revocations: revocations.clone(),
            registry: registry.clone(),
            hosts,
            authorities: RwLock::new(authorities),
            desks: Rooms::new(crate::desk::CALLS),
            trusts_others: tokio::sync::Notify::new(),
        });
        let background = vec![
            tokio::spawn(revocations.follow(control)),
            tokio::spawn(watch_keys(gate.clone())),
            tokio::spawn(roll::call(gate.clone())),
            tokio::spawn(status::tell(gate.clone())),
        ];
        Ok(Self { gate, registry, background })
    }

    /// The host key, for who has another one for it while it runs.
    #[must_use]
    pub fn host_key(&self) -> HostKey {
        HostKey::of(self.gate.hosts.clone())
    }

    /// Lets people in until `shutdown` resolves; then ends every session, and waits until the CA knows of it.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.receive(stream, peer.ip().to_canonical(), &mut connections);
                    }
                    Err(error) => {
                        error!("no connection can be accepted: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        info!("stopping: every session ends");
        for live in self.registry.all() {
            live.end(SessionEnd::Proxy { reason: "the proxy is being stopped".to_owned() });
        }
        let end = async {
            while !self.registry.ids().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connections.abort_all();
            self.gate.reporter.drained().await;
        };
        if tokio::time::timeout(STOPPING, end).await.is_err() {
            warn!("stopped before the CA knew of everything; the next start tells it");
        }
        for task in self.background {
            task.abort();
        }
    }

    fn receive(&self, stream: TcpStream, address: std::net::IpAddr, connections: &mut JoinSet<()>) {
        let Some(place) = self.gate.waiting.take(neighbourhood(address)) else {
            // A client shows lines before the protocol's first only in its debug output. It is tried all the same.
            let _ = stream.try_write(b"portcullis: too many connections wait for their log-in; try again\r\n");
            debug!(%address, "too many connections wait for their log-in");
            return;
        };
        // Only a socket that is closed already refuses this.
        let _ = stream.set_nodelay(true);
        let gate = self.gate.clone();
        connections.spawn(async move {
            let config = match gate.hosts.face(None).await {
                Ok(config) => config,
                Err(error) => {
                    error!("no host certificate: {error}");
                    return;
                }
            };
            let (stream, cutter) = Cuttable::tcp(stream);
            serve(gate, config, stream, cutter, Position::Front, address, Some(place)).await;
        });
    }
}

/// Asks until there is an answer.
async fn patiently<T, F: Future<Output = Result<T, ControlError>>>(
    what: &str,
    ask: impl FnMut() -> F,
) -> Result<T, ProxyError> {
    patiently_or(what, ask).await.map_err(|(_, sentence)| ProxyError::Refused(sentence))
}

/// Asks until there is an answer, or a refusal: its code and its sentence.
async fn patiently_or<T, F: Future<Output = Result<T, ControlError>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T, (String, String)> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(ControlError::Refused { code, sentence, .. }) => return Err((code, sentence)),
            Err(ControlError::Unavailable(why)) => {
                warn!("waiting for {what}: {why}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Closes what a crash left, and tells the CA.
async fn recover(control: &dyn Control, vault: &Vault) -> Result<(), ProxyError> {
    let folder = vault.clone();
    let found = tokio::task::spawn_blocking(move || folder.recover())
        .await
        .map_err(|_| ProxyError::ShuttingDown)?
        .map_err(ProxyError::Recordings)?;
    let mut recordings = Vec::new();
    for left in found {
        let (recording, session) = (left.recording, left.session);
        match left.outcome {
            Ok(closed) => recordings.push(RecoveredRecording { recording, session, closed }),
            Err(problem) => {
                let error = chain(&problem);
                error!(%recording, "nothing is left of a recording: {error}");
                tell_lost(control, &session, SessionReport::RecordingFailed { recording, error }).await;
            }
        }
    }
    let mut rest = recordings.as_slice();
    loop {
        let (page, others) = rest.split_at(rest.len().min(RECOVERED_PAGE));
        rest = others;
        // The last one ends the sessions of the earlier run.
        let told = Recovered { live: Vec::new(), recordings: page.to_vec(), more: !rest.is_empty(), spare: 0 };
        tell_recovered(control, told).await?;
        if rest.is_empty() {
            break;
        }
    }
    let entered = entered(vault.clone());
    for left in recordings {
        let closed = SessionReport::RecordingClosed { recording: left.recording, closed: left.closed };
        entered(&left.session, &closed);
    }
    Ok(())
}

/// Tells one page. Recordings that the ledger does not know, or knows to be closed, must not keep a proxy from its
/// start for ever: then each is told by itself, and those are passed over.
async fn tell_recovered(control: &dyn Control, told: Recovered) -> Result<(), ProxyError> {
    let what = "the CA to hear what an earlier run left";
    let passed_over = |code: &str| matches!(code, "unknown-recording" | "recording-not-open");
    match patiently_or(what, || control.recovered(&told)).await {
        Ok(()) => return Ok(()),
        Err((code, sentence)) if !passed_over(&code) || told.recordings.is_empty() => {
            return Err(ProxyError::Refused(sentence));
        }
        Err(_) => {}
    }
    for left in told.recordings {
        let recording = left.recording.clone();
        let one = Recovered { recordings: vec![left], more: true, ..Recovered::default() };
        match patiently_or(what, || control.recovered(&one)).await {
            Ok(()) => {}
            Err((code, sentence)) if passed_over(&code) => {
                error!(%recording, code, "the CA does not take what is left of a recording: {sentence}");
            }
            Err((_, sentence)) => return Err(ProxyError::Refused(sentence)),
        }
    }
    let last = Recovered { more: told.more, ..Recovered::default() };
    patiently(what, || control.recovered(&last)).await
}

/// Tells that nothing is left of a recording. What the ledger knows already, or never knew, is no reason not to start.
async fn tell_lost(control: &dyn Control, session: &SessionId, failed: SessionReport) {
    let what = "the CA to hear that a recording is lost";
    if let Err((code, sentence)) = patiently_or(what, || control.report(session, None, vec![failed.clone()])).await {
        warn!(%session, code, "the CA does not take that a recording is lost: {sentence}");
    }
}

/// Ends a session whose story the ledger does not take.
fn end_refused(registry: Arc<Registry>) -> impl Fn(&SessionId, String) + Send + Sync + 'static {
    move |session, reason| {
        if let Some(live) = registry.session(session) {
            live.end(SessionEnd::Proxy { reason });
        }
    }
}

/// Files a recording once the ledger knows it.
fn entered(vault: Vault) -> impl Fn(&SessionId, &SessionReport) + Send + Sync + 'static {
    move |session, report| {
        if let SessionReport::RecordingClosed { recording, .. } = report {
            let (vault, session, recording) = (vault.clone(), session.clone(), recording.clone());
            tokio::task::spawn_blocking(move || {
                if let Err(problem) = vault.entered(&session, &recording) {
                    warn!(%recording, "a recording is not filed: {}", chain(&problem));
                }
            });
        }
    }
}

async fn watch_keys(gate: Arc<Gate>) {
    let mut known = HashSet::new();
    loop {
        let told = tokio::time::timeout(KEYS_EVERY, gate.revocations.ca_changed()).await.is_ok();
        let mut answer = gate.control.keys().await;
        // A key that is retired must not be taken for a minute longer because one call was lost.
        while told && answer.is_err() {
            tokio::time::sleep(PAUSE).await;
            answer = gate.control.keys().await;
        }
        match answer {
            Ok(keys) => {
                match Authorities::parse(&keys.user_ca) {
                    Ok(authorities) => {
                        if known.insert(keys.user_ca) && known.len() > 1 {
                            info!("the user CA's keys have changed");
                        }
                        gate.set_authorities(authorities);
                    }
                    Err(problem) => warn!("the user CA's keys cannot be read: {problem}"),
                }
                match Authorities::parse(&keys.front_ca) {
                    Ok(front_ca) => gate.hosts.keep_signed_by(&front_ca),
                    Err(problem) => warn!("the front CA's key cannot be read: {problem}"),
                }
            }
            Err(problem) => debug!("the user CA's keys are not renewed: {problem}"),
        }
    }
}
