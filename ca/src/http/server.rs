//! The listener and its task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use tokio::task::JoinHandle;

use super::Shared;
use super::gate::Gate;
use super::listener::{Guard, Patience};
use crate::config::Limits;

/// How long the head of a request may take to come in (HTTP/1.1).
const HEAD: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that leaves a ping unanswered for so long is gone (HTTP/2).
const PING: Duration = Duration::from_secs(20);
/// How many calls one connection may have under way (HTTP/2).
const STREAMS: u32 = 256;
/// How often quiet callers are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// A listener that runs.
pub(crate) struct Server {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    serving: JoinHandle<io::Result<()>>,
    sweeping: JoinHandle<()>,
}

impl Server {
    /// Binds and serves.
    pub(crate) fn start(app: Shared, listen: SocketAddr, tls: ServerConfig, limits: Limits) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls)))
            .handshake_timeout(HANDSHAKE)
            .acceptor(Guard::new(limits.connections, Patience::default()));
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
        server
            .http_builder()
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(64 << 10);
        let (service, gate) = super::service(app, limits);
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(server.serve(service));
        let sweeping = tokio::spawn(sweep(gate));
        Ok(Self { address, handle, serving, sweeping })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when serving ends by itself.
    pub(crate) async fn failed(&mut self) -> io::Error {
        match (&mut self.serving).await {
            Ok(Ok(())) => io::Error::other("the listener ended"),
            Ok(Err(error)) => error,
            Err(died) => io::Error::other(died),
        }
    }

    /// Takes no more calls, and lets those under way finish within `grace`.
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.handle.graceful_shutdown(Some(grace));
        match (&mut self.serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the listener ended badly"),
            Err(died) => tracing::error!(error = %died, "the listener died"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sweeping.abort();
        self.handle.shutdown();
    }
}

async fn sweep(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        gate.sweep();
    }
}
