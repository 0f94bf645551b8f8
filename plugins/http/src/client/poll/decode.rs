//! Decodes the body of a response into events that refer to its bytes.

use std::ops::Range;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tidegate_sdk::framing::{elements_of, without_mark};
use tidegate_sdk::json::{self, Path, one_line};
use tidegate_sdk::{Batch, BatchBuilder, Size, SourceRejection, Span};

use super::cursor::{Cursor, CursorValues};
use super::options::{Decode, MissingItems};
use super::pages::Lead;
use super::unique::Unique;
use crate::client::expression::{Document, Expression};

/// The number of bytes of rejected input that are kept.
const HEAD: usize = 4096;

/// The rules for the events in a body.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    pub(super) decode: Decode,
    pub(super) items: Option<Expression>,
    pub(super) missing: MissingItems,
    /// The reference to the next page.
    pub(super) from: Option<Expression>,
    /// The condition that ends a poll.
    pub(super) stop: Option<Expression>,
    /// The limit on the results of `items`, in bytes.
    pub(super) size: usize,
    pub(super) unique: Option<Path>,
    pub(super) cursor: Option<Cursor>,
}

/// The parts of a response that are decoded.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) body: Bytes,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// The content of one body.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The events, in unfinished batches, which still lack a position.
    pub(super) batches: Vec<BatchBuilder>,
    /// Input that is not an event.
    pub(super) rejected: Vec<SourceRejection>,
    /// The number of events that the server sent, dropped ones included.
    pub(super) count: u64,
    /// The reference to the next page.
    pub(super) lead: Lead,
}

impl Decoded {
    /// Returns whether the body was usable: it was empty, or not all of it is rejected.
    pub(super) fn is_useful(&self) -> bool {
        self.count == 0 || (self.rejected.len() as u64) < self.count
    }
}

/// The current body, and the events so far.
struct Extractor<'a> {
    body: &'a Bytes,
    limit: usize,
    decoder: &'a Decoder,
    unique: Option<&'a mut Unique>,
    seen: &'a mut CursorValues,
    decoded: Decoded,
    open: Option<(BatchBuilder, u32)>,
}

impl Decoder {
    /// Returns whether decoding evaluates a query.
    pub(super) fn evaluates(&self) -> bool {
        [&self.items, &self.from, &self.stop].into_iter().flatten().any(Expression::is_query)
    }

    /// Decodes the events of a response, each of at most `limit` bytes, and finds the reference to the next page.
    /// Records the cursor's values in `seen`.
    ///
    /// # Errors
    /// The reason why the whole body is unusable. Then nothing was recorded.
    pub(super) fn decode(
        &self,
        input: &Input,
        limit: usize,
        unique: Option<&mut Unique>,
        seen: &mut CursorValues,
    ) -> Result<Decoded, String> {
        let is_json = self.decode == Decode::Json;
        let document = Document::new(&input.body, input.status, &input.headers, is_json);
        let mut decoded = if input.body.trim_ascii().is_empty() {
            Decoded::default()
        } else {
            self.events(input, &document, limit, unique, seen)?
        };
        document.count.set(decoded.count);
        decoded.lead = self.lead(&document);
        Ok(decoded)
    }

    fn events(
        &self,
        input: &Input,
        document: &Document<'_>,
        limit: usize,
        unique: Option<&mut Unique>,
        seen: &mut CursorValues,
    ) -> Result<Decoded, String> {
        let found =
            self.items.as_ref().map(|items| items.elements(document, self.size)).transpose()?.flatten();
        let body = found.as_ref().unwrap_or(&input.body);
        let decoded = Decoded::default();
        let mut extractor = Extractor { body, limit, decoder: self, unique, seen, decoded, open: None };
        match self.decode {
            Decode::Json => {
                let path = self.items.as_ref().and_then(Expression::path);
                for range in self.json_events(body, path)? {
                    extractor.event(range);
                }
            }
            Decode::JsonLines | Decode::Lines => extractor.lines(),
            Decode::Text => extractor.event(body.len() - without_mark(body).len()..body.len()),
        }
        let Extractor { mut decoded, open, .. } = extractor;
        decoded.batches.extend(open.map(|(builder, _)| builder));
        Ok(decoded)
    }

