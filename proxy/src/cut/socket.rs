//! A TCP stream whose owner is not the only one who can end it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream whose owner is not the only one who can end it.
#[derive(Debug)]
pub(crate) struct Socket(pub(super) Arc<TcpStream>);

/// Ends a connection at once: the peer is sent a reset, and what waits in the kernel's buffers is thrown away.
pub(super) fn abort(socket: &TcpStream) {
    // Shutting it down, or closing it with a linger of zero, still delivers what was written; dissolving it does not.
    if rustix::net::connect_unspec(socket).is_err() {
        // Either can only fail on a socket that is closed already.
        let _ = socket.set_zero_linger();
        shut(socket);
    }
}

/// Ends a connection, and lets the kernel deliver what was written.
pub(super) fn shut(socket: &TcpStream) {
    // It can only fail on a socket that is closed already.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

/// Whether the kernel has sent everything that was written. What is on its way to the peer, or waits in the peer's own
/// kernel, has left our hands. `false` when that cannot be found out.
pub(super) fn drained(socket: &TcpStream) -> bool {
    // A socket can be written to when less than half of this mark is unsent (tcp(7), TCP_NOTSENT_LOWAT): with a mark of
    // one byte, when nothing is. Afterwards it has no mark again.
    let options = SockRef::from(socket);
    if options.set_tcp_notsent_lowat(1).is_err() {
        return false;
    }
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    let ready = poll(&mut asked, Some(&Timespec::default()));
    let unmarked = options.set_tcp_notsent_lowat(0);
    ready.is_ok() && unmarked.is_ok() && asked.iter().all(|one| one.revents() == PollFlags::OUT)
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
