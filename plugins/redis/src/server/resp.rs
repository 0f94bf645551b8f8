//! The Redis protocol, version 2 (RESP2): commands to bytes, bytes to replies.
//!
//! Both directions borrow: a command is encoded from slices, and a reply points into the buffer that it was read to.
//! A [`Cursor`] decides what is well-formed. [`Frame`] finds the end of a reply with it while bytes arrive, and
//! [`tree`] builds a [`Reply`] from a complete one.
//! Specification: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::ops::Range;

/// The longest reply to a command that is not a read of a stream, in bytes. The longest are the slots of a cluster.
pub(crate) const REPLY_BYTES: usize = 16 << 20;

/// The longest line, in bytes: a status, an error, or the length of what follows.
const LINE_BYTES: usize = 64 << 10;

/// The deepest nesting of arrays in a tree.
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
    /// The text of a status or bulk reply.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Status(bytes) | Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// The error for bytes that are not a reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

/// Begins a command of `count` arguments, including its name.
pub(crate) fn begin(out: &mut Vec<u8>, count: usize) {
    line(out, b'*', count);
}

/// Appends an argument to the command that was begun last.
pub(crate) fn argument(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole command.
pub(crate) fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    begin(out, arguments.len());
    for bytes in arguments {
        argument(out, bytes);
    }
}

/// Appends a marker and a number. This runs for each argument, and `write!` is ten times slower.
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

/// Finds the end of one reply while its bytes arrive. It looks at no byte twice, so a reply in small pieces costs no
/// more than the same reply in one.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The start of the next value.
    at: usize,
    /// The start of the bytes that were not searched for the end of a line.
    searched: usize,
    /// The number of values still to come.
    left: usize,
}

impl Frame {
    /// A frame at the start of a reply.
    pub(crate) fn new() -> Self {
        Self { at: 0, searched: 0, left: 1 }
    }

    /// The length of the reply at the start of `buffer`, if it is complete. Later calls are given the same bytes and
    /// more.
    pub(crate) fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.left > 0 {
            let mut cursor = Cursor { bytes: buffer, at: self.at };
            let Some(item) = cursor.try_next(&mut self.searched)? else { return Ok(None) };
            self.left -= 1;
            if let Item::Array(length) = item {
                self.left = self.left.checked_add(length).ok_or(Malformed)?;
            }
            self.at = cursor.at;
        }
        Ok(Some(self.at))
    }
}

/// A value of a reply, without its elements.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    /// An array. This many values follow.
    Array(usize),
    /// Bytes, by their position in the reply.
    Bulk(Range<usize>),
    /// A whole number.
    Integer(i64),
    /// A status or an error, by its position in the reply.
    Line { error: bool, text: Range<usize> },
    /// No value.
    Null,
}

/// Reads a complete reply value by value.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`, which are one complete reply.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A cursor at a position that [`at`](Self::at) returned.
    pub(crate) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The start of the next value.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> Result<Item, Malformed> {
        let mut searched = self.at;
        self.try_next(&mut searched)?.ok_or(Malformed)
    }

    /// The length of the next value, which is an array. `None` if it is null.
    pub(crate) fn array(&mut self) -> Result<Option<usize>, Malformed> {
        match self.next()? {
            Item::Array(length) => Ok(Some(length)),
            Item::Null => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// The position of the next value, which is bytes.
    pub(crate) fn bulk(&mut self) -> Result<Range<usize>, Malformed> {
        match self.next()? {
            Item::Bulk(range) => Ok(range),
            _ => Err(Malformed),
        }
    }

    /// Passes over the next value and its elements.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let mut frame = Frame { at: self.at, searched: self.at, left: 1 };
        self.at = frame.end(self.bytes)?.ok_or(Malformed)?;
        Ok(())
    }

    /// The next value, if all of it is there. `searched` is the start of the bytes that may hold the end of its line.
    fn try_next(&mut self, searched: &mut usize) -> Result<Option<Item>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.first().is_some_and(|marker| !b"+-:$*".contains(marker)) {
            return Err(Malformed);
        }
        let start = (*searched).max(self.at);
        let Some(end) = memchr::memchr(b'\n', self.bytes.get(start..).unwrap_or_default()) else {
            *searched = self.bytes.len();
            return if rest.len() > LINE_BYTES { Err(Malformed) } else { Ok(None) };
        };
        // A value that is not complete is read again from its line, which is found at once.
        *searched = start + end;
        let next = start + end + 1;
        let line = self.bytes[self.at..next - 1].strip_suffix(b"\r").ok_or(Malformed)?;
        let (marker, text) = line.split_first().filter(|_| line.len() <= LINE_BYTES).ok_or(Malformed)?;
        let item = match marker {
            b'+' | b'-' => Item::Line { error: *marker == b'-', text: self.at + 1..self.at + 1 + text.len() },
            b':' => Item::Integer(number(text)?),
            _ => match (number(text)?, marker) {
                (-1, _) => Item::Null,
                (length, b'*') => Item::Array(usize::try_from(length).map_err(|_| Malformed)?),
                (length, _) => return self.bulk_at(next, usize::try_from(length).map_err(|_| Malformed)?),
            },
        };
        self.at = next;
        Ok(Some(item))
    }

    /// The bytes from `start` on, if all of them are there with the line break after them.
    fn bulk_at(&mut self, start: usize, length: usize) -> Result<Option<Item>, Malformed> {
        let end = start.checked_add(length).ok_or(Malformed)?;
        let after = end.checked_add(2).ok_or(Malformed)?;
        let Some(line_break) = self.bytes.get(end..after) else { return Ok(None) };
        if line_break != b"\r\n" {
            return Err(Malformed);
        }
        self.at = after;
        Ok(Some(Item::Bulk(start..end)))
    }
}

/// The tree of one complete reply.
pub(crate) fn tree(bytes: &[u8]) -> Result<Reply<'_>, Malformed> {
    value(&mut Cursor::new(bytes), NESTING)
}

fn value<'a>(cursor: &mut Cursor<'a>, nesting: usize) -> Result<Reply<'a>, Malformed> {
    let bytes = cursor.bytes;
    Ok(match cursor.next()? {
        Item::Array(_) if nesting == 0 => return Err(Malformed),
        // The length is the server's word, so it reserves no memory.
        Item::Array(length) => {
            let mut values = Vec::new();
            for _ in 0..length {
                values.push(value(cursor, nesting - 1)?);
            }
            Reply::Array(values)
        }
        Item::Bulk(range) => Reply::Bulk(&bytes[range]),
        Item::Integer(number) => Reply::Integer(number),
        Item::Line { error: true, text } => Reply::Error(&bytes[text]),
        Item::Line { error: false, text } => Reply::Status(&bytes[text]),
        Item::Null => Reply::Null,
    })
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests;
