//! JSON as text: checked, cut up and put together without building a tree of it.
//!
//! # What counts as JSON
//!
//! The same rule holds wherever JSON comes in (files, standard input, polls, requests, commands, Redis, answers to a
//! filter):
//!
//! - A JSON text is one value as RFC 8259 describes it, in UTF-8, nested at most [`DEPTH`] deep.
//! - An escape that is half of a surrogate pair (`"\ud800"`) is malformed, because no text can hold it. Nothing is
//!   replaced by U+FFFD in silence.
//! - A byte order mark is no part of a JSON text. A source skips one at the start of its input
//!   ([`crate::framing::without_mark`]).
//! - Values stay as they were written: numbers keep their digits, members their order. Of several members with the
//!   same name the last counts.
//! - A JSON event is one line. A reader that cuts JSON values out of its input (an array, a request, an answer)
//!   passes them through [`one_line`], so that no sink has to.

mod path;
mod scan;

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;

pub use path::Path;
pub use scan::DEPTH;
use scan::Scanner;

/// A raw JSON value as text: a string without its quotes and escapes, any other value as it stands.
pub fn text(raw: &[u8]) -> Cow<'_, str> {
    if let [b'"', inner @ .., b'"'] = raw
        && memchr::memchr(b'\\', inner).is_some()
        && let Ok(text) = serde_json::from_slice::<String>(raw)
    {
        return text.into();
    }
    let plain = match raw {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    String::from_utf8_lossy(plain)
}

/// Checks that `json` is one well-formed JSON value.
///
/// # Errors
/// The defect, with the byte where it is, counted from 0.
pub fn check(json: &[u8]) -> Result<(), String> {
    let mut scanner = Scanner::new(json)?;
    scanner.value()?;
    scanner.end()
}

/// A member of an object: its name, and its value as it stands.
pub type Member<'a> = (Cow<'a, str>, &'a [u8]);

/// The members of the JSON object `json` in order, their values as they stand. A name that occurs twice is there
/// twice.
///
/// # Errors
/// The defect of `json`, if it is not well-formed, or that it is not an object.
pub fn members(json: &[u8]) -> Result<Vec<Member<'_>>, String> {
    let mut scanner = Scanner::new(json)?;
    if scanner.token() != Some(b'{') {
        check(json)?;
        return Err("it is not a JSON object".to_owned());
    }
    let mut members = Vec::new();
    scanner.members(|scanner, name| {
        members.push((name, &json[scanner.value()?]));
        Ok(())
    })?;
    scanner.end()?;
    Ok(members)
}

/// The places of the elements of the JSON array `json`; `None` if there are more than `limit`.
///
/// # Errors
/// The defect of `json`, if it is not well-formed, or that it is not an array.
pub fn elements(json: &[u8], limit: usize) -> Result<Option<Vec<Range<usize>>>, String> {
    let mut scanner = Scanner::new(json)?;
    if scanner.token() != Some(b'[') {
        check(json)?;
        return Err("it is not a JSON array".to_owned());
    }
    let mut elements = Vec::new();
    let mut is_over = false;
    scanner.elements(|scanner, index| {
        let element = scanner.value()?;
        is_over = index >= limit;
        if !is_over {
            elements.push(element);
        }
        Ok(!is_over)
    })?;
    if is_over {
        return Ok(None);
    }
    scanner.end()?;
    Ok(Some(elements))
}

/// `json`, which is well-formed, in one line: without the white space between its tokens, if a line break is among
/// it, and as it is otherwise. Digits, strings and order stay.
pub fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    // A string cannot hold a raw line break, so each one lies between tokens.
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return Cow::Borrowed(json);
    }
    let mut line = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        line.extend(rest[..quote].iter().filter(|byte| !is_space(**byte)));
        let end = scan::string_end(&rest[quote..]);
        line.extend_from_slice(&rest[quote..quote + end]);
        rest = &rest[quote + end..];
    }
    line.extend(rest.iter().filter(|byte| !is_space(**byte)));
    Cow::Owned(line)
}

/// `payload` in [one line](one_line), if it is JSON, and as it is otherwise. For what is not known to be JSON.
pub fn one_line_if_json(payload: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', payload).is_some() && check(payload).is_ok() {
        one_line(payload)
    } else {
        Cow::Borrowed(payload)
    }
}

/// `json` without the white space around it, as JSON knows white space.
pub fn trim(json: &[u8]) -> &[u8] {
    let start = json.iter().position(|byte| !is_space(*byte)).unwrap_or(json.len());
    let end = json.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
    &json[start..end]
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Appends `text` to `json` as a string: in quotes, and escaped.
pub fn write_text(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    write_escaped(json, text);
    json.push(b'"');
}

/// Appends `text` to `json` as a part of a string: escaped, without quotes.
pub fn write_escaped(json: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let mut written = 0;
    while let Some(length) = scan::plain(&text[written..]) {
        let (plain, at) = (&text[written..written + length], written + length);
        json.extend_from_slice(plain);
        let escape = match text[at] {
            byte @ (b'"' | b'\\') => byte,
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => b'u',
        };
        json.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            write!(json, "{:04x}", text[at]).expect("writing to memory does not fail");
        }
        written = at + 1;
    }
    json.extend_from_slice(&text[written..]);
}

#[cfg(test)]
mod tests;
