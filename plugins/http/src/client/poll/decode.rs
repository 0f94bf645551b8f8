//! Decodes the body of a response into events that refer to its bytes.

use std::ops::Range;

use bytes::Bytes;
use tidegate_sdk::framing::{elements_of, without_mark};
use tidegate_sdk::json::{self, Path, one_line};
use tidegate_sdk::{Batch, BatchBuilder, Size, SourceRejection, Span};

use super::cursor::{Cursor, CursorValues};
use super::options::Decode;
use super::unique::Unique;

/// The number of bytes of rejected input that are kept.
const HEAD: usize = 4096;

/// The rules for the events in a body.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    pub(super) decode: Decode,
    pub(super) items: Option<Path>,
    pub(super) unique: Option<Path>,
    pub(super) cursor: Option<Cursor>,
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
    /// Decodes the events of `body`, each of at most `limit` bytes. Records the cursor's values in `seen`.
    ///
    /// # Errors
    /// The reason why the whole body is unusable. Then nothing was recorded.
    pub(super) fn decode(
        &self,
        body: &Bytes,
        limit: usize,
        unique: Option<&mut Unique>,
        seen: &mut CursorValues,
    ) -> Result<Decoded, String> {
        let decoded = Decoded::default();
        let mut extractor = Extractor { body, limit, decoder: self, unique, seen, decoded, open: None };
        if body.trim_ascii().is_empty() {
            return Ok(extractor.decoded);
        }
        match self.decode {
            Decode::Json => {
                for range in self.json_events(body)? {
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

    /// Returns the ranges of the events in a JSON body.
    fn json_events(&self, body: &[u8]) -> Result<Vec<Range<usize>>, String> {
        let value = match &self.items {
            None => {
                let value = json::trim(without_mark(body));
                json::check(value)?;
                value
            }
            Some(path) => path.find(without_mark(body))?.ok_or_else(|| {
                format!("the response has no `{path}`, where `items` says that the events are")
            })?,
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
