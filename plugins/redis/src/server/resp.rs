//! The Redis protocol, version 2 (RESP2): commands to bytes, bytes to replies.
//!
//! Both sides borrow: a command is written from slices, and a reply points into the buffer it was read to.
//! Specification: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::ops::Range;

/// The longest reply that is read, in bytes. The replies to what a sink sends are short; the longest is a
/// cluster's list of slots.
const REPLY_BYTES: usize = 16 << 20;

/// How deep arrays in replies may nest.
const NESTING: usize = 8;

/// A server's answer to one command.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply<'a> {
    /// Short text such as `OK`.
    Status(&'a [u8]),
    /// An error: its code, a space, and a sentence.
    Error(&'a [u8]),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(&'a [u8]),
    /// No value.
    Null,
    /// Values.
    Array(Vec<Reply<'a>>),
}

impl Reply<'_> {
    /// The bytes of a status or bulk reply as text.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Status(bytes) | Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Bytes that are not a reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

/// Begins a command of `count` arguments, its name included.
pub(crate) fn begin(out: &mut Vec<u8>, count: usize) {
    line(out, b'*', count);
}

/// Adds an argument to the command that was begun last.
pub(crate) fn argument(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A whole command.
pub(crate) fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    begin(out, arguments.len());
    for bytes in arguments {
        argument(out, bytes);
    }
}

/// A marker and a number. Written by hand: this runs for each argument, and formatting is ten times slower.
fn line(out: &mut Vec<u8>, marker: u8, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.push(marker);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Finds the end of one reply as it arrives. What was looked at once is not looked at again, so a long reply
/// costs no more than a short one a byte.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Where the next value begins.
    at: usize,
    /// How many values are still to come.
    left: usize,
}

impl Frame {
    /// At the start of a reply.
    pub(crate) fn new() -> Self {
        Self { at: 0, left: 1 }
    }

    /// The length of the reply that `buffer` begins with; `None` if it is not complete yet. Later calls are
    /// given the same bytes and more.
    pub(crate) fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.left > 0 {
            let mut cursor = Cursor { bytes: buffer, at: self.at };
            let Some(item) = cursor.try_next()? else { return Ok(None) };
            self.left -= 1;
            if let Item::Array(length) = item {
                self.left = self.left.checked_add(length).ok_or(Malformed)?;
            }
            self.at = cursor.at;
        }
        Ok(Some(self.at))
    }
}

/// One value of a reply, without what is in it.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    /// That many values follow.
    Array(usize),
    /// Bytes, which lie there in the reply.
    Bulk(Range<usize>),
    /// A whole number.
    Integer(i64),
    /// Short text or an error, which lies there in the reply.
    Line { error: bool, text: Range<usize> },
    /// No value.
    Null,
}

/// Goes through a reply value by value, without making a tree of it.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, which are one whole reply.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At a place where it has been before.
    pub(crate) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next value begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> Result<Item, Malformed> {
        self.try_next()?.ok_or(Malformed)
    }

    /// How many values the array has that comes next; `None` if it is null.
    pub(crate) fn array(&mut self) -> Result<Option<usize>, Malformed> {
        match self.next()? {
            Item::Array(length) => Ok(Some(length)),
            Item::Null => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// Where the bytes lie that come next.
    pub(crate) fn bulk(&mut self) -> Result<Range<usize>, Malformed> {
        match self.next()? {
            Item::Bulk(range) => Ok(range),
            _ => Err(Malformed),
        }
    }

    /// Passes over the next value and all that is in it.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let mut frame = Frame { at: self.at, left: 1 };
        self.at = frame.end(self.bytes)?.ok_or(Malformed)?;
        Ok(())
    }

    /// The next value, if all of it is there.
    fn try_next(&mut self) -> Result<Option<Item>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else { return Ok(None) };
        let line = rest[..end].strip_suffix(b"\r").ok_or(Malformed)?;
        let (marker, text) = line.split_first().ok_or(Malformed)?;
        let start = self.at + 1;
        let next = self.at + end + 1;
        let item = match marker {
            b'+' | b'-' => Item::Line { error: *marker == b'-', text: start..start + text.len() },
            b':' => Item::Integer(number(text)?),
            b'$' | b'*' => match (number(text)?, marker) {
                (-1, _) => Item::Null,
                (length, b'*') => Item::Array(usize::try_from(length).map_err(|_| Malformed)?),
                (length, _) => {
                    let length = usize::try_from(length).map_err(|_| Malformed)?;
                    let after = next.checked_add(length + 2).ok_or(Malformed)?;
                    if after > self.bytes.len() {
                        return Ok(None);
                    }
                    self.at = after;
                    return Ok(Some(Item::Bulk(next..next + length)));
                }
            },
            _ => return Err(Malformed),
        };
        self.at = next;
        Ok(Some(item))
    }
}

/// The first reply in `buffer` and its length in bytes; `None` if it is not complete yet.
pub(crate) fn parse(buffer: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    let mut rest = buffer;
    match value(&mut rest, NESTING)? {
        Some(reply) => Ok(Some((reply, buffer.len() - rest.len()))),
        None if buffer.len() > REPLY_BYTES => Err(Malformed),
        None => Ok(None),
    }
}

fn value<'a>(rest: &mut &'a [u8], nesting: usize) -> Result<Option<Reply<'a>>, Malformed> {
    let Some(&marker) = rest.first() else { return Ok(None) };
    if !b"+-:$*".contains(&marker) {
        return Err(Malformed);
    }
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let text = rest[1..end].strip_suffix(b"\r").ok_or(Malformed)?;
    *rest = &rest[end + 1..];
    match marker {
        b'+' => Ok(Some(Reply::Status(text))),
        b'-' => Ok(Some(Reply::Error(text))),
        b':' => number(text).map(Reply::Integer).map(Some),
        b'$' => bulk(rest, number(text)?),
        _ => array(rest, number(text)?, nesting),
    }
}

fn bulk<'a>(rest: &mut &'a [u8], length: i64) -> Result<Option<Reply<'a>>, Malformed> {
    if length == -1 {
        return Ok(Some(Reply::Null));
    }
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    if length > REPLY_BYTES {
        return Err(Malformed);
    }
    let Some(end) = rest.get(length..length + 2) else { return Ok(None) };
    let bytes = &rest[..length];
    *rest = &rest[length + 2..];
    if end == b"\r\n" { Ok(Some(Reply::Bulk(bytes))) } else { Err(Malformed) }
}

fn array<'a>(rest: &mut &'a [u8], length: i64, nesting: usize) -> Result<Option<Reply<'a>>, Malformed> {
    if length == -1 {
        return Ok(Some(Reply::Null));
    }
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    if nesting == 0 || length > REPLY_BYTES {
        return Err(Malformed);
    }
    let mut values = Vec::new();
    for _ in 0..length {
        match value(rest, nesting - 1)? {
            Some(one) => values.push(one),
            None => return Ok(None),
        }
    }
    Ok(Some(Reply::Array(values)))
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests;
