//! The structure of a JSON text: one entry for each value and each name, in the order of the text.
//!
//! A value is built from its entries only when a query needs it. A value that is only passed on is copied as text.

use super::marks::{BLOCK, Marks};

/// White space stands between the parts of the value.
const SPACED: u8 = 1;
/// The value has a backslash.
pub(super) const ESCAPED: u8 = 2;
/// The value is written in a way in which this crate does not write it, apart from white space.
const UNUSUAL: u8 = 4;

/// A value, or the name of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The number of the entry after this value and all of its parts.
    pub(super) next: u32,
    /// The depth to which arrays and objects are nested in it.
    pub(super) depth: u16,
    pub(super) kind: Kind,
    pub(super) flags: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
}

impl Entry {
    /// True if the text is what this crate would write, if no object in it has a name twice.
    pub(super) fn is_canonical(self) -> bool {
        self.flags & (SPACED | UNUSUAL) == 0
    }
}

/// The entries of a text. `None` if it is not JSON, is nested deeper than `depth`, or is too long: the reader finds out.
pub(super) fn scan(text: &str, depth: usize) -> Option<Vec<Entry>> {
    u32::try_from(text.len()).ok()?;
    let depth = depth.min(usize::from(u16::MAX) - 1);
    let tape = Vec::with_capacity(text.len() / 8 + 4);
    Scanner { text: text.as_bytes(), marks: Marks::NONE, tape, open: Vec::with_capacity(16), depth }.scan()
}

/// An array or object whose end is not reached.
struct Open {
    entry: usize,
    is_object: bool,
    flags: u8,
    depth: u16,
}

struct Scanner<'a> {
    text: &'a [u8],
    marks: Marks,
    tape: Vec<Entry>,
    open: Vec<Open>,
    depth: usize,
}

/// The byte that stands for the end of the text.
const END: u8 = 0;

