//! JSON text to a value, strictly: what is not JSON never gets into a pipeline because a reader was lenient.
//!
//! jaq's own reader accepts a superset of JSON (comments, `NaN`, numbers as keys), recurses as deep as the
//! text does, and copies each string. This one shares the bytes of strings with the event.

use bytes::Bytes;
use jaq_json::{Map, Num, Rc, Val};

/// How deep arrays and objects may be nested in an event, read or written.
pub(crate) const DEPTH: usize = 512;

/// Whole numbers with more digits than this keep their text and calculate as floating-point numbers: turning
/// digits into a number takes time that grows with their square.
const EXACT_DIGITS: usize = 1000;

/// The value that `text` stands for.
///
/// # Errors
/// What is wrong with it and where.
pub(crate) fn read(text: &Bytes) -> Result<Val, String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(malformed(error.valid_up_to(), "this is not UTF-8"));
    }
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = match reader.next_byte() {
        Some(first) => reader.value(first)?,
        None => return Err(malformed(reader.at, "there is no value")),
    };
    match reader.next_byte() {
        None => Ok(value),
        Some(_) => reader.fail("something follows the value"),
    }
}

fn malformed(at: usize, what: &str) -> String {
    format!("malformed JSON at byte {at}: {what}")
}

struct Reader<'a> {
    text: &'a Bytes,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        match self.at >= self.text.len() {
            true => Err(malformed(self.at, "it ends in the middle of a value")),
            false => Err(malformed(self.at, what)),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next byte that is not white space. The reader stays before it.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other,
            }
        }
    }

    fn value(&mut self, first: u8) -> Result<Val, String> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.word("true", Val::Bool(true)),
            b'f' => self.word("false", Val::Bool(false)),
            b'n' => self.word("null", Val::Null),
            _ => self.fail("a value is expected"),
        }
    }

    fn word(&mut self, word: &str, value: Val) -> Result<Val, String> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Val, String>) -> Result<Val, String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(malformed(self.at, &format!("it is nested deeper than {DEPTH}")));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Val, String> {
        let mut elements = Vec::new();
        let mut next = self.next_byte();
        if next == Some(b']') {
            self.at += 1;
            return Ok(Val::Arr(Rc::new(elements)));
        }
        loop {
            elements.push(self.value(next.unwrap_or(0))?);
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.fail("`,` or `]` is expected"),
            }
            next = self.next_byte();
        }
        self.at += 1;
        Ok(Val::Arr(Rc::new(elements)))
    }

    fn object(&mut self) -> Result<Val, String> {
        let mut members = Map::default();
        let mut next = self.next_byte();
        if next == Some(b'}') {
            self.at += 1;
            return Ok(Val::obj(members));
        }
        loop {
            if next != Some(b'"') {
                return self.fail("a name in quotes is expected");
            }
            let name = self.string()?;
            if self.next_byte() != Some(b':') {
                return self.fail("`:` is expected");
            }
            self.at += 1;
            let first = self.next_byte().unwrap_or(0);
            members.insert(name, self.value(first)?);
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.fail("`,` or `}` is expected"),
            }
            next = self.next_byte();
        }
        self.at += 1;
        Ok(Val::obj(members))
    }

    fn string(&mut self) -> Result<Val, String> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let shared = self.text.slice(start..self.at);
                    self.at += 1;
                    return Ok(Val::utf8_str(shared));
                }
                Some(b'\\') => return self.escaped(start),
                Some(0..0x20) | None => return self.fail("a control character stands in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    /// A string with escapes: the plain part before the first one lies between `start` and the reader.
    fn escaped(&mut self, start: usize) -> Result<Val, String> {
        let mut plain = Vec::with_capacity(self.at - start + 32);
        plain.extend_from_slice(&self.text[start..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Val::utf8_str(plain));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(0..0x20) | None => return self.fail("a control character stands in a string"),
                Some(byte) => {
                    plain.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let character = match self.peek() {
            Some(b'u') => return self.unicode(),
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return self.fail("this is not an escape"),
        };
        self.at += 1;
        Ok(character)
    }

    /// `\uXXXX`, or two of them that are a surrogate pair. Half a pair is no character: it is malformed.
    fn unicode(&mut self) -> Result<char, String> {
        let start = self.at - 1;
        let unit = self.hex()?;
        let code = match unit {
            0xD800..0xDC00 if self.text[self.at..].starts_with(b"\\u") => {
                self.at += 1;
                match self.hex()? {
                    low @ 0xDC00..0xE000 => Some(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)),
                    _ => None,
                }
            }
            unit => Some(unit),
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| malformed(start, "this escape is half of a surrogate pair, which is no character"))
    }

    /// The four digits behind the `u` that the reader is at.
    fn hex(&mut self) -> Result<u32, String> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => unit = unit * 16 + digit,
                None => return self.fail("four hexadecimal digits are expected"),
            }
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Val, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let whole = self.at;
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
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        Ok(Val::Num(number(text, whole == self.at)))
    }

    fn digits(&mut self) -> Result<(), String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail("a digit is expected");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }
}

/// A number keeps its digits: `1.0` stays `1.0`, `-0` stays `-0`, and large whole numbers are exact.
pub(crate) fn number(text: &str, whole: bool) -> Num {
    let exact = whole && text != "-0" && text.len() <= EXACT_DIGITS;
    let number = if exact { Num::from_str_radix(text, 10) } else { None };
    number.unwrap_or_else(|| Num::Dec(Rc::new(text.to_owned())))
}
