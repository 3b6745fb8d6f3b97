//! A connection as hyper gets to see it: strictly framed, and cut off when it idles or drips.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::framing::{Framing, Stage};

/// How long an HTTP/2 peer may be silent; it is asked for a sign of life several times within this.
const HTTP2_SILENCE: Duration = Duration::from_secs(60);

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between two requests.
    pub(super) idle: Duration,
    /// From a head's first byte to its last; also from the connection's start to the first byte.
    pub(super) head: Duration,
}

/// Makes hyper look at an unfinished head at once, instead of waiting for its end.
const END_OF_HEAD: &[u8] = b"\n\n";

/// A byte stream that only lets sound framing through.
///
/// At a fault it hands over a NUL in place of the faulty line's end, then [`END_OF_HEAD`], and then the end of the
/// stream: hyper answers 400 and closes, and nothing behind the fault is ever read as a request.
pub(super) struct Guarded<IO> {
    io: IO,
    framing: Framing,
    verdict: Verdict,
    patience: Patience,
    stage: Stage,
    /// When the present stage began.
    since: Instant,
    first: bool,
    /// A request has come whole, and nothing of its answer has left: no time is counted against the peer.
    answering: bool,
    /// Set rarely and looked at when it fires, so that a request costs no timer.
    alarm: Pin<Box<Sleep>>,
}

/// What is thought of the bytes so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Sound,
    /// At fault; hyper has yet to be told.
    Refused,
    /// Nothing more is read.
    Ended,
}

impl<IO> Guarded<IO> {
    pub(super) fn new(io: IO, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            io,
            framing: Framing::new(),
            verdict: Verdict::Sound,
            patience,
            stage: Stage::Idle,
            since: now,
            first: true,
            answering: false,
            alarm: Box::pin(tokio::time::sleep_until(now + patience.head.min(patience.idle))),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Idle if self.answering => None,
            Stage::Idle if !self.first => Some(self.since + self.patience.idle),
            Stage::Idle | Stage::Head => Some(self.since + self.patience.head),
            Stage::Http2 => Some(self.since + HTTP2_SILENCE),
            Stage::Body => None,
        }
    }

    /// Ready when patience is at its end.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let longest = now + self.patience.head.min(self.patience.idle);
            let next = match self.deadline() {
                Some(deadline) if deadline <= now => return Poll::Ready(()),
                Some(deadline) => deadline.min(longest),
                None => longest,
            };
            self.alarm.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// Follows the framing through what was just read; the number of bytes that hyper may see.
    fn inspect(&mut self, fresh: &mut [u8]) -> usize {
        let seen = match self.framing.read(fresh) {
            Ok(()) => fresh.len(),
            Err(at) => {
                self.verdict = Verdict::Refused;
                fresh[at] = 0;
                at + 1
            }
        };
        let stage = self.framing.stage();
        if stage != self.stage || matches!(stage, Stage::Idle | Stage::Http2) {
            // A whole request may have passed in one read.
            self.stage = stage;
            self.since = Instant::now();
            self.first = false;
            self.answering = stage == Stage::Idle;
        }
        seen
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.verdict {
            Verdict::Sound => {}
            Verdict::Refused => {
                this.verdict = Verdict::Ended;
                buf.put_slice(&END_OF_HEAD[..END_OF_HEAD.len().min(buf.remaining())]);
                return Poll::Ready(Ok(()));
            }
            Verdict::Ended => return Poll::Ready(Ok(())),
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let seen = this.inspect(&mut buf.filled_mut()[before..]);
                buf.set_filled(before + seen);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match this.poll_patience(cx) {
                // The end of the stream: hyper closes an idle connection quietly, and a head that is not complete too.
                Poll::Ready(()) => {
                    this.verdict = Verdict::Ended;
                    Poll::Ready(Ok(()))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answering = false;
        Pin::new(&mut this.io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answering = false;
        Pin::new(&mut this.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