    /// Evaluates `from` and `stop`.
    fn lead(&self, document: &Document<'_>) -> Lead {
        let mut lead = Lead::default();
        if let Some(stop) = &self.stop {
            match stop.holds(document) {
                Ok(stops) => lead.stops = stops,
                Err(reason) => lead.fault = Some(format!("`stop` of the pagination: {reason}")),
            }
        }
        if let Some(from) = &self.from
            && !lead.stops
        {
            match from.text(document) {
                Ok(next) => lead.next = next,
                Err(reason) => lead.fault = Some(format!("`from` of the pagination: {reason}")),
            }
            let is_absent = |path: &Path| matches!(path.find(document.body), Ok(None));
            lead.is_absent = lead.next.is_none() && from.path().is_some_and(is_absent);
        }
        lead
    }

    /// Returns the ranges of the events in a JSON body.
    fn json_events(&self, body: &[u8], path: Option<&Path>) -> Result<Vec<Range<usize>>, String> {
        let value = match path {
            None => {
                let value = json::trim(without_mark(body));
                json::check(value)?;
                value
            }
            Some(path) => match path.find(without_mark(body))? {
                Some(value) => value,
                None if self.missing == MissingItems::Empty => return Ok(Vec::new()),
                None => {
                    return Err(format!(
                        "the response has no `{path}`, where `items` says that the events are; if the server leaves it \
                         out when there are none, set `missing = \"empty\"`"
                    ));
                }
            },
        };
        let start = value.as_ptr() as usize - body.as_ptr() as usize;
        match value.first() {
            Some(b'[') => {
                let moved = |range: Range<usize>| range.start + start..range.end + start;
                Ok(elements_of(value)?.into_iter().map(moved).collect())
            }
            _ if value == b"null" => Ok(Vec::new()),
            _ => Ok(std::iter::once(start..start + value.len()).collect()),
        }
    }
}

impl Extractor<'_> {
    fn lines(&mut self) {
        let body = self.body;
        let mut start = body.len() - without_mark(body).len();
        for line in body[start..].split(|byte| *byte == b'\n') {
            let end = start + line.strip_suffix(b"\r").unwrap_or(line).len();
            let range = start..end;
            start += line.len() + 1;
            if body[range.clone()].trim_ascii().is_empty() {
                continue;
            }
            match self.decoder.decode {
                Decode::JsonLines => match json::check(&body[range.clone()]) {
                    Ok(()) => self.event(range),
                    Err(reason) => {
                        self.decoded.count += 1;
                        self.reject(range, reason);
                    }
                },
                _ => self.event(range),
            }
        }
    }

    fn event(&mut self, range: Range<usize>) {
        let event = &self.body[range.clone()];
        self.decoded.count += 1;
        if event.len() > self.limit {
            let (length, limit) = (Size(event.len() as u64), Size(self.limit as u64));
            return self.reject(
                range,
                format!("one event of {length} is over the limit of {limit}; only its head is kept"),
            );
        }
        if let Some(cursor) = &self.decoder.cursor {
            cursor.see(self.seen, event);
        }
        if let (Some(path), Some(unique)) = (&self.decoder.unique, &mut self.unique)
            && let Ok(Some(value)) = path.find(event)
            && !unique.insert(value)
        {
            return;
        }
        let json = self.decoder.decode == Decode::Json;
        let (builder, buffer) = self.open.get_or_insert_with(|| {
            let mut builder = Batch::builder();
            let buffer = builder.add_buffer(self.body.clone());
            (builder, buffer)
        });
        match if json { one_line(event) } else { event.into() } {
            std::borrow::Cow::Borrowed(event) => {
                builder.push_span(Span {
                    buffer: *buffer,
                    offset: range.start as u32,
                    length: event.len() as u32,
                });
            }
            std::borrow::Cow::Owned(line) => builder.push_copy(&line),
        }
        if builder.is_full() {
            self.decoded.batches.extend(self.open.take().map(|(builder, _)| builder));
        }
    }

    fn reject(&mut self, range: Range<usize>, reason: String) {
        self.decoded.rejected.push(rejection(&self.body.slice(range), reason));
    }
}

/// Makes a rejection. Of long input, only the head is kept.
pub(super) fn rejection(bytes: &Bytes, reason: String) -> SourceRejection {
    let payload = Bytes::copy_from_slice(&bytes[..bytes.len().min(HEAD)]);
    SourceRejection { payload, length: bytes.len() as u64, reason }
}
