//! A TCP stream whose owner is not the only one who can end it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
