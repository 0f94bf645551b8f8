//! Finds the events in a body, as spans of its bytes, without a copy.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use tidegate_sdk::framing::without_mark;
use tidegate_sdk::{Span, json};

use super::form;
use super::options::Decode;
use crate::pending::ResultFormat;

/// A body and the events in it.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) body: Bytes,
    pub(super) events: Events,
    /// The format of a response that is made of results.
    pub(super) format: ResultFormat,
}

/// The spans of the events in the batch's first buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// The whole body, as one event.
    One(Span),
    /// Any number of events.
    Many(Vec<Span>),
}

/// The reason why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The body is malformed.
    Malformed(String),
    /// The body has more events than this limit.
    TooMany(usize),
    /// The body has this content type, which is not decoded automatically.
    Unsupported(String),
}

impl Events {
    pub(super) fn spans(&self) -> &[Span] {
        match self {
            Self::One(span) => std::slice::from_ref(span),
            Self::Many(spans) => spans,
        }
    }
}

impl Decoded {
    /// Returns a body that is one event as it is.
    pub(super) fn whole(body: Bytes) -> Self {
        let span = span(0, body.len());
        Self { body, events: Events::One(span), format: ResultFormat::Single }
    }
}

/// Decodes `body` into at most `limit` events.
pub(super) fn decode(
    mut body: Bytes,
    how: Decode,
    content_type: &str,
    limit: usize,
) -> Result<Decoded, DecodeError> {
    body.advance(body.len() - without_mark(&body).len());
    let how = match how {
        Decode::Auto => by_type(content_type, &body)?,
        fixed => fixed,
    };
    let (events, format) = match how {
        Decode::Text => return Ok(Decoded::whole(body)),
        Decode::Json | Decode::Auto => {
            json::check(&body).map_err(DecodeError::Malformed)?;
            body = body.slice_ref(json::trim(&body));
            return Ok(Decoded::whole(one_line(body)));
        }
        Decode::JsonArray => {
            let mut events = elements(&body, limit)?;
            if let Cow::Owned(line) = json::one_line(&body) {
                body = line.into();
                events = elements(&body, limit)?;
            }
            (events, ResultFormat::Array)
        }
        Decode::Form => return Ok(Decoded::whole(form::form(&body).map_err(DecodeError::Malformed)?)),
        Decode::JsonLines => (lines(&body, limit, true)?, ResultFormat::JsonLines),
        Decode::Lines => (lines(&body, limit, false)?, ResultFormat::Lines),
    };
    Ok(Decoded { body, events: Events::Many(events), format })
}

impl Decode {
    /// Returns whether an empty body is valid input for this decoder, rather than a missing body.
    pub(super) fn takes_empty(self, content_type: &str) -> bool {
        match self {
            Self::Auto => by_name(&essence(content_type)).is_some(),
            _ => !content_type.is_empty(),
        }
    }
}

/// Returns the type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the decoder for the name of a content type. JSON may also be an array.
fn by_name(essence: &str) -> Option<Decode> {
    match essence {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines"
        | "application/json-lines" => Some(Decode::JsonLines),
        "application/json" => Some(Decode::Json),
        json if json.ends_with("+json") => Some(Decode::Json),
        text if text.starts_with("text/") => Some(Decode::Lines),
        _ => None,
    }
}

/// Chooses the decoder for `auto`: by the content type, or else by the content.
fn by_type(content_type: &str, body: &[u8]) -> Result<Decode, DecodeError> {
    // The most frequent type is recognised without a copy.
    if content_type == "application/json" {
        return Ok(array_or(body, Decode::Json));
    }
    let essence = essence(content_type);
    Ok(match by_name(&essence) {
        Some(Decode::Json) => array_or(body, Decode::Json),
        Some(named) => named,
        // If the first line is a whole object, the body is JSON lines.
        None if first(body) == Some(b'{') && json_lines_likely(body) => Decode::JsonLines,
        None if first(body) == Some(b'{') => Decode::Json,
        None if first(body) == Some(b'[') => Decode::JsonArray,
        None if matches!(essence.as_str(), "" | "application/octet-stream") => Decode::Lines,
        // `curl -d 12` sends this with the type of a form.
        None if json::check(body.trim_ascii()).is_ok() => Decode::Json,
        None if json_lines_likely(body) => Decode::JsonLines,
        None => return Err(DecodeError::Unsupported(essence)),
    })
}

/// Returns the array decoder if the body begins with `[`, or else `other`.
fn array_or(body: &[u8], other: Decode) -> Decode {
    if first(body) == Some(b'[') { Decode::JsonArray } else { other }
}

fn first(body: &[u8]) -> Option<u8> {
    body.iter().find(|byte| !byte.is_ascii_whitespace()).copied()
}

/// Returns whether the first line is a JSON value and more lines follow.
fn json_lines_likely(body: &[u8]) -> bool {
    let trimmed = body.trim_ascii();
    let end = trimmed.iter().position(|byte| *byte == b'\n');
    end.is_some_and(|end| json::check(&trimmed[..end]).is_ok())
}

fn span(offset: usize, length: usize) -> Span {
    Span { buffer: 0, offset: offset as u32, length: length as u32 }
}

fn lines(body: &[u8], limit: usize, check: bool) -> Result<Vec<Span>, DecodeError> {
    let mut spans = Vec::new();
    let mut start = 0;
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = if check { text.trim_ascii().is_empty() } else { text.is_empty() };
        if !blank {
            if check {
                let malformed = |why| DecodeError::Malformed(format!("line {}: {why}", index + 1));
                json::check(text).map_err(malformed)?;
            }
            if spans.len() == limit {
                return Err(DecodeError::TooMany(limit));
            }
            spans.push(span(start, text.len()));
        }
        start += line.len() + 1;
    }
    Ok(spans)
}

/// Returns the spans of the array's elements. Stops at the limit, so that many small elements do not take more memory
/// than the body.
fn elements(body: &[u8], limit: usize) -> Result<Vec<Span>, DecodeError> {
    let elements = json::elements(body, limit).map_err(DecodeError::Malformed)?;
    let elements = elements.ok_or(DecodeError::TooMany(limit))?;
    Ok(elements.into_iter().map(|element| span(element.start, element.len())).collect())
}

/// Returns a well-formed JSON body as one line.
fn one_line(body: Bytes) -> Bytes {
    match json::one_line(&body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(line) => line.into(),
    }
}

#[cfg(test)]
mod tests;
