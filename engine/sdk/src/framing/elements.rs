//! The elements of a JSON array.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{BYTE_ORDER_MARK, Oversized};
use crate::{BatchBuilder, SourceRejection, Span, json};

/// The places of the elements of the JSON array `json`.
///
/// # Errors
/// If `json` is not one well-formed JSON array.
pub fn elements_of(json: &[u8]) -> Result<Vec<Range<usize>>, String> {
    Ok(json::elements(json, usize::MAX)?.unwrap_or_default())
}

/// Cuts a stream of bytes that is one JSON array into its elements, never holding more than one element and
/// what was read with it. An element that is not well-formed is rejected; the next one is read. An element that
/// is written over several lines becomes one line.
///
/// Used as [`super::Lines`] is.
#[derive(Debug)]
pub struct Elements {
    pending: BytesMut,
    /// The number of bytes of `pending` that have been read.
    at: usize,
    depth: u32,
    string: Quote,
    place: Place,
    limit: usize,
    oversized: Option<Oversized>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Not a byte has been read: a byte order mark may come.
    Start,
    Before,
    First,
    Inside,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quote {
    Outside,
    Inside,
    Escape,
}

impl Elements {
    /// The elements of an array, each of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            pending: BytesMut::new(),
            at: 0,
            depth: 0,
            string: Quote::Outside,
            place: Place::Start,
            limit,
            oversized: None,
        }
    }

    /// The elements of the rest of an array, after the comma of an element that [`cut`](Self::cut) has consumed.
    pub fn resumed(limit: usize) -> Self {
        Self { place: Place::Inside, ..Self::new(limit) }
    }

    /// The bytes that were read and not cut yet. Append to them.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.pending
    }

    /// Moves whole elements to `builder` until it is full or there are no more, and bad ones to `rejected`.
    /// Returns the number of bytes of the input that this consumes.
    ///
    /// # Errors
    /// If the input is not an array, or something follows it.
    pub fn cut(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        let (mut start, mut bytes) = (0, builder.bytes());
        while builder.len() + spans.len() < crate::BATCH_EVENTS && bytes < crate::BATCH_BYTES {
            match self.place {
                Place::Start | Place::Before | Place::After => match self.outside() {
                    Err(problem) if start == 0 => return Err(problem),
                    Err(_) => {
                        // The elements before it go on first; the next call tells.
                        self.at = start;
                        break;
                    }
                    Ok(inside) => {
                        start = self.at;
                        if !inside {
                            break;
                        }
                    }
                },
                Place::First | Place::Inside => {
                    if self.at == start && self.oversized.is_none() {
                        // Blanks before an element do not count as a part of it, however they are fed.
                        self.at += blanks(&self.pending[start..]);
                        start = self.at;
                    }
                    let Some(last) = self.element_end() else { break };
                    let raw = start..self.at - 1;
                    let element = trimmed(&self.pending, raw.clone());
                    let only = self.place == Place::First && last;
                    self.place = if last { Place::After } else { Place::Inside };
                    bytes += element.len();
                    if let Some(mut oversized) = self.oversized.take() {
                        oversized.pass(&self.pending[raw]);
                        rejected.push(oversized.finish(self.limit));
                    } else if raw.len() > self.limit {
                        rejected.push(Oversized::new(&self.pending[raw]).finish(self.limit));
                    } else if !(only && element.is_empty()) {
                        spans.extend(self.check(element, rejected));
                    }
                    start = self.at;
                }
            }
        }
        let mut consumed = start as u64;
        put(builder, &self.pending.split_to(start).freeze(), spans);
        self.at -= start;
        // Only if nothing was cut: the end of the bytes that a call consumes together with elements is a position to
        // resume from.
        if start == 0 && (self.at > self.limit || self.oversized.is_some()) {
            consumed += self.let_pass();
        }
        Ok(consumed)
    }

    /// At the end of the input.
    ///
    /// # Errors
    /// If the array is not closed.
    pub fn finish(&mut self) -> Result<(), String> {
        match self.place {
            Place::After => Ok(()),
            Place::Start | Place::Before => Err("the input is empty; it should be a JSON array".into()),
            Place::First | Place::Inside => Err("the JSON array ends before its `]`".into()),
        }
    }

    /// Returns true within an element over the limit, whose beginning is consumed and whose end is not.
    pub fn is_within(&self) -> bool {
        self.oversized.is_some()
    }

    /// Skips the bytes that were read of an element over the limit. Returns their number.
    fn let_pass(&mut self) -> u64 {
        let passed = self.pending.split_to(self.at);
        self.at = 0;
        match &mut self.oversized {
            Some(oversized) => oversized.pass(&passed),
            None => self.oversized = Some(Oversized::new(&passed)),
        }
        passed.len() as u64
    }

    /// Reads up to the `[`, or the white space after the `]`. False if more must be read.
    fn outside(&mut self) -> Result<bool, String> {
        if self.place == Place::Start {
            let mark = BYTE_ORDER_MARK.len();
            if BYTE_ORDER_MARK.starts_with(&self.pending[..self.pending.len().min(mark)]) {
                if self.pending.len() < mark {
                    return Ok(false);
                }
                self.at = mark;
            }
            self.place = Place::Before;
        }
        while let Some(byte) = self.pending.get(self.at).copied() {
            self.at += 1;
            match (byte, self.place) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => {}
                (b'[', Place::Before) => {
                    self.place = Place::First;
                    return Ok(true);
                }
                (other, Place::Before) => {
                    return Err(format!(
                        "the input should be a JSON array, but begins with `{}`",
                        char::from(other)
                    ));
                }
                _ => return Err("something follows the JSON array".into()),
            }
        }
        Ok(false)
    }

    /// Reads up to the `,` or `]` after an element. `Some(true)` if that ends the array, `None` if more
    /// must be read.
    fn element_end(&mut self) -> Option<bool> {
        while let Some(byte) = self.pending.get(self.at).copied() {
            self.at += 1;
            match (self.string, byte) {
                (Quote::Escape, _) => self.string = Quote::Inside,
                (Quote::Inside, b'\\') => self.string = Quote::Escape,
                (Quote::Inside, b'"') => self.string = Quote::Outside,
                (Quote::Inside, _) => {
                    let rest = &self.pending[self.at..];
                    self.at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                }
                (Quote::Outside, b'"') => self.string = Quote::Inside,
                (Quote::Outside, b'{' | b'[') => self.depth += 1,
                (Quote::Outside, b']') if self.depth == 0 => return Some(true),
                (Quote::Outside, b',') if self.depth == 0 => return Some(false),
                (Quote::Outside, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    fn check(&self, element: Range<usize>, rejected: &mut Vec<SourceRejection>) -> Option<Range<usize>> {
        let bytes = &self.pending[element.clone()];
        match json::check(bytes) {
            Ok(()) => Some(element),
            Err(reason) => {
                let payload = Bytes::copy_from_slice(bytes);
                rejected.push(SourceRejection { length: payload.len() as u64, payload, reason });
                None
            }
        }
    }
}

/// Puts the elements that lie at `spans` of `text` into the batch, each as one line.
fn put(builder: &mut BatchBuilder, text: &Bytes, spans: Vec<Range<usize>>) {
    let buffer = builder.add_buffer(text.clone());
    for span in spans {
        match json::one_line(&text[span.clone()]) {
            Cow::Borrowed(_) => {
                builder.push_span(Span { buffer, offset: span.start as u32, length: span.len() as u32 });
            }
            Cow::Owned(line) => builder.push(line.into()),
        }
    }
}

/// The length of the white space that the text begins with.
fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &bytes[range.clone()];
    let start = range.start + blanks(text);
    start..start + json::trim(text).len()
}

#[cfg(test)]
mod tests;
