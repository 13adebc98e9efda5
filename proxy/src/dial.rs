//! Opens the connection to a target: an ephemeral key, a certificate for this one session, and a host that proves
//! which one it is. Nothing is trusted on first use.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::TargetName;
use russh::AlgorithmKind;
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use ssh_key::public::KeyData;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::debug;

use crate::algorithms;
use crate::ambient::Ambient;
use crate::config::Config;
use crate::cut::{Cuttable, Cutter};
use crate::forward::{self, Arrived, End, Incoming};
use crate::gate::Gate;
use crate::permit::{Credentials, Permit};
use crate::record::chain;
use crate::signal::{RaiseOnDrop, Signal};
use crate::target_key::{self, NotSigned};
use crate::trust::{self, HostRefused, HostTrust};
use crate::words::Words;

/// The connection to a target.
pub(crate) struct Target {
    handle: Handle<Watch>,
    gone: Gone,
    openssh: bool,
}

/// How one learns that the target has hung up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone {
    signal: Signal,
    why: Arc<Mutex<Option<String>>>,
}

/// Why a target could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{target} cannot be reached: {why}")]
    Connect { target: TargetName, why: String },
    #[error("{target} did not answer within {} s", .timeout.as_secs())]
    Timeout { target: TargetName, timeout: Duration },
    #[error("{0}")]
    Host(HostRefused),
    #[error(
        "{target} does not accept the certificate for {login}: does it trust this site's user CA, and does it list the principal {login}@{target}?"
    )]
    Refused { target: TargetName, login: String },
    #[error("{target} does not accept its target key for {login}: is it in the authorized_keys of {login} there?")]
    Unknown { target: TargetName, login: String },
    #[error("the log-in to {target} is not signed")]
    Unsigned { target: TargetName, source: NotSigned },
    #[error("the connection to {target} broke off: {source}")]
    Protocol { target: TargetName, source: russh::Error },
}

impl DialError {
    /// What the person is told, with what to do about it.
    pub(crate) fn words(&self) -> Words {
        let said = Words::say(chain(self));
        match self {
            Self::Connect { .. } | Self::Timeout { .. } => said.hint(
                "try again in a moment; if it lasts, an administrator looks whether it is up, lets this proxy in, and \
                 listens where portcullis target list says",
            ),
            Self::Host(refused) => said.hint(refused.hint()),
            Self::Refused { target, .. } => said.hint(format!(
                "an administrator enrols it again: portcullis target enrol {target} --apply root@{target}"
            )),
            Self::Unknown { target, .. } => {
                said.hint(format!("an administrator compares the key there with: portcullis target key {target}"))
            }
            Self::Unsigned { source, .. } => said.hint(source.hint()),
            Self::Protocol { target, .. } => said.hint(format!("try again; the log of sshd on {target} says more")),
        }
    }
}

/// Reaches the target of a permit, and logs in to it.
///
/// `reached` is called with the means to cut the connection as soon as there is one. With the connection comes what the
/// target opens on it.
///
/// # Errors
/// No address answered in time, the host is not the right one, or it does not let us in.
pub(crate) async fn dial(
    permit: &Permit,
    gate: &Gate,
    reached: impl FnOnce(Cutter),
) -> Result<(Target, mpsc::Receiver<Box<Incoming>>), DialError> {
    let timeout = gate.config.dial_timeout.to_std();
    let target = || permit.destination().target.clone();
    tokio::time::timeout(timeout, connect_and_log_in(permit, gate, reached))
        .await
        .map_err(|_| DialError::Timeout { target: target(), timeout })?
}

