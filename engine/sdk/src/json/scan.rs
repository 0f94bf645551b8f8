//! A pass over JSON text, from token to token.

use std::borrow::Cow;
use std::ops::Range;

use super::{is_space, text};

/// The limit for the nesting of arrays and objects.
pub const DEPTH: usize = 512;

/// A JSON text and a place in it. It is UTF-8 and no longer than the slice; everything else is checked as it is passed.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
    depth: usize,
    /// A bit for each open array (0) or object (1).
    objects: [u64; DEPTH / 64],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(json: &'a [u8]) -> Result<Self, String> {
        match std::str::from_utf8(json) {
            Ok(_) => Ok(Self { json, at: 0, depth: 0, objects: [0; DEPTH / 64] }),
            Err(error) => Err(malformed(error.valid_up_to(), "this is not UTF-8")),
        }
    }

    /// The first byte of the next token. The scanner stays before it.
    pub(super) fn token(&mut self) -> Option<u8> {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        self.peek()
    }

    /// Passes the end of the text.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match self.token() {
            None => Ok(()),
            Some(_) => Err(malformed(self.at, "something follows the value")),
        }
    }

    /// Passes the next value, and returns its place.
    pub(super) fn value(&mut self) -> Result<Range<usize>, String> {
        let first = self.token();
        let (start, outside) = (self.at, self.depth);
        let mut next = first;
        loop {
            match next {
                Some(b'{') => {
                    self.open(true)?;
                    if self.token() != Some(b'}') {
                        self.name()?;
                        next = self.token();
                        continue;
                    }
                    self.close();
                }
                Some(b'[') => {
                    self.open(false)?;
                    next = self.token();
                    if next != Some(b']') {
                        continue;
                    }
                    self.close();
                }
                Some(b'"') => self.string().map(|_| ())?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => return Err(self.unexpected("a value is expected")),
            }
            loop {
                if self.depth == outside {
                    return Ok(start..self.at);
                }
                if self.follows()? {
                    break;
                }
            }
            next = self.token();
        }
    }

    /// Passes the object that comes next. `each` gets the name of each member and passes its value.
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.open(true)?;
        if self.token() == Some(b'}') {
            self.close();
            return Ok(());
        }
        loop {
            let name = self.name_before_its_colon()?;
            each(self, text(&self.json[name]))?;
            match self.token() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("`,` or `}` is expected")),
            }
        }
        self.close();
        Ok(())
    }

    /// Passes the array that comes next. `each` gets the index of each element, passes it, and returns whether to
    /// go on; otherwise the scanner stays where it is.
    pub(super) fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<bool, String>,
    ) -> Result<(), String> {
        self.open(false)?;
        if self.token() == Some(b']') {
            self.close();
            return Ok(());
        }
        for index in 0.. {
            if !each(self, index)? {
                return Ok(());
            }
            match self.token() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("`,` or `]` is expected")),
            }
        }
        self.close();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn unexpected(&self, what: &str) -> String {
        match (self.at >= self.json.len(), self.json.is_empty()) {
            (_, true) => malformed(0, "there is no value"),
            (true, _) => malformed(self.at, "it ends in the middle of a value"),
            _ => malformed(self.at, what),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<(), String> {
        if self.depth == DEPTH {
            return Err(malformed(self.at, &format!("it is nested deeper than {DEPTH}")));
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        self.objects[word] &= !bit;
        self.objects[word] |= if is_object { bit } else { 0 };
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Passes the mark after a value in the innermost array or object. Returns whether another value comes.
    fn follows(&mut self) -> Result<bool, String> {
        let last = self.depth - 1;
        let is_object = self.objects[last / 64] >> (last % 64) & 1 == 1;
        match (self.token(), is_object) {
            (Some(b','), true) => {
                self.at += 1;
                self.token();
                self.name().map(|()| true)
            }
            (Some(b','), false) => {
                self.at += 1;
                Ok(true)
            }
            (Some(b'}'), true) | (Some(b']'), false) => {
                self.close();
                Ok(false)
            }
            (_, true) => Err(self.unexpected("`,` or `}` is expected")),
            (_, false) => Err(self.unexpected("`,` or `]` is expected")),
        }
    }

    fn name(&mut self) -> Result<(), String> {
        self.name_before_its_colon().map(drop)
    }

    /// Passes a name and the colon after it.
    fn name_before_its_colon(&mut self) -> Result<Range<usize>, String> {
        if self.token() != Some(b'"') {
            return Err(self.unexpected("a name in quotes is expected"));
        }
        let name = self.string()?;
        if self.token() != Some(b':') {
            return Err(self.unexpected("`:` is expected"));
        }
        self.at += 1;
        Ok(name)
    }

    /// Passes the string that begins here, and returns its place, with its quotes.
    fn string(&mut self) -> Result<Range<usize>, String> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += plain(&self.json[self.at..]).unwrap_or(self.json.len() - self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.unexpected("a control character stands in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let start = self.at;
        match self.json.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                return Ok(());
            }
            Some(b'u') => {}
            _ => return Err(self.unexpected("this is not an escape")),
        }
        let is_whole = match self.code_unit()? {
            0xD800..0xDC00 if self.json[self.at..].starts_with(b"\\u") => {
                matches!(self.code_unit()?, 0xDC00..0xE000)
            }
            0xD800..0xE000 => false,
            _ => true,
        };
        match is_whole {
            true => Ok(()),
            false => Err(malformed(start, "this escape is half of a surrogate pair, which is no character")),
        }
    }

    /// Passes `\uXXXX`.
    fn code_unit(&mut self) -> Result<u32, String> {
        self.at += 2;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit =
                unit * 16 + digit.ok_or_else(|| self.unexpected("four hexadecimal digits are expected"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.json[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value is expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), String> {
        let before = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.at > before {
            true => Ok(()),
            false => Err(self.unexpected("a digit is expected")),
        }
    }
}

fn malformed(at: usize, what: &str) -> String {
    format!("malformed JSON at byte {at}: {what}")
}

/// The number of bytes before the first that cannot stand for itself in a string; `None` if there is none.
pub(super) fn plain(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let special = (controls | is_zero(word ^ (ONES * 0x22)) | is_zero(word ^ (ONES * 0x5C))) & HIGH;
        if special != 0 {
            // The lowest mark is exact; a borrow can only set marks above it.
            return Some(at + special.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    text[at..].iter().position(special).map(|found| at + found)
}

/// The end of the string that well-formed JSON text begins with.
pub(super) fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}
