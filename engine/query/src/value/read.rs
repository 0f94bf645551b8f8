//! JSON text to a value, strictly. Strings and numbers share the bytes of one copy of the text.

use super::part::Part;
use super::{Array, Object, Text, Val, number, tape};

/// Options for texts that are nearly JSON.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// The depth to which arrays and objects may be nested.
    pub depth: usize,
    /// True if half of a surrogate pair becomes U+FFFD, rather than an error.
    pub replace_surrogates: bool,
    /// True if `nan` and `NaN` are numbers.
    pub nan: bool,
}

impl ReadOptions {
    /// JSON and nothing else.
    pub const STRICT: Self = Self { depth: 512, replace_surrogates: false, nan: false };
}

/// The value that `text` stands for.
///
/// # Errors
/// The place of what is wrong with it, in bytes, and what it is.
pub fn read(text: &str, options: ReadOptions) -> Result<Val, (usize, String)> {
    if !options.nan
        && !options.replace_surrogates
        && let Some(tape) = tape::scan(text, options.depth)
    {
        return Ok(Part::root(Text::document(text.to_owned(), tape)).value());
    }
    // The reader reports what is wrong, and reads texts that are nearly JSON.
    let shared = Text::from(text);
    let mut reader = Reader { text: text.as_bytes(), shared, at: 0, depth: 0, options };
    let value = match reader.next_byte() {
        Some(first) => reader.value(first)?,
        None => return Err((reader.at, "there is no value".to_owned())),
    };
    match reader.next_byte() {
        None => Ok(value),
        Some(_) => reader.fail("something follows the value"),
    }
}

/// The string of a document whose quote is at `quote`. The document is JSON.
pub(super) fn string_at(document: &Text, quote: usize) -> Text {
    let text = document.document_bytes();
    let mut reader =
        Reader { text, shared: document.clone(), at: quote, depth: 0, options: ReadOptions::STRICT };
    reader.string().unwrap_or_default()
}

/// True if `text` is a number as JSON writes it.
pub(crate) fn is_number(text: &str) -> bool {
    let options = ReadOptions { depth: 0, replace_surrogates: false, nan: false };
    let bytes = text.as_bytes();
    let mut reader = Reader { text: bytes, shared: Text::default(), at: 0, depth: 0, options };
    reader.skip_number().is_ok() && reader.at == bytes.len()
}

struct Reader<'a> {
    text: &'a [u8],
    shared: Text,
    at: usize,
    depth: usize,
    options: ReadOptions,
}

type Read<T> = Result<T, (usize, String)>;

impl Reader<'_> {
    #[cold]
    fn fail<T>(&self, what: &str) -> Read<T> {
        let what = if self.at >= self.text.len() { "it ends in the middle of a value" } else { what };
        Err((self.at, what.to_owned()))
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

    fn value(&mut self, first: u8) -> Read<Val> {
        match first {
            b'"' => self.string().map(Val::Text),
            b'0'..=b'9' => self.number(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.word("true", Val::Bool(true)),
            b'f' => self.word("false", Val::Bool(false)),
            b'n' | b'N' | b'I' | b'-' if self.options.nan && self.special().is_some() => {
                let (length, number) = self.special().unwrap_or_default();
                self.at += length;
                Ok(Val::Float(number))
            }
            b'n' => self.word("null", Val::Null),
            b'-' => self.number(),
            _ => self.fail("a value is expected"),
        }
    }

    /// A number that JSON does not have, and its length.
    fn special(&self) -> Option<(usize, f64)> {
        let words = [
            ("nan", f64::NAN),
            ("-nan", f64::NAN),
            ("NaN", f64::NAN),
            ("-NaN", f64::NAN),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        let rest = &self.text[self.at..];
        words
            .into_iter()
            .find(|(word, _)| rest.starts_with(word.as_bytes()))
            .map(|(word, value)| (word.len(), value))
    }

    fn word(&mut self, word: &str, value: Val) -> Read<Val> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Val>) -> Read<Val> {
        self.at += 1;
        self.depth += 1;
        if self.depth > self.options.depth {
            return Err((self.at, format!("it is nested deeper than {}", self.options.depth)));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Read<Val> {
        let mut elements = Vec::new();
        let mut next = self.next_byte();
        if next == Some(b']') {
            self.at += 1;
            return Ok(Val::Array(Array::from(elements)));
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
        Ok(Val::Array(Array::from(elements)))
    }

    fn object(&mut self) -> Read<Val> {
        let mut members = Vec::new();
        let mut next = self.next_byte();
        if next == Some(b'}') {
            self.at += 1;
            return Ok(Val::Object(Object::default()));
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
            members.push((name, self.value(first)?));
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.fail("`,` or `}` is expected"),
            }
            next = self.next_byte();
        }
        self.at += 1;
        Ok(Val::Object(members.into_iter().collect()))
    }

    fn string(&mut self) -> Read<Text> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let shared = self.shared.slice(start..self.at);
                    self.at += 1;
                    return Ok(shared);
                }
                Some(b'\\') => return self.escaped(start),
                Some(0..0x20) | None => return self.fail("a control character stands in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    /// A string with escapes: the plain part before the first one lies between `start` and the reader.
    fn escaped(&mut self, start: usize) -> Read<Text> {
        let mut plain = String::with_capacity(self.at - start + 32);
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    plain.push_str(&self.shared[copied..self.at]);
                    self.at += 1;
                    return Ok(Text::from(plain));
                }
                Some(b'\\') => {
                    plain.push_str(&self.shared[copied..self.at]);
                    self.at += 1;
                    plain.push(self.escape()?);
                    copied = self.at;
                }
                Some(0..0x20) | None => return self.fail("a control character stands in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
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

    /// `\uXXXX` or a pair of them.
    fn unicode(&mut self) -> Read<char> {
        let start = self.at - 1;
        let unit = self.hex()?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        if unit < 0xDC00 && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let low = self.hex()?;
            if (0xDC00..0xE000).contains(&low) {
                let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        if self.options.replace_surrogates {
            Ok(char::REPLACEMENT_CHARACTER)
        } else {
            Err((start, "this escape is half of a surrogate pair, which is no character".to_owned()))
        }
    }

    /// The four digits after the `u` that the reader is at.
    fn hex(&mut self) -> Read<u32> {
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

    fn number(&mut self) -> Read<Val> {
        let start = self.at;
        self.skip_number()?;
        let whole = number::whole(&self.shared[start..self.at]);
        Ok(whole.unwrap_or_else(|| Val::Digits(self.shared.slice(start..self.at))))
    }

    fn skip_number(&mut self) -> Read<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
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

    fn digits(&mut self) -> Read<()> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail("a digit is expected");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }
}
