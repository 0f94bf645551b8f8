//! Reading a body: bounded in bytes as sent and as inflated, and in time.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use tidegate_sdk::Size;
use tokio::time::Instant;

use super::answer::Refusal;
use super::options::Options;
use crate::budget::{Budget, Reserved};
use crate::coding::{self, Coding, Decoder};

/// Bodies up to this are copied out of the connection's buffer: that is less work than a new buffer.
const SMALL: usize = 4096;

/// How much of a compressed body is inflated in one go, before other connections get their turn. A byte of
/// it can become a thousand.
const STEP: usize = 512;

/// A body, and its part of the budget.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) reserved: Reserved,
}

/// Reads `body` to its end.
pub(super) async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    options: &Options,
    budget: &Arc<Budget>,
) -> Result<Content, Refusal> {
    let mut pace = Pace { body, options, started: None, received: 0 };
    if pace.body.size_hint().lower() > options.body_size.bytes() {
        return Err(over(options.body_size));
    }
    let codings = coding::codings(headers).map_err(|refused| {
        let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, refused.to_string());
        refusal.with(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED))
    })?;
    if codings.is_empty() {
        plain(&mut pace, budget).await
    } else {
        inflated(&mut pace, &codings, budget).await
    }
}

async fn plain(pace: &mut Pace<'_>, budget: &Arc<Budget>) -> Result<Content, Refusal> {
    let mut reserved = budget.reserve();
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(piece) = pace.next().await? {
        hold(&mut reserved, piece.len())?;
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(first.len() + piece.len());
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&piece);
    }
    let bytes = match whole.is_empty() {
        false => whole.freeze(),
        true if first.len() <= SMALL => Bytes::copy_from_slice(&first),
        true => first,
    };
    Ok(Content { bytes, reserved })
}

async fn inflated(pace: &mut Pace<'_>, codings: &[Coding], budget: &Arc<Budget>) -> Result<Content, Refusal> {
    let limit = pace.options.inflated_size;
    let target = Target { bytes: Vec::new(), limit, reserved: budget.reserve(), refusal: None };
    let mut decoder = Decoder::new(codings, target)
        .map_err(|_| Refusal::unavailable("the body cannot be decoded now; try again later"))?;
    let broken = |decoder: &mut Decoder<Target>, error: io::Error| {
        decoder.target().refusal.take().unwrap_or_else(|| {
            let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
            let names = names.join(", ");
            let message = format!("the body is not {names} as its header says: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })
    };
    while let Some(piece) = pace.next().await? {
        for step in piece.chunks(STEP) {
            let before = decoder.target().bytes.len();
            decoder.write_all(step).map_err(|error| broken(&mut decoder, error))?;
            if decoder.target().bytes.len() - before > 1 << 16 {
                tokio::task::yield_now().await;
            }
        }
    }
    if pace.received > 0 {
        decoder.finish().map_err(|error| broken(&mut decoder, error))?;
    }
    let target = decoder.target();
    let bytes = std::mem::take(&mut target.bytes).into();
    let reserved = std::mem::replace(&mut target.reserved, budget.reserve());
    Ok(Content { bytes, reserved })
}

/// Where an inflated body goes: full at its limit.
struct Target {
    bytes: Vec<u8>,
    limit: Size,
    reserved: Reserved,
    refusal: Option<Refusal>,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = match self.bytes.len() + bytes.len() > self.limit.as_usize() {
            true => {
                let message = format!("the body is over the limit of {} when inflated", self.limit);
                Err(Refusal::too_large(message).and_close())
            }
            false => hold(&mut self.reserved, bytes.len()),
        };
        if let Err(refusal) = fits {
            self.refusal = Some(refusal);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hold(reserved: &mut Reserved, bytes: usize) -> Result<(), Refusal> {
    match reserved.grow(bytes) {
        true => Ok(()),
        false => Err(Refusal::unavailable("the server holds as many bytes as it may; try again later")),
    }
}

fn over(limit: Size) -> Refusal {
    Refusal::too_large(format!("the body is over the limit of {limit}")).and_close()
}

/// A body with its clock and its count.
struct Pace<'b> {
    body: &'b mut Incoming,
    options: &'b Options,
    started: Option<Instant>,
    received: u64,
}

impl Pace<'_> {
    /// The next bytes, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = match futures_util::FutureExt::now_or_never(self.body.frame()) {
                Some(frame) => frame,
                None => self.wait().await?,
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")).and_close()
            })?;
            // What is not data is trailers, which mean nothing here.
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            if self.received > self.options.body_size.bytes() {
                return Err(over(self.options.body_size));
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// The next frame, once it comes: within the body's time, which grows with what has arrived.
    async fn wait(&mut self) -> Result<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>, Refusal> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let rate = self.options.body_rate.bytes().max(1);
        let earned = std::time::Duration::from_millis(self.received.saturating_mul(1000) / rate);
        let allowed = self.options.first_byte_time.saturating_add(earned).min(*self.options.body_time);
        tokio::time::timeout_at(started + allowed, self.body.frame()).await.map_err(|_| {
            let message = "the body arrives too slowly; nothing of it was used";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, message).and_close()
        })
    }
}