async fn connect_and_log_in(
    permit: &Permit,
    gate: &Gate,
    reached: impl FnOnce(Cutter),
) -> Result<(Target, mpsc::Receiver<Box<Incoming>>), DialError> {
    let config = &gate.config;
    let destination = permit.destination();
    let stream = connect(permit, config.dial_timeout.to_std()).await?;
    // Only a socket that is closed already refuses this.
    let _ = stream.set_nodelay(true);
    let (stream, cutter) = Cuttable::tcp(stream);
    reached(cutter);

    let gone = Gone::default();
    let openssh = Signal::default();
    let (incoming, arriving) = mpsc::channel(forward::WAITING);
    let watch = Watch {
        target: destination.target.clone(),
        trust: permit.trust().clone(),
        ambient: gate.ambient.clone(),
        gone: gone.clone(),
        openssh: openssh.clone(),
        incoming,
        believed: None,
        _guard: RaiseOnDrop(gone.signal.clone()),
    };
    let broken = |source| DialError::Protocol { target: destination.target.clone(), source };
    let ssh = Arc::new(ssh_config(config, permit.trust()));
    let mut handle = client::connect_stream(ssh, stream, watch).await.map_err(|error| match error {
        WatchError::Host(refused) => DialError::Host(refused),
        WatchError::Ssh(source @ russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => {
            match permit.trust().no_common_kind(&destination.target) {
                Some(refused) => DialError::Host(refused),
                None => broken(source),
            }
        }
        WatchError::Ssh(source) => broken(source),
    })?;
    let (target, login) = (destination.target.clone(), destination.login.to_string());
    match permit.credentials() {
        Credentials::Certificate(key, certificate) => {
            let (key, certificate) = (key.clone(), certificate.as_ref().clone());
            let answer = handle.authenticate_openssh_cert(login.as_str(), key, certificate).await.map_err(broken)?;
            if !answer.success() {
                return Err(DialError::Refused { target, login });
            }
        }
        Credentials::TargetKey(key) => {
            let (control, patience) = (gate.control.as_ref(), config.ca_timeout.to_std());
            let mut asks = target_key::Asks { permit, key, control, patience };
            let answer = handle.authenticate_publickey_with(login.as_str(), key.clone(), None, &mut asks).await;
            let answer = answer.map_err(|why| match why {
                NotSigned::Broken(source) => broken(source),
                NotSigned::Refused(_) | NotSigned::Strange => {
                    DialError::Unsigned { target: target.clone(), source: why }
                }
            })?;
            if !answer.success() {
                return Err(DialError::Unknown { target, login });
            }
        }
    }
    Ok((Target { handle, gone, openssh: openssh.is_raised() }, arriving))
}

/// Tries the addresses in order; the last gets all the time that is left.
async fn connect(permit: &Permit, timeout: Duration) -> Result<TcpStream, DialError> {
    let addresses = permit.addresses();
    let share = timeout / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
    let mut why = String::new();
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect((address.host(), address.port()))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address}: no answer within {} ms", share.as_millis()),
        }
        debug!(target = %permit.destination().target, "{why}");
    }
    Err(DialError::Connect { target: permit.destination().target.clone(), why })
}

fn ssh_config(config: &Config, trust: &HostTrust) -> client::Config {
    let pinned: Vec<_> = trust.pinned.iter().map(ssh_key::public::KeyData::algorithm).collect();
    client::Config {
        client_id: russh::SshId::Standard("SSH-2.0-Portcullis".into()),
        window_size: config.window,
        maximum_packet_size: 32 * 1024,
        channel_buffer_size: crate::REQUESTS,
        limits: config.rekey(),
        preferred: algorithms::for_target(&pinned),
        keepalive_interval: Some(config.keepalive.to_std()),
        keepalive_max: crate::KEEPALIVES,
        ..client::Config::default()
    }
}

