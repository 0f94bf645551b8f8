//! Cursor that moves through a line from left to right.

use memchr::memchr;

/// Line with a cursor. A copy keeps the position.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the rest of the line.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Consumes and returns `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.rest()[..count];
        self.at += count;
        taken
    }

    /// Consumes `literal` if it comes next.
    pub(crate) fn skip(&mut self, literal: &[u8]) -> bool {
        let found = self.rest().starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Consumes `literal`, which must come next.
    pub(crate) fn expect(&mut self, literal: &str) -> Result<(), String> {
        if self.skip(literal.as_bytes()) {
            return Ok(());
        }
        let name = if literal == " " { "a space".to_owned() } else { format!("`{literal}`") };
        Err(self.expected(&name))
    }

    /// Returns the bytes before the next `end`, and consumes both.
    pub(crate) fn until(&mut self, end: u8, what: &str) -> Result<&'a [u8], String> {
        match memchr(end, self.rest()) {
            Some(0) => Err(self.expected(what)),
            Some(length) => {
                let found = self.take(length);
                self.at += 1;
                Ok(found)
            }
            None => Err(self.expected(&format!("{what} and {} after it", shown(end)))),
        }
    }

    /// Consumes the bytes that fit.
    pub(crate) fn while_byte(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest().iter().position(|byte| !fits(*byte)).unwrap_or(self.rest().len());
        self.take(length)
    }

    /// Returns the error that `what` does not come next.
    pub(crate) fn expected(&self, what: &str) -> String {
        if self.at_end() {
            format!("{what} is expected at byte {}, where the line ends", self.at)
        } else {
            format!("{what} is expected at byte {}, not `{}`", self.at, shorten(self.rest()))
        }
    }
}

fn shown(byte: u8) -> String {
    match byte {
        b' ' => "a space".to_owned(),
        byte => format!("`{}`", char::from(byte)),
    }
}

/// Refuses text with a line break, for formats with one record in a line.
pub(crate) fn is_one_line(text: &[u8]) -> Result<(), String> {
    match memchr(b'\n', text) {
        Some(at) => Err(format!("there is a line break at byte {at}; an event is one line")),
        None => Ok(()),
    }
}

/// Returns the beginning of a value, for a message.
pub(crate) fn shorten(text: &[u8]) -> String {
    const LONGEST: usize = 32;
    let shown = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned();
    if text.len() > LONGEST { format!("{shown}...") } else { shown }
}
