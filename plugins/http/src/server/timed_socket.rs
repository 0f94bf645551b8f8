//! A socket with a time limit for each phase of a connection.
//!
//! It stands between the socket and hyper. Hyper cannot distinguish a new connection, an idle one, half a head, and a
//! client that accepts no bytes of its response.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::options::Options;

/// No byte has arrived.
const FRESH: u8 = 0;
/// A response has been sent, and no byte of the next request has arrived.
const IDLE: u8 = 1;
/// A part of a head has arrived.
const HEAD: u8 = 2;
/// A request is being served. Its body has a time limit of its own.
const SERVING: u8 = 3;
/// The response is being sent.
const ANSWERING: u8 = 4;

/// The time in which a client may finish sending a body that is not read.
const LINGER: Duration = Duration::from_secs(10);

/// The number of bytes of such a body that are read and dropped.
const LINGER_BYTES: usize = 64 << 20;

/// The phase of a connection, set by the request handler.
#[derive(Debug, Default)]
pub(super) struct Phase {
    at: AtomicU8,
    unread: AtomicBool,
}

impl Phase {
    /// Enters the phase after a head has been read.
    pub(super) fn serving(&self) {
        self.at.store(SERVING, Ordering::Relaxed);
    }

    /// Enters the phase after the response is ready.
    pub(super) fn answering(&self) {
        self.at.store(ANSWERING, Ordering::Relaxed);
    }

    /// Sets whether a part of the request's body is still to be read.
    pub(super) fn unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }

    /// Returns whether no byte has arrived.
    pub(super) fn is_fresh(&self) -> bool {
        self.get() == FRESH
    }

    fn get(&self) -> u8 {
        self.at.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.at.store(phase, Ordering::Relaxed);
    }
}

/// The time limit of each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    first_byte: Duration,
    head: Duration,
    idle: Duration,
    write: Duration,
}

impl Timeouts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            first_byte: *options.first_byte_time,
            head: *options.header_time,
            idle: *options.idle_time,
            write: *options.write_time,
        }
    }
}

/// A socket that fails with a timeout if its client is too slow.
///
/// The timer is touched only if the socket would block, and moved only to an earlier deadline: a request that arrives
/// whole costs no timer.
pub(super) struct TimedSocket<S> {
    socket: S,
    phase: Arc<Phase>,
    clock: Timeouts,
    /// The deadline of the current wait; set when it begins.
    deadline: Option<Instant>,
    /// The deadline for bytes that the client does not accept.
    write_deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    ended: bool,
    shut: bool,
    lingered: usize,
}

impl<S> TimedSocket<S> {
    pub(super) fn new(socket: S, phase: Arc<Phase>, clock: Timeouts) -> Self {
        let timer = Box::pin(tokio::time::sleep(clock.first_byte));
        let (deadline, write_deadline) = (None, None);
        Self { socket, phase, clock, deadline, write_deadline, timer, ended: false, shut: false, lingered: 0 }
    }

    /// Ready when `deadline` has passed. Otherwise wakes the task at that time.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            if deadline <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Applies the limit of the current phase after a read that would block.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = match self.phase.get() {
            FRESH => self.clock.first_byte,
            IDLE => self.clock.idle,
            HEAD => self.clock.head,
            _ => return Poll::Pending,
        };
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        ready!(self.poll_timer(cx, deadline));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client is silent for too long")))
    }

    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_deadline = None;
            return result;
        }
        let limit = self.clock.write;
        let deadline = *self.write_deadline.get_or_insert_with(|| Instant::now() + limit);
        ready!(self.poll_timer(cx, deadline));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.socket).poll_read(cx, buffer)?.is_pending() {
            return self.poll_silence(cx);
        }
        if buffer.filled().len() == before {
            self.ended = true;
        } else if matches!(self.phase.get(), FRESH | IDLE) {
            self.phase.set(HEAD);
            self.deadline = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        if self.phase.get() == ANSWERING {
            self.phase.set(IDLE);
            let deadline = Instant::now() + self.clock.idle;
            self.deadline = Some(deadline);
            // Hyper may not read before it is woken, so the timer must know this task now.
            let _ = self.poll_timer(cx, deadline);
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the sending half. If bytes of the client are unread, closing the whole socket would reset it and lose the
    /// response, so these are read and dropped first, up to a limit.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.shut = true;
            self.write_deadline = Some(Instant::now() + LINGER);
        }
        let unread = self.phase.unread.load(Ordering::Relaxed) || self.phase.get() == HEAD;
        let mut waste = [0; 8192];
        while unread && !self.ended && self.lingered < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut waste);
            if Pin::new(&mut self.socket).poll_read(cx, &mut buffer)?.is_pending() {
                let deadline = self.write_deadline.unwrap_or_else(Instant::now);
                return self.poll_timer(cx, deadline).map(Ok);
            }
            self.ended = buffer.filled().is_empty();
            self.lingered += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