impl Scanner<'_> {
    fn scan(mut self) -> Option<Vec<Entry>> {
        let mut at = self.space(0);
        loop {
            at = self.value(at)?;
            // Closes what ends here, and goes on with the next value.
            loop {
                at = self.space(at);
                let Some(open) = self.open.last() else {
                    return (at == self.text.len()).then_some(self.tape);
                };
                match self.byte(at) {
                    b',' if open.is_object => at = self.name(at + 1)?,
                    b',' => at = self.space(at + 1),
                    b'}' if open.is_object => {
                        at = self.close(at)?;
                        continue;
                    }
                    b']' if !open.is_object => {
                        at = self.close(at)?;
                        continue;
                    }
                    _ => return None,
                }
                break;
            }
        }
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(END)
    }

    /// The place of the first byte from `at` on that is no white space.
    #[inline(always)]
    fn space(&mut self, at: usize) -> usize {
        if self.byte(at) > b' ' { at } else { self.long_space(at) }
    }

    #[inline(never)]
    fn long_space(&mut self, mut at: usize) -> usize {
        let start = at;
        while matches!(self.byte(at), b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
        }
        if at > start
            && let Some(open) = self.open.last_mut()
        {
            open.flags |= SPACED;
        }
        at
    }

    /// A value, or the beginning of one that has parts up to its first part; the place after it.
    #[inline(always)]
    fn value(&mut self, mut at: usize) -> Option<usize> {
        loop {
            match self.byte(at) {
                b'"' => return self.string(at),
                b'-' | b'0'..=b'9' => return self.number(at),
                b'{' | b'[' => {
                    let is_object = self.byte(at) == b'{';
                    let kind = if is_object { Kind::Object } else { Kind::Array };
                    if self.open.len() == self.depth {
                        return None;
                    }
                    self.open.push(Open { entry: self.tape.len(), is_object, flags: 0, depth: 1 });
                    self.push(kind, at, at, 0);
                    let first = self.space(at + 1);
                    match self.byte(first) {
                        b'}' if is_object => return self.close(first),
                        b']' if !is_object => return self.close(first),
                        _ if is_object => at = self.name(first)?,
                        _ => at = first,
                    }
                }
                b't' => return self.word(at, b"true", Kind::True),
                b'f' => return self.word(at, b"false", Kind::False),
                b'n' => return self.word(at, b"null", Kind::Null),
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, kind: Kind, start: usize, end: usize, flags: u8) {
        let next = self.tape.len() as u32 + 1;
        // The text has less than 4 GiB.
        self.tape.push(Entry { start: start as u32, end: end as u32, next, depth: 0, kind, flags });
    }

    fn word(&mut self, at: usize, word: &[u8], kind: Kind) -> Option<usize> {
        self.text[at..].starts_with(word).then(|| {
            self.push(kind, at, at + word.len(), 0);
            at + word.len()
        })
    }

    /// Closes the innermost array or object at `at`.
    #[inline(always)]
    fn close(&mut self, at: usize) -> Option<usize> {
        let closed = self.open.pop()?;
        let next = self.tape.len() as u32;
        let entry = &mut self.tape[closed.entry];
        (entry.end, entry.next) = (at as u32 + 1, next);
        (entry.depth, entry.flags) = (closed.depth, closed.flags);
        if let Some(outer) = self.open.last_mut() {
            outer.flags |= closed.flags;
            outer.depth = outer.depth.max(closed.depth + 1);
        }
        Some(at + 1)
    }

    /// The name of a member and its colon; the place of the value.
    #[inline(always)]
    fn name(&mut self, at: usize) -> Option<usize> {
        let at = self.space(at);
        if self.byte(at) != b'"' {
            return None;
        }
        let end = self.string(at)?;
        let colon = self.space(end);
        (self.byte(colon) == b':').then(|| self.space(colon + 1))
    }

    /// The string whose quote is at `at`; its entry lies within the quotes.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<usize> {
        let end = self.special_from(at + 1);
        if self.byte(end) == b'"' {
            self.push(Kind::Text, at + 1, end, 0);
            return Some(end + 1);
        }
        self.unusual_string(at + 1, end)
    }

    /// The rest of a string that begins at `start` and is not plain from `at` on.
    #[inline(never)]
    fn unusual_string(&mut self, start: usize, mut at: usize) -> Option<usize> {
        let mut flags = 0;
        loop {
            match self.text.get(at)? {
                b'"' => break,
                b'\\' => {
                    flags |= ESCAPED;
                    at = match self.text.get(at + 1)? {
                        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
                        b'/' => {
                            flags |= UNUSUAL;
                            at + 2
                        }
                        b'u' => {
                            flags |= UNUSUAL;
                            self.code_point(at)?
                        }
                        _ => return None,
                    };
                }
                0x7F => {
                    flags |= UNUSUAL;
                    at += 1;
                }
                _ => return None,
            }
            at = self.special_from(at);
        }
        self.push(Kind::Text, start, at, flags);
        if let Some(open) = self.open.last_mut() {
            open.flags |= flags;
        }
        Some(at + 1)
    }

    /// The escape of one code unit, or of two that are one character; the place after it.
    fn code_point(&self, at: usize) -> Option<usize> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
        };
        match unit(at)? {
            0xD800..0xDC00 => matches!(unit(at + 6)?, 0xDC00..0xE000).then_some(at + 12),
            0xDC00..0xE000 => None,
            _ => Some(at + 6),
        }
    }

    /// The first byte from `at` on that means something in a string.
    #[inline(always)]
    fn special_from(&mut self, at: usize) -> usize {
        match self.marks.special_from(at) {
            Some(special) => special,
            None => self.special_after(at),
        }
    }

    #[inline(never)]
    fn special_after(&mut self, mut at: usize) -> usize {
        loop {
            let Some(marks) = Marks::within(self.text, at) else {
                self.marks = Marks::at_end(self.text, at);
                return at + self.marks.special.trailing_zeros() as usize;
            };
            self.marks = marks;
            if marks.special != 0 {
                return at + marks.special.trailing_zeros() as usize;
            }
            at += BLOCK;
        }
    }

    #[inline(always)]
    fn number(&mut self, start: usize) -> Option<usize> {
        let mut at = start + usize::from(self.byte(start) == b'-');
        at = match self.byte(at) {
            b'0' => at + 1,
            _ => self.digits(at)?,
        };
        if self.byte(at) == b'.' {
            at = self.digits(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            at += 1 + usize::from(matches!(self.byte(at + 1), b'+' | b'-'));
            at = self.digits(at)?;
        }
        self.push(Kind::Number, start, at, 0);
        Some(at)
    }

    #[inline(always)]
    fn digits(&self, start: usize) -> Option<usize> {
        let mut at = start;
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        (at > start).then_some(at)
    }
}
