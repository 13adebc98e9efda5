//! The parts that run: the CA, the proxy, or both, until they are told to stop.

mod control_plane;
mod host_key;
mod log;
mod notify;
mod session_proxy;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ca::keys::Passphrase;
use identity::files::{self, Access};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{CliError, Kind, chain};

pub(crate) use log::LogFormat;

/// How the running parts are told what to do.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Read the passphrase of the keys from this file, which only its owner may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Write the addresses to this file once everything answers, and remove it at the end
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// How the log is written, on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: LogFormat,
}

/// As [`ServeArgs`], for a proxy by itself: it has no sealed keys.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// Write the addresses to this file once everything answers, and remove it at the end
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// How the log is written, on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: LogFormat,
}

/// CA and proxy in one process. The proxy still talks to the CA through its API: one path, and no CA key near it.
pub(crate) async fn up(context: &Context, args: &ServeArgs) -> Result<(), CliError> {
    log::start(context, args.log);
    let stop = Stop::listen()?;
    let config = context.config()?;
    let proxy = config.proxy()?.clone();
    let passphrase = passphrase(context, args.passphrase_file.as_deref(), false)?;
    let mut running = control_plane::start(&config, &passphrase).await?;
    let api = format!("https://{}", loopback(running.address()));
    let started = tokio::select! {
        started = session_proxy::start(&proxy, &api, running.root_pem()) => started,
        () = stop.heard() => {
            running.stop().await;
            return Ok(());
        }
    };
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            running.stop().await;
            return Err(error);
        }
    };
    let line = format!("portcullis is up: api https://{}, ssh {}", running.address(), started.address());
    let ready = Ready::announce(
        context,
        args.ready_file.as_deref(),
        &line,
        &[("api", format!("https://{}", running.address())), ("ssh", started.address().to_string())],
    )?;
    let ended = tokio::select! {
        ended = started.serve(stop.heard()) => ended,
        error = running.failed() => Err(error),
    };
    notify::tell("STOPPING=1");
    drop(ready);
    running.stop().await;
    ended
}

/// The CA by itself.
pub(crate) async fn ca(context: &Context, args: &ServeArgs) -> Result<(), CliError> {
    log::start(context, args.log);
    let stop = Stop::listen()?;
    let config = context.config()?;
    let passphrase = passphrase(context, args.passphrase_file.as_deref(), false)?;
    let mut running = control_plane::start(&config, &passphrase).await?;
    let line = format!("portcullis ca is up: api https://{}", running.address());
    let api = ("api", format!("https://{}", running.address()));
    let ready = Ready::announce(context, args.ready_file.as_deref(), &line, &[api])?;
    let ended = tokio::select! {
        () = stop.heard() => Ok(()),
        error = running.failed() => Err(error),
    };
    notify::tell("STOPPING=1");
    drop(ready);
    running.stop().await;
    ended
}

/// A proxy by itself.
pub(crate) async fn proxy(context: &Context, args: &ProxyArgs) -> Result<(), CliError> {
    log::start(context, args.log);
    let stop = Stop::listen()?;
    let config = context.config()?;
    let proxy = config.proxy()?;
    let root = files::read_text(proxy.root(), 1 << 20).map_err(|error| {
        CliError::configuration(chain(&error), "copy the CA's tls-root.pem here and name it as root below [proxy]")
    })?;
    let started = tokio::select! {
        started = session_proxy::start(proxy, proxy.api(), &root) => started?,
        () = stop.heard() => return Ok(()),
    };
    let line = format!("portcullis proxy is up: ssh {}, api {}", started.address(), proxy.api());
    let ssh = ("ssh", started.address().to_string());
    let ready = Ready::announce(context, args.ready_file.as_deref(), &line, &[ssh])?;
    let ended = started.serve(stop.heard()).await;
    notify::tell("STOPPING=1");
    drop(ready);
    ended
}

/// The passphrase of the keys: from the file, else from the environment or systemd, else asked for.
pub(crate) fn passphrase(context: &Context, file: Option<&Path>, twice: bool) -> Result<Passphrase, CliError> {
    let unusable = |error: &dyn std::error::Error| {
        CliError::configuration(
            chain(error),
            "give it in PORTCULLIS_PASSPHRASE, in a file (--passphrase-file), or as the systemd credential \
             portcullis-passphrase",
        )
    };
    if let Some(path) = file {
        let text: Zeroizing<String> = files::read_secret(path).map_err(|error| unusable(&error))?;
        return Passphrase::new(&text).map_err(|error| unusable(&error));
    }
    if let Some(found) = Passphrase::from_env().map_err(|error| unusable(&error))? {
        return Ok(found);
    }
    if !context.output.can_ask() {
        return Err(CliError::configuration(
            "the passphrase of the keys is missing, and nobody can be asked",
            "give it in PORTCULLIS_PASSPHRASE, in a file (--passphrase-file), or as the systemd credential \
             portcullis-passphrase",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| CliError::failed(format!("the passphrase cannot be read: {error}"), "try again"))
    };
    let first = ask(if twice { "passphrase for the CA keys: " } else { "passphrase of the CA keys: " })?;
    // Looked at before it is typed again.
    let passphrase = Passphrase::new(&first)
        .map_err(|error| CliError::usage(chain(&error), "choose a longer one, such as four words"))?;
    if twice && *ask("the same again: ")? != *first {
        return Err(CliError::usage("the two passphrases differ", "try again"));
    }
    Ok(passphrase)
}

/// Where this machine reaches a listener of its own.
fn loopback(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// SIGTERM or SIGINT, whichever comes first; heard from now on, so none is lost during the start.
struct Stop(tokio::sync::watch::Receiver<bool>);

impl Stop {
    fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| {
            CliError::failed(format!("signals cannot be heard: {error}"), "look at the limits of this process")
        };
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let (tell, heard) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            }
            tell.send_replace(true);
            // A second one does not wait for anybody.
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("told twice: ending at once");
            std::process::exit(i32::from(Kind::Interrupted.code()));
        });
        Ok(Self(heard))
    }

    fn heard(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut heard = self.0.clone();
        async move {
            // The sender lives as long as the process.
            let _ = heard.wait_for(|stop| *stop).await;
        }
    }
}

/// The ready file; it goes when this does.
struct Ready(Option<PathBuf>);

impl Ready {
    fn announce(
        context: &Context,
        file: Option<&Path>,
        line: &str,
        addresses: &[(&str, String)],
    ) -> Result<Self, CliError> {
        let value: serde_json::Map<_, _> =
            addresses.iter().map(|(name, address)| ((*name).to_owned(), address.clone().into())).collect();
        if let Some(path) = file {
            let text = format!("{}\n", serde_json::Value::Object(value.clone()));
            files::write_atomic(path, text.as_bytes(), Access::Public).map_err(crate::profile::unwritten)?;
        }
        match context.output.is_json() {
            true => context.output.json(&value)?,
            false => context.output.line(line)?,
        }
        notify::tell(&format!("READY=1\nSTATUS={line}"));
        Ok(Self(file.map(Path::to_owned)))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A part that did not start, with its place in the configuration.
fn not_started(what: &str, error: &dyn std::error::Error, hint: &str) -> CliError {
    CliError::failed(format!("{what}: {}", chain(error)), hint)
}
