//! A body becomes events: places in its bytes, which are not copied.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use tidegate_sdk::framing::without_mark;
use tidegate_sdk::{Span, json};

use super::options::Decode;
use super::query;
use crate::exchange::Shape;

/// A body and the events in it.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) body: Bytes,
    pub(super) events: Events,
    /// How an answer made of results is written.
    pub(super) shape: Shape,
}

/// Where the events of a body lie. The spans are those of the batch's first buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// The whole body.
    One(Span),
    /// Several, or none.
    Many(Vec<Span>),
}

/// Why a body does not become events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not what it should be.
    Malformed(String),
    /// It is more events than this limit.
    TooMany(usize),
    /// It is of this content type, which does not become events by itself.
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
    /// A body that is one event as it stands.
    pub(super) fn whole(body: Bytes) -> Self {
        let span = span(0, body.len());
        Self { body, events: Events::One(span), shape: Shape::Single }
    }
}

/// The events of `body`, at most `limit`.
pub(super) fn decode(
    mut body: Bytes,
    how: Decode,
    content_type: &str,
    limit: usize,
) -> Result<Decoded, Problem> {
    body.advance(body.len() - without_mark(&body).len());
    let how = match how {
        Decode::Auto => by_type(content_type, &body)?,
        fixed => fixed,
    };
    let (events, shape) = match how {
        Decode::Text => return Ok(Decoded::whole(body)),
        Decode::Json | Decode::Auto => {
            json::check(&body).map_err(Problem::Malformed)?;
            body = body.slice_ref(json::trim(&body));
            return Ok(Decoded::whole(one_line(body)));
        }
        Decode::JsonArray => {
            let mut events = elements(&body, limit)?;
            if let Cow::Owned(line) = json::one_line(&body) {
                body = line.into();
                events = elements(&body, limit)?;
            }
            (events, Shape::Array)
        }
        Decode::Form => return Ok(Decoded::whole(query::form(&body).map_err(Problem::Malformed)?)),
        Decode::JsonLines => (lines(&body, limit, true)?, Shape::JsonLines),
        Decode::Lines => (lines(&body, limit, false)?, Shape::Lines),
    };
    Ok(Decoded { body, events: Events::Many(events), shape })
}

impl Decode {
    /// Whether an empty body is a body of this form, rather than none. A body of no type is none.
    pub(super) fn takes_empty(self, content_type: &str) -> bool {
        match self {
            Self::Auto => by_name(&essence(content_type)).is_some(),
            _ => !content_type.is_empty(),
        }
    }
}

/// The type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The form that the name of a content type determines. JSON may be an array.
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

/// The form of a body under `auto`: the content type determines it, or else the content.
fn by_type(content_type: &str, body: &[u8]) -> Result<Decode, Problem> {
    // The usual one, recognised before anything is copied.
    if content_type == "application/json" {
        return Ok(array_or(body, Decode::Json));
    }
    let essence = essence(content_type);
    Ok(match by_name(&essence) {
        Some(Decode::Json) => array_or(body, Decode::Json),
        Some(named) => named,
        // Several lines that each are an object are JSON lines. Otherwise the object goes on in the next line.
        None if first(body) == Some(b'{') && json_lines_likely(body) => Decode::JsonLines,
        None if first(body) == Some(b'{') => Decode::Json,
        None if first(body) == Some(b'[') => Decode::JsonArray,
        None if matches!(essence.as_str(), "" | "application/octet-stream") => Decode::Lines,
        // `curl -d 12` sends JSON as a form.
        None if json::check(body.trim_ascii()).is_ok() => Decode::Json,
        None if json_lines_likely(body) => Decode::JsonLines,
        None => return Err(Problem::Unsupported(essence)),
    })
}

/// An array if it begins as one, and else `other`.
fn array_or(body: &[u8], other: Decode) -> Decode {
    if first(body) == Some(b'[') { Decode::JsonArray } else { other }
}

fn first(body: &[u8]) -> Option<u8> {
    body.iter().find(|byte| !byte.is_ascii_whitespace()).copied()
}

/// Whether the first line is a JSON value and something follows it.
fn json_lines_likely(body: &[u8]) -> bool {
    let trimmed = body.trim_ascii();
    let end = trimmed.iter().position(|byte| *byte == b'\n');
    end.is_some_and(|end| json::check(&trimmed[..end]).is_ok())
}

fn span(offset: usize, length: usize) -> Span {
    Span { buffer: 0, offset: offset as u32, length: length as u32 }
}

fn lines(body: &[u8], limit: usize, check: bool) -> Result<Vec<Span>, Problem> {
    let mut spans = Vec::new();
    let mut start = 0;
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = if check { text.trim_ascii().is_empty() } else { text.is_empty() };
        if !blank {
            if check {
                let malformed = |why| Problem::Malformed(format!("line {}: {why}", index + 1));
                json::check(text).map_err(malformed)?;
            }
            if spans.len() == limit {
                return Err(Problem::TooMany(limit));
            }
            spans.push(span(start, text.len()));
        }
        start += line.len() + 1;
    }
    Ok(spans)
}

/// The places of the elements of the array. Stops at the limit, so that a body of many small elements does not
/// become many times as many spans.
fn elements(body: &[u8], limit: usize) -> Result<Vec<Span>, Problem> {
    let elements = json::elements(body, limit).map_err(Problem::Malformed)?;
    let elements = elements.ok_or(Problem::TooMany(limit))?;
    Ok(elements.into_iter().map(|element| span(element.start, element.len())).collect())
}

/// The body, which is well-formed JSON, in one line.
fn one_line(body: Bytes) -> Bytes {
    match json::one_line(&body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(line) => line.into(),
    }
}

#[cfg(test)]
mod tests;
