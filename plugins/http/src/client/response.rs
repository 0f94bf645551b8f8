//! Responses, read within limits, and their meaning as errors.

use std::error::Error as _;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tidegate_sdk::{Class, Error, Size};
use tokio::time::Instant;

use super::retry_after;
use crate::coding::{Decoder, Refused, codings};

/// The limits of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The limit on the bytes as received.
    pub(crate) plain: usize,
    /// The limit on the bytes after decompression.
    pub(crate) inflated: usize,
    /// The longest pause that a server may ask for.
    pub(crate) pause: Duration,
}

/// The number of bytes that are read of an error response: enough for its message.
const ERROR_SIZE: usize = 4096;
/// The number of characters of a response that a message shows.
const EXCERPT: usize = 200;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    /// The request, for messages: the method and the redacted URL.
    pub(crate) request: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The decoded body. Only its head if there is a fault.
    pub(crate) body: Bytes,
    /// The reason why the body cannot be used: [`Class::Reject`] if it is not valid, [`Class::Retry`] if it is
    /// incomplete.
    pub(crate) fault: Option<Error>,
    /// The pause that the server asks for.
    pub(crate) pause: Option<Duration>,
}

impl Response {
    /// Reads the body within `limits` until `deadline`.
    pub(crate) async fn read(
        request: String,
        mut incoming: reqwest::Response,
        limits: Limits,
        deadline: Instant,
    ) -> Self {
        let status = incoming.status();
        let headers = std::mem::take(incoming.headers_mut());
        let pause = retry_after::pause(&headers, SystemTime::now()).map(|pause| pause.min(limits.pause));
        let limits = if status.is_success() {
            limits
        } else {
            Limits { plain: ERROR_SIZE, inflated: ERROR_SIZE, ..limits }
        };
        let (body, fault) = match Body::new(&headers, limits) {
            Ok(mut body) => {
                let mut fault = match tokio::time::timeout_at(deadline, body.read(&mut incoming)).await {
                    Ok(read) => read.err(),
                    Err(_) => {
                        Some(Error::retry("the rest of the response did not come within the time limit"))
                    }
                };
                (body.finish(&mut fault).into(), fault)
            }
            Err(error) => (Bytes::new(), Some(error)),
        };
        let fault = fault.filter(|_| status.is_success()).map(|fault| fault.context(&request));
        Self { request, status, headers, body, fault, pause }
    }

    /// Returns the error that the status means; `None` for a success.
    ///
    /// [`Class::Reject`] means that the request is at fault, and so its events.
    pub(crate) fn error(&self) -> Option<Error> {
        let class = match self.status.as_u16() {
            200..300 => return None,
            408 | 425 | 429 | 500.. => Class::Retry,
            401 | 403 | 404 | 405 | 407 | 410 | 411 | 415 => Class::Misconfigured,
            400..500 => Class::Reject,
            _ => Class::Misconfigured,
        };
        let mut message = format!("{} answered {}", self.request, self.status);
        if self.status.is_redirection() {
            message.push_str(
                ", a redirect; write the address it leads to, or set `redirects` if that is on the same host",
            );
        } else if !self.body.trim_ascii().is_empty() {
            message.push_str(": ");
            message.push_str(&excerpt(&self.body));
        }
        let error = Error::new(class, message);
        Some(match self.pause {
            Some(pause) => error.after(pause),
            None => error,
        })
    }
}

/// Returns the start of a response in one line, for a message.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let mut characters = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut excerpt: String = characters.by_ref().take(EXCERPT).collect();
    if characters.next().is_some() {
        excerpt.push_str(" ...");
    }
    excerpt
}

/// Returns the error for a missing response.
pub(crate) fn failure(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let (mut cause, mut refused) = (error.to_string(), false);
    let mut next = error.source();
    while let Some(source) = next {
        refused |= is_tls(source);
        cause = source.to_string();
        next = source.source();
    }
    if refused {
        Error::misconfigured(format!("no secure connection: {cause}"))
    } else if error.is_connect() {
        Error::retry(format!("no connection: {cause}"))
    } else if error.is_builder() {
        Error::misconfigured(format!("the request cannot be made: {cause}"))
    } else {
        Error::ambiguous(format!("no response: {cause}"))
    }
}

/// Returns whether the cause is TLS. I/O errors hide the error that they wrap from the chain of sources.
fn is_tls(mut source: &(dyn std::error::Error + 'static)) -> bool {
    while let Some(wrapped) = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        source = wrapped;
    }
    source.is::<rustls::Error>()
}

/// A body that is decoded while it is read.
struct Body {
    limits: Limits,
    received: usize,
    /// The names of its codings, for messages.
    codings: String,
    sink: BodySink,
}

enum BodySink {
    Decoded(Decoder<Capped>),
    /// The body has a coding that is not supported.
    Refused(Refused),
}

/// A buffer with a limit.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(io::Error::from(io::ErrorKind::FileTooLarge)) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Body {
    fn new(headers: &HeaderMap, limits: Limits) -> Result<Self, Error> {
        let capped = Capped { bytes: Vec::new(), limit: limits.inflated };
        let mut names = String::new();
        let sink = match codings(headers) {
            Ok(codings) => {
                names = codings.iter().map(|coding| coding.name()).collect::<Vec<_>>().join(", ");
                let decoder = Decoder::new(&codings, capped);
                BodySink::Decoded(decoder.map_err(|error| Error::retry(format!("no decoder: {error}")))?)
            }
            Err(refused) => BodySink::Refused(refused),
        };
        Ok(Self { limits, received: 0, codings: names, sink })
    }

    async fn read(&mut self, incoming: &mut reqwest::Response) -> Result<(), Error> {
        loop {
            let chunk = incoming.chunk().await.map_err(|error| {
                Error::retry(format!("the response broke off: {}", failure(error).message()))
            })?;
            let Some(chunk) = chunk else { return Ok(()) };
            let room = self.limits.plain - self.received;
            let fits = &chunk[..chunk.len().min(room)];
            self.received += fits.len();
            let decoder = match &mut self.sink {
                BodySink::Decoded(decoder) => decoder,
                BodySink::Refused(_) if chunk.is_empty() => continue,
                BodySink::Refused(refused) => return Err(Error::reject(refused.to_string())),
            };
            decoder.write_all(fits).map_err(|error| self.unusable(&error))?;
            if chunk.len() > room {
                let limit = Size(self.limits.plain as u64);
                return Err(Error::reject(format!("the response is over `body_size` ({limit})")));
            }
        }
    }

    fn unusable(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::FileTooLarge {
            let limit = Size(self.limits.inflated as u64);
            Error::reject(format!("the response is over `inflated_size` ({limit})"))
        } else {
            let codings = &self.codings;
            Error::reject(format!("the response is not well-formed {codings}, as its header says: {error}"))
        }
    }

    /// Returns the bytes read. A truncated encoded body is a fault, if there is no other.
    fn finish(mut self, fault: &mut Option<Error>) -> Vec<u8> {
        let (received, mut ended) = (self.received, Ok(()));
        let bytes = match &mut self.sink {
            BodySink::Decoded(decoder) => {
                if fault.is_none() && received > 0 {
                    ended = decoder.finish();
                }
                std::mem::take(&mut decoder.target().bytes)
            }
            BodySink::Refused(_) => Vec::new(),
        };
        if let Err(error) = ended {
            *fault = Some(self.unusable(&error));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(b" {\"error\":\n\"x\"} "), "{\"error\": \"x\"}");
        assert_eq!(excerpt(&[b'x'; 4096]).len(), EXCERPT + 4);
    }
}
