//! Reads bodies within limits on the bytes as sent, the bytes as inflated, and the time.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use tidegate_sdk::Size;
use tokio::time::Instant;

use super::options::Options;
use super::response::ErrorResponse;
use crate::budget::{ByteBudget, Reservation};
use crate::coding::{self, Coding, Decoder};

/// Bodies up to this size are copied out of the connection's buffer, which costs less than a new buffer.
const SMALL: usize = 4096;

/// The number of compressed bytes that are inflated at once, before other connections get their turn. One byte can
/// become a thousand.
const STEP: usize = 512;

/// A body, and its reservation in the budget.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) reserved: Reservation,
}

/// Reads `body` to its end.
pub(super) async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    options: &Options,
    budget: &Arc<ByteBudget>,
) -> Result<Content, ErrorResponse> {
    let mut pace = Pace { body, options, started: None, received: 0 };
    if pace.body.size_hint().lower() > options.body_size.bytes() {
        return Err(over(options.body_size));
    }
    let codings = coding::codings(headers).map_err(|refused| {
        let error_response = ErrorResponse::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, refused.to_string());
        error_response.with(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED))
    })?;
    if codings.is_empty() {
        plain(&mut pace, budget).await
    } else {
        inflated(&mut pace, &codings, budget).await
    }
}

async fn plain(pace: &mut Pace<'_>, budget: &Arc<ByteBudget>) -> Result<Content, ErrorResponse> {
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
    let bytes = if !whole.is_empty() {
        whole.freeze()
    } else if first.len() <= SMALL {
        Bytes::copy_from_slice(&first)
    } else {
        first
    };
    Ok(Content { bytes, reserved })
}

async fn inflated(
    pace: &mut Pace<'_>,
    codings: &[Coding],
    budget: &Arc<ByteBudget>,
) -> Result<Content, ErrorResponse> {
    let limit = pace.options.inflated_size;
    let target = Target { bytes: Vec::new(), limit, reserved: budget.reserve(), error_response: None };
    let mut decoder = Decoder::new(codings, target)
        .map_err(|_| ErrorResponse::unavailable("the body cannot be decoded now; try again later"))?;
    let broken = |decoder: &mut Decoder<Target>, error: io::Error| {
        decoder.target().error_response.take().unwrap_or_else(|| {
            let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
            let names = names.join(", ");
            let message = format!("the body is not {names} as its header says: {error}");
            ErrorResponse::new(StatusCode::BAD_REQUEST, message)
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

/// The buffer for an inflated body. Writes beyond its limit fail.
struct Target {
    bytes: Vec<u8>,
    limit: Size,
    reserved: Reservation,
    error_response: Option<ErrorResponse>,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = if self.bytes.len() + bytes.len() > self.limit.as_usize() {
            let message = format!("the body is over the limit of {} when inflated", self.limit);
            Err(ErrorResponse::too_large(message).and_close())
        } else {
            hold(&mut self.reserved, bytes.len())
        };
        if let Err(error_response) = fits {
            self.error_response = Some(error_response);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hold(reserved: &mut Reservation, bytes: usize) -> Result<(), ErrorResponse> {
    if reserved.grow(bytes) {
        Ok(())
    } else {
        Err(ErrorResponse::unavailable("the memory limit of the server is reached; try again later"))
    }
}

fn over(limit: Size) -> ErrorResponse {
    ErrorResponse::too_large(format!("the body is over the limit of {limit}")).and_close()
}

/// A body that is being read, with its start and the number of bytes so far.
struct Pace<'b> {
    body: &'b mut Incoming,
    options: &'b Options,
    started: Option<Instant>,
    received: u64,
}

impl Pace<'_> {
    /// Returns the next bytes, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ErrorResponse> {
        loop {
            let frame = match futures_util::FutureExt::now_or_never(self.body.frame()) {
                Some(frame) => frame,
                None => self.wait().await?,
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                ErrorResponse::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
                    .and_close()
            })?;
            // Other frames are trailers, which are ignored.
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

    /// Waits for the next frame. The time limit grows with the number of bytes received.
    async fn wait(
        &mut self,
    ) -> Result<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>, ErrorResponse> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let rate = self.options.body_rate.bytes().max(1);
        let earned = std::time::Duration::from_millis(self.received.saturating_mul(1000) / rate);
        let allowed = self.options.first_byte_time.saturating_add(earned).min(*self.options.body_time);
        tokio::time::timeout_at(started + allowed, self.body.frame()).await.map_err(|_| {
            let message = "the body arrives too slowly; nothing of it was used";
            ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, message).and_close()
        })
    }
}
