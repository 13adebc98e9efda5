//! The listener: TLS behind a guard that bounds how many connections there are and how long one may do nothing.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tower::Service;

use super::plain;

/// How long a peer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To its first request, the TLS handshake included.
    first: Duration,
    /// To read what is written to it.
    stall: Duration,
    /// From one request to the next, as long as nobody has shown a good session token. Bytes win no time: an HTTP/2
    /// client that answers pings would stay for ever.
    stranger: Duration,
    /// While nothing moves at all; a followed recording of a quiet session is the longest silence that is meant.
    idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            stranger: Duration::from_secs(60),
            idle: Duration::from_secs(30 * 60),
        }
    }
}

/// What a connection's requests have shown of it. Cheap to clone; the gate finds it in each request.
#[derive(Clone)]
pub(super) struct Standing(Arc<Shown>);

struct Shown {
    began: Instant,
    /// When the last request came, in milliseconds since `began` and one more; 0 before the first.
    asked: AtomicU64,
    known: AtomicBool,
}

impl Standing {
    fn new() -> Self {
        let (asked, known) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Shown { began: Instant::now(), asked, known }))
    }

    /// A request came with a good session token: the connection may be quiet for long.
    pub(super) fn prove(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    fn ask(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.asked.store(now.saturating_add(1), Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.0.known.load(Ordering::Relaxed)
    }

    /// When the last request came.
    fn asked(&self) -> Option<Instant> {
        let millis = self.0.asked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.0.began + Duration::from_millis(millis))
    }
}

/// Counts connections and hands out guarded streams.
#[derive(Clone)]
pub(super) struct Guard {
    shared: Arc<Shared>,
}

struct Shared {
    most: usize,
    most_per_peer: usize,
    patience: Patience,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

impl Guard {
    /// At most `most` connections at a time, a quarter of them from one network.
    pub(super) fn new(most: usize, patience: Patience) -> Self {
        let shared = Shared { most, most_per_peer: (most / 4).max(1), patience, open: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    fn admit(&self, stream: TcpStream, standing: Standing) -> io::Result<Guarded> {
        let place = self.take(stream.peer_addr()?.ip())?;
        stream.set_nodelay(true)?;
        let patience = self.shared.patience;
        let stranger = Box::pin(tokio::time::sleep(patience.first));
        let idle = Box::pin(tokio::time::sleep(patience.idle));
        Ok(Guarded { stream, standing, patience, stranger, idle, writing: None, _place: place })
    }

    /// Takes a place, which is given back when it is dropped.
    fn take(&self, address: IpAddr) -> io::Result<Place> {
        let peer = network(address);
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The machine itself is not held to the share of one peer: a whole site's proxy may live on it.
        let share = if peer.is_loopback() { self.shared.most } else { self.shared.most_per_peer };
        if open.all >= self.shared.most || open.by_peer.get(&peer).is_some_and(|count| *count >= share) {
            tracing::warn!(%peer, connections = open.all, "too many connections; one was refused");
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections"));
        }
        open.all += 1;
        *open.by_peer.entry(peer).or_default() += 1;
        Ok(Place { shared: Arc::clone(&self.shared), peer })
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Guard {
    type Stream = Guarded;
    type Service = Seen<S>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Guarded, Seen<S>)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let standing = Standing::new();
        let (admitted, patience) = (self.admit(stream, standing.clone()), self.shared.patience.first);
        Box::pin(async move {
            let mut guarded = admitted?;
            plain::turn_away(&mut guarded.stream, patience).await?;
            Ok((guarded, Seen { service, standing }))
        })
    }
}

/// What counts as one peer: an address of IPv4; in IPv6 a whole /64, which is one household.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        // The machine itself is no network.
        IpAddr::V6(Ipv6Addr::LOCALHOST) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

struct Place {
    shared: Arc<Shared>,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_peer.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

/// A stream that fails when its peer holds it up: no request soon after the connection, none for a while from somebody
/// who has shown no token, no reading of an answer, or no movement at all for a long time. A feed of events moves at
/// least every five seconds.
pub(super) struct Guarded {
    stream: TcpStream,
    standing: Standing,
    patience: Patience,
    /// To the next request of somebody unknown.
    stranger: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Guarded {
    fn read_in_time<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved();
        }
        if self.is_overdue(cx) || (polled.is_pending() && self.idle.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }

    fn written_in_time<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing = None;
            self.moved();
            return polled;
        }
        let stall = self.patience.stall;
        let stalled = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether somebody unknown has asked for nothing for too long, however many bytes trickle in.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.standing.is_known() && self.stranger.as_mut().poll(cx).is_ready() {
            match self.standing.asked().map(|asked| asked + self.patience.stranger) {
                Some(end) if end > Instant::now() => self.stranger.as_mut().reset(end),
                Some(_) | None => return true,
            }
        }
        false
    }

    fn moved(&mut self) {
        let later = Instant::now() + self.patience.idle;
        self.idle.as_mut().reset(later);
    }
}

/// A service that notes the requests of its connection, and gives each the connection's standing.
#[derive(Clone)]
pub(super) struct Seen<S> {
    service: S,
    standing: Standing,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Seen<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.standing.ask();
        request.extensions_mut().insert(self.standing.clone());
        self.service.call(request)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = self.read_in_time(cx, polled);
        if matches!(read, Poll::Ready(Err(_))) {
            // An error says that nothing was read, and readers rely on that.
            buf.set_filled(before);
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written_in_time(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written_in_time(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
