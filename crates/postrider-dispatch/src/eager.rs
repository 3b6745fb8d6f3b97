//! A TCP stream that looks at the socket itself before an idle connection is used again.
//!
//! Tokio learns of a receiver's FIN, or of bytes nobody asked for, when its reactor next runs. Between that
//! moment and the true one, a request written to the pooled connection would be lost, and, worse, an answer
//! that was sent ahead would be taken for the answer to it. The HTTP client polls for reading right before
//! it takes a new request, so a look at the socket in that poll closes the gap: it costs one system call for
//! each request on a reused connection, and the request goes to a fresh one instead.

use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct EagerStream {
    tcp: TcpStream,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Something was written, or the connection is new: the next bytes are awaited in the usual way.
    Awaiting,
    /// Bytes have come; the poll that follows at once need not look again.
    Answered,
    /// Nothing was under way at the last poll.
    Idle,
}

impl EagerStream {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, state: State::Awaiting }
    }

    /// Reads what the kernel has, if it has anything, whatever the reactor believes.
    fn look(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = SockRef::from(&self.tcp);
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => {
                let read = (&*socket).read(buf.initialize_unfilled())?;
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for EagerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Polled first in any case, so that the task is woken when something comes.
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        match (&polled, self.state) {
            (Poll::Ready(_), _) => self.state = State::Answered,
            (Poll::Pending, State::Awaiting) => {}
            (Poll::Pending, State::Answered) => self.state = State::Idle,
            (Poll::Pending, State::Idle) => return self.look(buf),
        }
        polled
    }
}

impl AsyncWrite for EagerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.state = State::Awaiting;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state = State::Awaiting;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
