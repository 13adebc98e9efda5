//! Streams that can be cut from outside of the task that uses them.
//!
//! A session loop that waits for a peer which has stopped reading cannot be asked to go: the request would queue behind
//! what the peer does not read. So the kill never asks. [`Cutter::cut`] shuts the socket down in the killer's own
//! thread, and whoever reads or writes the stream gets an error at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::signal::{RaiseOnDrop, Signal};

/// A peer that has taken nothing for so many milliseconds has stopped reading; a slow one takes something.
const PATIENCE: u64 = 250;

/// A stream that its [`Cutter`] can end at any time.
#[derive(Debug)]
pub(crate) struct Cuttable<S> {
    stream: S,
    shared: Arc<Shared>,
    _gone: RaiseOnDrop,
}

/// Ends a [`Cuttable`] stream. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cutter {
    shared: Arc<Shared>,
    /// Raised when everything that was to be written is with the kernel, or the stream is gone.
    finished: Signal,
}

#[derive(Debug)]
struct Shared {
    cut: AtomicBool,
    began: Instant,
    /// Since when a write waits for the peer, in milliseconds since `began` and one more; 0 when none does.
    blocked: AtomicU64,
    reader: AtomicWaker,
    writer: AtomicWaker,
    socket: Option<Arc<TcpStream>>,
}

/// A TCP stream whose owner is not the only one who can shut it down.
#[derive(Debug)]
pub(crate) struct Socket(Arc<TcpStream>);

impl Cuttable<Socket> {
    /// Makes a TCP stream cuttable.
    pub(crate) fn tcp(stream: TcpStream) -> (Self, Cutter) {
        let socket = Arc::new(stream);
        Self::over(Socket(socket.clone()), Some(socket))
    }
}

impl<S> Cuttable<S> {
    /// Makes any stream cuttable.
    pub(crate) fn new(stream: S) -> (Self, Cutter) {
        Self::over(stream, None)
    }

    fn over(stream: S, socket: Option<Arc<TcpStream>>) -> (Self, Cutter) {
        let shared = Arc::new(Shared {
            cut: AtomicBool::new(false),
            began: Instant::now(),
            blocked: AtomicU64::new(0),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            socket,
        });
        let finished = Signal::default();
        let cutter = Cutter { shared: shared.clone(), finished: finished.clone() };
        (Self { stream, shared, _gone: RaiseOnDrop(finished) }, cutter)
    }
}

impl Cutter {
    /// Ends the stream now. A socket is reset, so that nothing which the peer has not taken stays behind.
    pub(crate) fn cut(&self) {
        if let Some(socket) = &self.shared.socket {
            // Either can only fail on a socket that is closed already.
            let _ = socket.set_zero_linger();
        }
        self.close();
    }

    /// Ends the stream now, and lets the kernel deliver what was written.
    pub(crate) fn close(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        if let Some(socket) = &self.shared.socket {
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
        self.shared.reader.wake();
        self.shared.writer.wake();
    }

    /// Whether the peer has left something unread for so long that a write waits for it.
    pub(crate) fn is_blocked(&self) -> bool {
        match self.shared.blocked.load(Ordering::Relaxed) {
            0 => false,
            since => self.shared.clock().saturating_sub(since) >= PATIENCE,
        }
    }

    /// Waits until the user of the stream has written its last, or has dropped it.
    pub(crate) async fn finished(&self) {
        self.finished.raised().await;
    }
}

impl Shared {
    /// Milliseconds since the beginning, and one more.
    fn clock(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Registered before the look at the flag, so that a cut in between is not missed.
        this.shared.reader.register(cx.waker());
        this.shared.check()?;
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.shared.writer.register(cx.waker());
        this.shared.check()?;
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        let blocked = &this.shared.blocked;
        if written.is_ready() {
            blocked.store(0, Ordering::Relaxed);
        } else if blocked.load(Ordering::Relaxed) == 0 {
            blocked.store(this.shared.clock(), Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.shared.writer.register(cx.waker());
        this.shared.check()?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this._gone.0.raise();
        this.shared.writer.register(cx.waker());
        this.shared.check()?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buf) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write) {
            // The peer was faster.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_waiting_reader_ends_at_once() {
        let (ours, _theirs) = pair().await;
        let (mut stream, cutter) = Cuttable::tcp(ours);
        let reading = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        cutter.cut();
        let read = tokio::time::timeout(SOON, reading).await.unwrap().unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_writer_to_a_peer_that_does_not_read_ends_at_once_and_the_peer_sees_a_reset() {
        let (ours, mut theirs) = pair().await;
        let (mut stream, cutter) = Cuttable::tcp(ours);
        let writing = tokio::spawn(async move {
            let block = vec![0u8; 1 << 20];
            loop {
                if let Err(error) = stream.write_all(&block).await {
                    return error.kind();
                }
            }
        });
        let full = async {
            while !cutter.is_blocked() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, full).await.expect("the socket fills up");
        cutter.cut();
        assert_eq!(tokio::time::timeout(SOON, writing).await.unwrap().unwrap(), io::ErrorKind::ConnectionAborted);
        let mut sink = vec![0; 1 << 16];
        let end = loop {
            match tokio::time::timeout(SOON, theirs.read(&mut sink)).await.expect("the peer learns of it") {
                Ok(0) => break io::ErrorKind::UnexpectedEof,
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert!(matches!(end, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof), "{end:?}");
    }

    #[tokio::test]
    async fn a_closed_stream_still_delivers_what_was_written() {
        let (ours, mut theirs) = pair().await;
        let (mut stream, cutter) = Cuttable::tcp(ours);
        stream.write_all(b"farewell").await.unwrap();
        cutter.close();
        drop(stream);
        let mut said = Vec::new();
        tokio::time::timeout(SOON, theirs.read_to_end(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, b"farewell");
        cutter.finished().await;
    }

    #[tokio::test]
    async fn a_stream_that_is_no_socket_can_be_cut_too() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let (mut stream, cutter) = Cuttable::new(ours);
        let writing = tokio::spawn(async move { stream.write_all(&[0; 64]).await });
        tokio::task::yield_now().await;
        cutter.cut();
        assert!(tokio::time::timeout(SOON, writing).await.unwrap().unwrap().is_err());
    }
}
