//! What a server answered, read within limits, and what it means for those who asked.

use std::error::Error as _;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use tidegate_sdk::{Class, Error, Size};
use tokio::time::Instant;

/// How much of an answer is read, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// As they come.
    pub(crate) plain: usize,
    /// After decompression.
    pub(crate) inflated: usize,
}

/// How much is read of an answer that is an error: enough for its message.
const ERROR_SIZE: usize = 4096;
/// How many characters of an answer a message shows.
const EXCERPT: usize = 200;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was asked, for messages: the method and the shown URL.
    pub(crate) question: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, inflated. Only its head if there is a fault.
    pub(crate) body: Bytes,
    /// Why the body cannot be used: [`Class::Reject`] if it is not usable as it is, [`Class::Retry`] if the
    /// rest of it did not come.
    pub(crate) fault: Option<Error>,
}

impl Answer {
    /// Reads the body within `limits` until `deadline`.
    pub(crate) async fn read(
        question: String,
        mut response: Response,
        limits: Limits,
        deadline: Instant,
    ) -> Self {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let limits = match status.is_success() {
            true => limits,
            false => Limits { plain: ERROR_SIZE, inflated: ERROR_SIZE },
        };
        let mut body = Body::new(&headers, limits);
        let read = body.read(&mut response);
        let mut fault = match tokio::time::timeout_at(deadline, read).await {
            Ok(read) => read.err(),
            Err(_) => Some(Error::retry("the rest of the answer did not come within the time limit")),
        };
        let body = body.finish(&mut fault).into();
        let fault = fault.filter(|_| status.is_success()).map(|fault| fault.context(&question));
        Self { question, status, headers, body, fault }
    }

    /// What went wrong and what to do about it; `None` if the answer is a success.
    ///
    /// [`Class::Reject`] means that the request is at fault, and so what it carried.
    pub(crate) fn error(&self) -> Option<Error> {
        let class = match self.status.as_u16() {
            200..300 => return None,
            408 | 425 | 429 | 500.. => Class::Retry,
            401 | 403 | 404 | 405 | 407 | 410 | 411 | 415 => Class::Misconfigured,
            400..500 => Class::Reject,
            _ => Class::Misconfigured,
        };
        let mut message = format!("{} answered {}", self.question, self.status);
        if self.status.is_redirection() {
            message.push_str(
                ", a redirect; write the address it leads to, or set `redirects` if that is on the same host",
            );
        } else if !self.body.trim_ascii().is_empty() {
            message.push_str(": ");
            message.push_str(&excerpt(&self.body));
        }
        let error = Error::new(class, message);
        Some(match self.retry_after() {
            Some(pause) if class == Class::Retry => error.after(pause),
            _ => error,
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        pause_until(text, jiff::Timestamp::now())
    }
}

/// The pause that a `Retry-After` asks for (RFC 9110, section 10.2.3): seconds, or a date.
fn pause_until(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// The start of an answer in one line, for a message.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let mut characters = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut excerpt: String = characters.by_ref().take(EXCERPT).collect();
    if characters.next().is_some() {
        excerpt.push_str(" ...");
    }
    excerpt
}

/// Why no answer came.
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
        Error::ambiguous(format!("no answer: {cause}"))
    }
}

/// Whether the cause is TLS: I/O errors hide what they wrap from the chain of sources.
fn is_tls(mut source: &(dyn std::error::Error + 'static)) -> bool {
    while let Some(wrapped) = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        source = wrapped;
    }
    source.is::<rustls::Error>()
}

/// A body that is read, and inflated on the way.
struct Body {
    limits: Limits,
    received: usize,
    sink: BodySink,
}

enum BodySink {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

/// Bytes up to a limit.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match bytes.len() > room {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Body {
    fn new(headers: &HeaderMap, limits: Limits) -> Self {
        let capped = Capped { bytes: Vec::new(), limit: limits.inflated };
        let gzip = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| matches!(coding.as_bytes(), b"gzip" | b"x-gzip" | b"GZIP"));
        let sink = match gzip {
            true => BodySink::Gzip(Box::new(MultiGzDecoder::new(capped))),
            false => BodySink::Plain(capped),
        };
        Self { limits, received: 0, sink }
    }

    async fn read(&mut self, response: &mut Response) -> Result<(), Error> {
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                Error::retry(format!("the answer broke off: {}", failure(error).message()))
            })?;
            let Some(chunk) = chunk else { return Ok(()) };
            let room = self.limits.plain - self.received;
            let fits = &chunk[..chunk.len().min(room)];
            self.received += fits.len();
            let written = match &mut self.sink {
                BodySink::Plain(capped) => capped.write_all(fits),
                BodySink::Gzip(decoder) => decoder.write_all(fits),
            };
            written.map_err(|error| self.unusable(&error))?;
            if chunk.len() > room {
                let limit = Size(self.limits.plain as u64);
                return Err(Error::reject(format!("the answer is over `body_size` ({limit})")));
            }
        }
    }

    fn unusable(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::FileTooLarge => {
                let limit = Size(self.limits.inflated as u64);
                Error::reject(format!("the answer is over `inflated_size` ({limit})"))
            }
            _ => Error::reject(format!("the answer is not well-formed gzip: {error}")),
        }
    }

    /// What was read. A gzip stream that breaks off is a fault, if there is no other.
    fn finish(mut self, fault: &mut Option<Error>) -> Vec<u8> {
        if let (BodySink::Gzip(decoder), None, true) = (&mut self.sink, &fault, self.received > 0) {
            let ended = decoder.try_finish();
            *fault = ended.err().map(|error| self.unusable(&error));
        }
        match &mut self.sink {
            BodySink::Plain(capped) => std::mem::take(&mut capped.bytes),
            BodySink::Gzip(decoder) => std::mem::take(&mut decoder.get_mut().bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(pause_until("7", now), Some(Duration::from_secs(7)));
        assert_eq!(pause_until("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(pause_until("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause_until("99999999", now), Some(LONGEST_PAUSE));
        assert_eq!(pause_until("soon", now), None);
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(b" {\"error\":\n\"x\"} "), "{\"error\": \"x\"}");
        assert_eq!(excerpt(&[b'x'; 4096]).len(), EXCERPT + 4);
    }
}
