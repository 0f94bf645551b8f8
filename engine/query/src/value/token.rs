//! Strings and numbers of a JSON text.

use super::Text;

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

/// A reader of a JSON text, at one of its bytes.
pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) shared: Text,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) options: ReadOptions,
}

/// A part of the text, or the place of what is wrong with it and what it is.
pub(super) type Read<T> = Result<T, (usize, String)>;

impl Reader<'_> {
    #[cold]
    pub(super) fn fail<T>(&self, what: &str) -> Read<T> {
        let what = if self.at >= self.text.len() { "it ends in the middle of a value" } else { what };
        Err((self.at, what.to_owned()))
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn string(&mut self) -> Read<Text> {
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

    pub(super) fn skip_number(&mut self) -> Read<()> {
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