impl Target {
    /// Opens a session channel (RFC 4254, section 6.1).
    ///
    /// # Errors
    /// The target refuses, or is gone.
    pub(crate) async fn open(&self) -> Result<russh::Channel<client::Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }

    /// Connects from the target to somewhere (RFC 4254, section 7.2; OpenSSH's PROTOCOL, section 2.4).
    ///
    /// # Errors
    /// The target refuses, or is gone.
    pub(crate) async fn connect(
        &self,
        to: &End,
        from: Option<&End>,
    ) -> Result<russh::Channel<client::Msg>, russh::Error> {
        match to {
            End::Tcp { host, port } => {
                let (address, from_port) = match from {
                    Some(End::Tcp { host, port }) => (host.as_str(), *port),
                    Some(End::Socket(_)) | None => ("", 0),
                };
                self.handle.channel_open_direct_tcpip(host, *port, address, from_port).await
            }
            End::Socket(path) => self.handle.channel_open_direct_streamlocal(path).await,
        }
    }

    /// Has the target listen (RFC 4254, section 7.1); the port, if it was left open.
    ///
    /// # Errors
    /// The target refuses, or is gone.
    pub(crate) async fn listen(&self, at: &End) -> Result<u32, russh::Error> {
        match at {
            End::Tcp { host, port } => self.handle.tcpip_forward(host, *port).await,
            End::Socket(path) => self.handle.streamlocal_forward(path).await.map(|()| 0),
        }
    }

    /// Has the target listen no more.
    ///
    /// # Errors
    /// The target refuses, or is gone.
    pub(crate) async fn unlisten(&self, at: &End) -> Result<(), russh::Error> {
        match at {
            End::Tcp { host, port } => self.handle.cancel_tcpip_forward(host, *port).await,
            End::Socket(path) => self.handle.cancel_streamlocal_forward(path).await,
        }
    }

    /// Whether it says of itself that it is an OpenSSH server.
    pub(crate) const fn is_openssh(&self) -> bool {
        self.openssh
    }

    /// How one learns that the target has hung up.
    pub(crate) const fn gone(&self) -> &Gone {
        &self.gone
    }
}

impl Gone {
    /// Waits until the target has hung up.
    pub(crate) async fn wait(&self) {
        self.signal.raised().await;
    }

    /// What went wrong, when something did.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches the connection to a target.
struct Watch {
    target: TargetName,
    trust: HostTrust,
    ambient: Arc<dyn Ambient>,
    gone: Gone,
    /// Raised when the target says that it is an OpenSSH server.
    openssh: Signal,
    /// What the target opens, for the session to look at.
    /// Boxed, since a queue makes room for 32 of them.
    incoming: mpsc::Sender<Box<Incoming>>,
    /// The host key of the first key exchange; in a later one the target shows no other.
    believed: Option<KeyData>,
    _guard: RaiseOnDrop,
}

impl Watch {
    /// Hands on what the target has opened. A target that opens more than is looked at is refused: so does the reply
    /// when it is dropped.
    fn arrived(&self, what: Arrived, channel: russh::Channel<client::Msg>, reply: client::ChannelOpenHandle) {
        let _ = self.incoming.try_send(Box::new(Incoming { what, channel, reply }));
    }
}

fn tcp(host: &str, port: u32) -> End {
    End::Tcp { host: host.to_owned(), port }
}

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("{0}")]
    Host(HostRefused),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

impl client::Handler for Watch {
    type Error = WatchError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, WatchError> {
        let key = trust::key(shown);
        match &self.believed {
            // Its certificate may have ended since: who is still the same was believed once.
            Some(believed) => Ok(believed == key),
            None => {
                self.trust.check(&self.target, shown, self.ambient.now()).map_err(WatchError::Host)?;
                self.believed = Some(key.clone());
                Ok(true)
            }
        }
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &russh::Names,
        session: &mut client::Session,
    ) -> Result<(), WatchError> {
        if session.remote_sshid().starts_with(b"SSH-2.0-OpenSSH") {
            self.openssh.raise();
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: client::DisconnectReason<WatchError>) -> Result<(), WatchError> {
        let why = match reason {
            client::DisconnectReason::ReceivedDisconnect(said) => Some(said.message),
            client::DisconnectReason::Error(WatchError::Ssh(russh::Error::Disconnect)) => None,
            client::DisconnectReason::Error(error) => Some(error.to_string()),
        };
        *self.gone.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<client::Msg>,
        address: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        let what = Arrived::Forwarded { at: tcp(address, port), from: Some(tcp(from, from_port)) };
        self.arrived(what, channel, reply);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: russh::Channel<client::Msg>,
        path: &str,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        self.arrived(Arrived::Forwarded { at: End::Socket(path.to_owned()), from: None }, channel, reply);
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: russh::Channel<client::Msg>,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        self.arrived(Arrived::Agent, channel, reply);
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        channel: russh::Channel<client::Msg>,
        from: &str,
        from_port: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        self.arrived(Arrived::X11 { from: tcp(from, from_port) }, channel, reply);
        Ok(())
    }

    // The defaults accept what else a server opens. No target opens these: the reply refuses when it is dropped.

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), WatchError> {
        Ok(())
    }
}
