//! The listener: TLS behind a guard that bounds how many connections there are and how long one may do nothing.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tower::Service;

/// How long a peer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To its first request, the TLS handshake included.
    first: Duration,
    /// To read what is written to it.
    stall: Duration,
    /// While nothing moves at all; a followed recording of a quiet session is the longest silence that is meant.
    idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let first = Duration::from_secs(15);
        Self { first, stall: Duration::from_secs(30), idle: Duration::from_secs(30 * 60) }
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
    /// At most `most` connections at a time, a quarter of them from one address.
    pub(super) fn new(most: usize, patience: Patience) -> Self {
        let shared = Shared { most, most_per_peer: (most / 4).max(1), patience, open: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    fn admit(&self, stream: TcpStream, seen: Arc<AtomicBool>) -> io::Result<Guarded> {
        let peer = stream.peer_addr()?.ip();
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The machine itself is not held to the share of one peer: a whole site's proxy may live on it.
        let share = if peer.is_loopback() { self.shared.most } else { self.shared.most_per_peer };
        if open.all >= self.shared.most || open.by_peer.get(&peer).is_some_and(|count| *count >= share) {
            tracing::warn!(%peer, connections = open.all, "too many connections; one was refused");
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections"));
        }
        open.all += 1;
        *open.by_peer.entry(peer).or_default() += 1;
        drop(open);
        // From here on the place is given back when the stream is dropped.
        let place = Place { shared: Arc::clone(&self.shared), peer };
        stream.set_nodelay(true)?;
        let patience = self.shared.patience;
        let first = Box::pin(tokio::time::sleep(patience.first));
        let idle = Box::pin(tokio::time::sleep(patience.idle));
        Ok(Guarded { stream, seen, patience, first, idle, writing: None, _place: place })
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Guard {
    type Stream = Guarded;
    type Service = Seen<S>;
    type Future = std::future::Ready<io::Result<(Guarded, Seen<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let seen = Arc::new(AtomicBool::new(false));
        let stream = self.admit(stream, Arc::clone(&seen));
        std::future::ready(stream.map(|stream| (stream, Seen { service, seen })))
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

/// A stream that fails when its peer holds it up: no request soon after the connection, no reading of an answer, or
/// no movement at all for a long time. A feed of events moves at least every five seconds.
pub(super) struct Guarded {
    stream: TcpStream,
    seen: Arc<AtomicBool>,
    patience: Patience,
    first: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Guarded {
    fn read_in_time<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved();
        }
        // The first clock is about the whole way to a request, however many bytes trickle in.
        let late = !self.seen.load(Ordering::Relaxed) && self.first.as_mut().poll(cx).is_ready();
        if late || (polled.is_pending() && self.idle.as_mut().poll(cx).is_ready()) {
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

    fn moved(&mut self) {
        let later = Instant::now() + self.patience.idle;
        self.idle.as_mut().reset(later);
    }
}

/// A service that notes the first request of its connection.
#[derive(Clone)]
pub(super) struct Seen<S> {
    service: S,
    seen: Arc<AtomicBool>,
}

impl<S: Service<R>, R> Service<R> for Seen<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.seen.store(true, Ordering::Relaxed);
        self.service.call(request)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.read_in_time(cx, polled)
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
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    /// Both ends of a connection, ours guarded.
    async fn pair(guard: &Guard, seen: bool) -> (Guarded, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (guard.admit(stream, Arc::new(AtomicBool::new(seen))).unwrap(), peer)
    }

    #[tokio::test]
    async fn trickling_bytes_win_no_time_for_the_first_request() {
        let guard = Guard::new(4, Patience { first: SHORT, stall: LONG, idle: LONG });
        let (mut ours, mut peer) = pair(&guard, false).await;
        let trickle = tokio::spawn(async move {
            while peer.write_all(b"G").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        let mut sink = Vec::new();
        let error = tokio::time::timeout(LONG, ours.read_to_end(&mut sink)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        trickle.await.unwrap();
    }

    #[tokio::test]
    async fn after_a_request_silence_is_allowed_and_not_reading_is_not() {
        let guard = Guard::new(4, Patience { first: SHORT, stall: SHORT, idle: LONG });
        let (mut ours, peer) = pair(&guard, true).await;
        let mut byte = [0];
        assert!(tokio::time::timeout(SHORT * 3, ours.read(&mut byte)).await.is_err(), "it still waits");
        let much = vec![0; 64 << 20];
        let error = tokio::time::timeout(LONG, ours.write_all(&much)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(peer);
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_ends() {
        let guard = Guard::new(4, Patience { first: LONG, stall: LONG, idle: SHORT });
        let (mut ours, _peer) = pair(&guard, true).await;
        let error = tokio::time::timeout(LONG, ours.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn places_are_given_back() {
        let guard = Guard::new(1, Patience::default());
        let (first, _peer) = pair(&guard, false).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _second = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(guard.admit(stream, Arc::default()).is_err());
        drop(first);
        pair(&guard, false).await;
    }
}
