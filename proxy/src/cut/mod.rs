//! Streams that can be cut from outside of the task that uses them.
//!
//! A session loop that waits for a peer which has stopped reading cannot be asked to go: the request would queue behind
//! what the peer does not read. So the kill never asks. [`Cutter::cut`] ends the socket in the killer's own thread, and
//! whoever reads or writes the stream gets an error at once.
//!
//! The person's stream may be given a last moment for a notice: [`Cutter::hush`] stops both directions, and only when
//! nothing of the target is on its way any more does [`Cutter::speak`] let the proxy's own words out.

mod socket;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::signal::{RaiseOnDrop, Signal};
pub(crate) use socket::Socket;

/// A peer that has taken nothing for so many milliseconds has stopped reading; a slow one takes something.
const PATIENCE: u64 = 250;

/// A stream that its [`Cutter`] can end at any time.
#[derive(Debug)]
pub(crate) struct Cuttable<S> {
    stream: S,
    shared: Arc<Shared>,
    /// Its user was told once that there is something to do before the end of its input.
    warned: bool,
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
    /// A [`Phase`].
    phase: AtomicU8,
    ended: OnceLock<Instant>,
    began: Instant,
    /// Since when a write waits for the peer, in milliseconds since `began` and one more; 0 when none does.
    blocked: AtomicU64,
    /// A write was held back while the stream was hushed.
    held: AtomicBool,
    /// Raised when the stream is hushed and its user waits for input: what it had taken before is written.
    at_rest: Signal,
    reader: AtomicWaker,
    writer: AtomicWaker,
    socket: Option<Arc<TcpStream>>,
}

/// What may pass. A stream only ever goes on in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    /// Everything.
    Open,
    /// Nothing; writes wait.
    Hushed,
    /// What is written.
    Speaking,
    /// What is written, and then no more: the stream reads as ended.
    Leaving,
    /// Nothing. Whoever uses the stream does not learn of it yet.
    Severed,
    /// Nothing, and whoever tries gets an error.
    Ended,
}

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
            phase: AtomicU8::new(Phase::Open as u8),
            ended: OnceLock::new(),
            began: Instant::now(),
            blocked: AtomicU64::new(0),
            held: AtomicBool::new(false),
            at_rest: Signal::default(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            socket,
        });
        let finished = Signal::default();
        let cutter = Cutter { shared: shared.clone(), finished: finished.clone() };
        (Self { stream, shared, warned: false, _gone: RaiseOnDrop(finished) }, cutter)
    }
}

impl Cutter {
    /// Ends the stream now, unless it has ended. A socket is reset, so that nothing which the peer has not taken stays behind.
    pub(crate) fn cut(&self) {
        self.sever();
        self.rouse();
    }

    /// As [`cut`](Self::cut), but wakes nobody: whoever cuts many streams wakes their users when all of them are cut.
    pub(crate) fn sever(&self) {
        self.end(socket::abort);
    }

    /// Ends the stream now, unless it has ended, and lets the kernel deliver what was written.
    pub(crate) fn close(&self) {
        self.end(socket::shut);
        self.rouse();
    }

    /// Stops both directions: what the peer sends is not taken, and what is written waits. `false` when something waits
    /// for the peer already, which could only be let out or be thrown away with the stream. Wakes nobody.
    pub(crate) fn hush(&self) -> bool {
        self.shared.advance(Phase::Hushed);
        self.is_clear()
    }

    /// Whether everything that was written has left this machine.
    pub(crate) fn is_clear(&self) -> bool {
        let written = self.shared.blocked.load(Ordering::SeqCst) == 0;
        written && self.shared.socket.as_ref().is_none_or(|stream| socket::drained(stream))
    }

    /// Waits until the user of a hushed stream is at rest; `false` when it wanted to write something before it was, or
    /// is gone.
    pub(crate) async fn settled(&self) -> bool {
        tokio::select! {
            biased;
            () = self.finished() => return false,
            () = self.shared.at_rest.raised() => {}
        }
        // A write that was under way when the stream was hushed is through by now, and may have filled the kernel's buffer.
        !self.shared.held.load(Ordering::SeqCst) && self.is_clear()
    }

    /// Lets out what is written from now on; what the peer sends is not taken any more.
    pub(crate) fn speak(&self) {
        self.shared.advance(Phase::Speaking);
        self.rouse();
    }

    /// Tells the user of the stream that its input has ended, once it has written what it has.
    pub(crate) fn leave(&self) {
        self.shared.advance(Phase::Leaving);
        self.rouse();
    }

    /// Wakes whoever uses the stream, to see what has become of it.
    pub(crate) fn rouse(&self) {
        let severed = (Phase::Severed as u8, Phase::Ended as u8);
        let _ = self.shared.phase.compare_exchange(severed.0, severed.1, Ordering::SeqCst, Ordering::SeqCst);
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

    /// How long ago the stream was ended; `None` while it is not.
    pub(crate) fn ended_for(&self) -> Option<Duration> {
        self.shared.ended.get().map(Instant::elapsed)
    }

    /// Waits until the user of the stream has written its last, or has dropped it.
    pub(crate) async fn finished(&self) {
        self.finished.raised().await;
    }

    fn end(&self, socket: impl FnOnce(&TcpStream)) {
        let first = self.shared.phase.fetch_max(Phase::Severed as u8, Ordering::SeqCst) < Phase::Severed as u8;
        // Whoever comes second must not throw away what the first has left to the kernel.
        if first {
            if let Some(stream) = &self.shared.socket {
                socket(stream);
            }
            let _ = self.shared.ended.set(Instant::now());
        }
    }
}

impl Shared {
    /// Milliseconds since the beginning, and one more.
    fn clock(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn advance(&self, to: Phase) {
        self.phase.fetch_max(to as u8, Ordering::SeqCst);
    }

    fn phase(&self) -> io::Result<Phase> {
        match self.phase.load(Ordering::SeqCst) {
            0 => Ok(Phase::Open),
            1 => Ok(Phase::Hushed),
            2 => Ok(Phase::Speaking),
            3 => Ok(Phase::Leaving),
            4 => Ok(Phase::Severed),
            _ => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut")),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Registered before the look at the phase, so that a cut in between is not missed.
        this.shared.reader.register(cx.waker());
        match this.shared.phase()? {
            Phase::Open => Pin::new(&mut this.stream).poll_read(cx, buf),
            Phase::Hushed | Phase::Speaking => {
                this.shared.at_rest.raise();
                Poll::Pending
            }
            // A loop that serves its input and its orders in any order is given one round for the orders.
            Phase::Leaving if !this.warned => {
                this.warned = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Phase::Leaving | Phase::Ended => Poll::Ready(Ok(())),
            Phase::Severed => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.shared.writer.register(cx.waker());
        match this.shared.phase()? {
            Phase::Open | Phase::Speaking | Phase::Leaving | Phase::Ended => {}
            Phase::Hushed => {
                this.shared.held.store(true, Ordering::SeqCst);
                return Poll::Pending;
            }
            Phase::Severed => return Poll::Pending,
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        let blocked = &this.shared.blocked;
        if written.is_ready() {
            blocked.store(0, Ordering::SeqCst);
        } else if blocked.load(Ordering::SeqCst) == 0 {
            blocked.store(this.shared.clock(), Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.shared.writer.register(cx.waker());
        this.shared.phase()?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this._gone.0.raise();
        this.shared.writer.register(cx.waker());
        this.shared.phase()?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
